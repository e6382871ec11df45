"""Networks from waveform to outputs, as they are exported."""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.mel import FoldedMelSpectrogram
from training.networks.task_model import TaskModel


class WaveformEncoder(nn.Module):
    """Waveform (batch, n_samples) -> embedding (batch, 40), features (batch, F)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.mel = FoldedMelSpectrogram()
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        embedding, features = self.network(self.mel(waveform))
        return embedding, features


class WaveformTaskModel(nn.Module):
    """Waveform (batch, n_samples) -> probabilities or values, embedding, features."""

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.mel = FoldedMelSpectrogram()
        self.model = model
        self.softmax = softmax

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs, embedding, features = self.model(self.mel(waveform))
        return outputs.softmax(1) if self.softmax else outputs, embedding, features


class OutputLayer(nn.Module):
    """What a task model adds to its encoder: embedding (batch, 40) -> probabilities or values."""

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.model = TaskModel(nn.Identity(), model.decide.out_features)
        state = model.state_dict()
        self.model.load_state_dict({name: state[name] for name in self.model.state_dict()})
        self.softmax = softmax

    def forward(self, embedding: Tensor) -> Tensor:
        outputs = self.model.output(embedding)
        return outputs.softmax(1) if self.softmax else outputs
