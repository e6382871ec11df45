"""Networks with their front end, waveform -> outputs: the modules that are exported to ONNX.

The names of the submodules are the prefixes of the weights in a graph: `export.reload` reads the
weights of an encoder back by them.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.base import Encoder
from training.networks.task_model import TaskModel


def encode_patches(
    encoder: Encoder, front_end: nn.Module, waveform: Tensor, *, levels: bool = False
) -> tuple[Tensor, ...]:
    """Embedding and features of waveforms, each of all patches together: (batch, dim).

    Parameters
    ----------
    waveform : float, shape (batch, `encoder.audio.input_samples`)
    levels : whether to return the outputs of `encoder.levels` too
    """
    n_patches = len(encoder.audio.patch_starts)
    if n_patches > 1:
        waveform = waveform.reshape(-1, encoder.audio.patch_samples)  # (B, P · S) -> (B · P, S)
    outputs = encoder.forward_patches(front_end(waveform), n_patches)
    return outputs if levels else outputs[:2]


class WaveformEncoder(nn.Module):
    """Waveform (batch, n_samples) -> embedding, features and every level, each (batch, dim)."""

    def __init__(self, network: Encoder) -> None:
        super().__init__()
        self.add_module(network.front_end_name, network.make_onnx_front_end())
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        front_end = self.get_submodule(self.network.front_end_name)
        return encode_patches(self.network, front_end, waveform, levels=True)


class WaveformTaskModel(nn.Module):
    """Waveform (batch, n_samples) -> probabilities or values, embedding, features."""

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.add_module(model.encoder.front_end_name, model.encoder.make_onnx_front_end())
        self.model = model
        self.softmax = softmax

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        front_end = self.get_submodule(self.model.encoder.front_end_name)
        embedding, features = encode_patches(self.model.encoder, front_end, waveform)
        outputs = self.model.output(embedding)
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
