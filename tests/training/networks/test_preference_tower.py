"""The preference tower: the published layers, patches, batches and export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.export.test_bundle import PROVENANCE
from training.export.estimator import export_encoder
from training.export.reload import load_network_from_bundle
from training.networks.preference_tower import PreferenceTower
from training.networks.siamese import SiameseCNN
from training.networks.waveform import WaveformEncoder

DIM = 40


@pytest.fixture(scope="module")
def network() -> PreferenceTower:
    torch.manual_seed(0)
    network = PreferenceTower(8, DIM).eval()
    network.audio = PreferenceTower.patched_audio(2, 3.0)
    network.standardize(torch.randn(4, 128, 129) * 0.6 - 0.5 for _ in range(2))
    return network


@pytest.fixture(scope="module")
def noise() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2 * 48_000, generator=generator) * torch.tensor([[0.1], [0.5], [0.01]])


def test_the_layers_are_the_published_ones() -> None:
    network = PreferenceTower(256, DIM)
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [128, 256, 256, 256, 256]
    assert [part.kernel_size[1] for part in convolutions] == [4, 4, 4, 2, 1]
    assert convolutions[0].in_channels == 128
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert network.embed.weight.shape == (DIM, 256)
    assert PreferenceTower.audio == SiameseCNN.audio


def test_the_input_is_scaled_by_all_values_of_the_training_clips() -> None:
    network = PreferenceTower(8, DIM)
    heard: list[Tensor] = []
    network.blocks = nn.Sequential(Recorder(heard))
    batches = [torch.randn(2, 128, 129) * 0.6 - 0.5, torch.randn(6, 128, 129) * 3 + 4]
    network.standardize(iter(batches))
    network(torch.cat(batches))
    assert abs(float(heard[0].mean())) < 1e-5
    assert float(heard[0].std()) == pytest.approx(1, abs=1e-4)


class Recorder(nn.Module):
    """Keeps what it hears; its output has the size of the features."""

    def __init__(self, heard: list[Tensor]) -> None:
        super().__init__()
        self.heard = heard

    def forward(self, inputs: Tensor) -> Tensor:
        self.heard.append(inputs)
        return inputs[:, :8]


def test_outputs_are_means_over_patches_and_the_same_in_a_batch(
    network: PreferenceTower, noise: Tensor
) -> None:
    encode = WaveformEncoder(network)
    front_end = network.make_onnx_front_end()
    with torch.no_grad():
        together = encode(noise)
        alone = [encode(clip[None]) for clip in noise]
        patches = network(front_end(noise.reshape(6, -1)))
    for index, output in enumerate(together):
        rows = torch.cat([outputs[index] for outputs in alone])
        torch.testing.assert_close(output, rows, atol=1e-5, rtol=1e-4)
        mean = patches[index].reshape(3, 2, -1).mean(1)
        torch.testing.assert_close(output, mean, atol=1e-5, rtol=1e-4)


def test_the_exported_graph_is_the_network(
    network: PreferenceTower, noise: Tensor, tmp_path: Path
) -> None:
    stated = PROVENANCE.model_copy(update={"hyperparameters": {"width": 8}})
    written, errors = export_encoder(network, tmp_path / "model", noise.numpy(), stated)
    assert max(errors.values()) < 1e-4
    assert (written.card.architecture, written.card.output_shape("embedding")) == (
        "preference-tower",
        (DIM,),
    )
    again = load_network_from_bundle(written)
    with torch.no_grad():
        found, expected = WaveformEncoder(again)(noise), WaveformEncoder(network)(noise)
    for output, other in zip(found, expected, strict=True):
        torch.testing.assert_close(output, other)
