"""Networks with their front end, waveform -> outputs: the modules that are exported to ONNX.

The names of the submodules are the prefixes of the weights in a graph: `export.reload` reads the
weights of an encoder back by them.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.base import Encoder
from training.networks.task_model import TaskModel


class WaveformEncoder(nn.Module):
    """Waveform (batch, n_samples) -> embedding (batch, embedding_dim), features (batch, F)."""

    def __init__(self, network: Encoder) -> None:
        super().__init__()
        self.add_module(network.front_end_name, network.make_onnx_front_end())
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        front_end = self.get_submodule(self.network.front_end_name)
        embedding, features = self.network(front_end(waveform))
        return embedding, features


class WaveformTaskModel(nn.Module):
    """Waveform (batch, n_samples) -> probabilities or values, embedding, features."""

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.add_module(model.encoder.front_end_name, model.encoder.make_onnx_front_end())
        self.model = model
        self.softmax = softmax

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        front_end = self.get_submodule(self.model.encoder.front_end_name)
        outputs, embedding, features = self.model(front_end(waveform))
        return outputs.softmax(1) if self.softmax else outputs, embedding, features


class OutputLayer(nn.Module):
    """Output layer of a task model alone: embedding (batch, dim) -> probabilities or values."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.output_layer = model.output_layer
        self.register_buffer("scale", model.scale)
        self.register_buffer("shift", model.shift)
        self.softmax = softmax

    def forward(self, embedding: Tensor) -> Tensor:
        outputs: Tensor = self.output_layer(embedding) * self.scale + self.shift
        return outputs.softmax(1) if self.softmax else outputs
