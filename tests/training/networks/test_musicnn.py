"""MusiCNN: front end, blocks, levels, patches; parity with the published network's own outputs."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from torch import nn

from models.card import Patches
from training.errors import BadPatches
from training.networks.base import even_patches
from training.networks.musicnn import LogMel, MusiCNN, TimbralBlock, spectrum_statistics
from training.networks.waveform import WaveformEncoder


def randomise(network: nn.Module) -> nn.Module:
    """Batch norms as after training: other statistics than 0 and 1, some weights negative."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> MusiCNN:
    torch.manual_seed(0)
    network = randomise(MusiCNN(n_tags=50))
    assert isinstance(network, MusiCNN)
    return network


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return 0.1 * torch.randn(2, 48_000, generator=torch.Generator().manual_seed(0))


def test_three_seconds_are_187_frames_of_96_bands(noise: torch.Tensor) -> None:
    assert LogMel()(noise).shape == (2, 187, 96)


def test_the_spectrogram_is_that_of_the_published_code(noise: torch.Tensor) -> None:
    mel = torchaudio.transforms.MelSpectrogram(
        16_000, 512, hop_length=256, n_mels=96, norm="slaney", mel_scale="slaney"
    )
    power = mel(noise - noise.mean(1, keepdim=True)).transpose(1, 2)[:, :187]
    # A value at the border of two float16 numbers may be rounded to either.
    expected = torch.log10(10_000 * power.half().float() + 1)
    assert (LogMel()(noise) - expected).abs().max() < 1e-3


def test_samples_beyond_full_scale_are_clipped(noise: torch.Tensor) -> None:
    loud = LogMel()(1e6 * noise)
    assert torch.equal(loud, LogMel()(1e7 * noise))
    assert loud.isfinite().all()


def test_an_offset_is_ignored(network: MusiCNN, noise: torch.Tensor) -> None:
    for offset in (0.1, 0.2):
        plain, shifted = network(LogMel()(noise)), network(LogMel()(noise + offset))
        cosine = torch.nn.functional.cosine_similarity(plain.features, shifted.features)
        assert cosine.min() > 0.99999


def test_the_maximum_before_batch_norm_is_the_maximum_after() -> None:
    torch.manual_seed(1)
    block = randomise(TimbralBlock((7, 38), (3, 3), 20))
    assert isinstance(block, TimbralBlock)
    assert (block.norm.weight < 0).any()
    image = torch.randn(2, 1, 50, 96)
    padded = torch.nn.functional.pad(image, (0, 0, 3, 3))
    expected = block.norm(block.convolve(padded).relu()).amax(3)
    torch.testing.assert_close(block(image), expected, atol=1e-5, rtol=1e-5)


def test_training_uses_the_batch_statistics_of_all_positions() -> None:
    torch.manual_seed(2)
    block, image = TimbralBlock((7, 38), (3, 3), 20).train(), torch.randn(4, 1, 50, 96)
    convolved = block.convolve(torch.nn.functional.pad(image, (0, 0, 3, 3))).relu()
    block(image)
    expected = 0.1 * convolved.mean((0, 2, 3))
    torch.testing.assert_close(block.norm.running_mean, expected, atol=1e-5, rtol=1e-4)


def test_levels_have_the_stated_sizes(network: MusiCNN, noise: torch.Tensor) -> None:
    outputs = network.forward_with_levels(LogMel()(noise))
    assert [output.shape for output in outputs] == [
        (2, 200),
        (2, 200),
        *((2, size) for size in network.levels.values()),
    ]
    assert list(network.levels) == ["max_pool", "mean_pool", "mel_statistics", "tags"]
    assert torch.equal(outputs[0], outputs[1])
    assert "tags" not in MusiCNN().levels


def test_another_embedding_is_a_layer_on_the_features(noise: torch.Tensor) -> None:
    torch.manual_seed(3)
    network = MusiCNN(embedding_dim=40).eval()
    assert network.embed is not None
    encoded = network(LogMel()(noise))
    assert torch.equal(encoded.embedding, network.embed(encoded.features))


def test_a_replaced_embedding_is_a_layer_on_the_features() -> None:
    network = MusiCNN(8, 3, embed_source=("mean_pool", "features"), n_maps=2).eval()
    network.replace_embedding(5)
    assert network.embed is not None
    encoded = network(torch.rand(2, 187, 96))
    torch.testing.assert_close(encoded.embedding, network.embed(encoded.features))


def test_statistics_are_mean_spread_and_change() -> None:
    spectrogram = torch.randn(2, 30, 96, generator=torch.Generator().manual_seed(4)).double()
    expected = [
        spectrogram.mean(1),
        spectrogram.std(1, correction=0),
        spectrogram.diff(dim=1).abs().mean(1),
    ]
    torch.testing.assert_close(spectrum_statistics(spectrogram), torch.cat(expected, 1))


def test_outputs_are_means_over_the_patches(network: MusiCNN) -> None:
    generator = torch.Generator().manual_seed(5)
    patches = 0.1 * torch.randn(2, 3, 48_000, generator=generator)
    with torch.no_grad():
        found = WaveformEncoder(network)(patches.flatten(1))
        front_end = network.make_onnx_front_end()
        expected = [network.forward_with_levels(front_end(patch)) for patch in patches.unbind(1)]
    for index, output in enumerate(found):
        mean = torch.stack([outputs[index] for outputs in expected]).mean(0)
        torch.testing.assert_close(output, mean, atol=1e-5, rtol=1e-4)


def test_patches_are_in_the_centres_of_equal_parts() -> None:
    assert even_patches(3, 3.0, 30.0) == Patches(seconds=3.0, starts_s=(3.5, 13.5, 23.5))
    assert even_patches(10, 3.0, 30.0).starts_s == tuple(range(0, 30, 3))
    with pytest.raises(BadPatches):
        even_patches(11, 3.0, 30.0)
