"""Linear maps as MusiCNN's embedding: of which levels, one or several with a gate, over patches."""

from __future__ import annotations

import pytest
import torch

from tests.training.networks.test_musicnn import randomise
from training.audio.decoding import FULL_SCALE
from training.fitting.trainer import AudioModule
from training.networks.base import mean_over_patches
from training.networks.gated_linear import GatedLinear
from training.networks.musicnn import MusiCNN
from training.networks.waveform import WaveformEncoder, encode_patches

PATCHES, PATCH_S = 2, 0.25
SOURCE = ("features", "mean_pool", "mel_statistics")


def make_network(n_maps: int, *, has_levels: bool) -> MusiCNN:
    torch.manual_seed(0)
    network = MusiCNN(embedding_dim=3, embed_source=SOURCE, n_maps=n_maps, has_levels=has_levels)
    network.audio = MusiCNN.patched_audio(PATCHES, PATCH_S)
    randomise(network)
    return network


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    shape = 2, PATCHES * round(PATCH_S * MusiCNN.audio.sample_rate)
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_maps_are_mixed_by_the_probability_of_each() -> None:
    torch.manual_seed(1)
    layer, x = GatedLinear(5, 3, 2), torch.randn(7, 5)
    shares = torch.softmax(x @ layer.gate.weight.T + layer.gate.bias, 1)
    maps = zip(layer.maps.weight.reshape(2, 3, 5), layer.maps.bias.reshape(2, 3), strict=True)
    expected = sum(
        share[:, None] * (x @ weight.T + bias)
        for share, (weight, bias) in zip(shares.T, maps, strict=True)
    )
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("n_maps", [1, 2])
def test_the_embedding_is_made_of_the_means_of_its_source(noise: torch.Tensor, n_maps: int) -> None:
    network = make_network(n_maps, has_levels=True)
    with torch.no_grad():
        embedding, features, *levels = WaveformEncoder(network)(noise)
        outputs = dict(zip(network.levels, levels, strict=True)) | {"features": features}
        assert network.embed is not None
        expected = network.embed(torch.cat([outputs[name] for name in SOURCE], 1))
    torch.testing.assert_close(embedding, expected)


def test_the_gate_hears_all_patches_together(noise: torch.Tensor) -> None:
    network = make_network(2, has_levels=False)
    noise = torch.cat([noise[:, :4000], 0.01 * noise[:, 4000:]], 1)
    assert isinstance(network.embed, GatedLinear)
    with torch.no_grad():
        network.embed.gate.weight.mul_(30)  # a gate that tells a loud patch from a quiet one
        together, _ = encode_patches(network, network.make_front_end(), noise)
        patches = network.make_front_end()(noise.reshape(2 * PATCHES, -1))
        apart = mean_over_patches(network(patches).embedding, PATCHES)
    assert (together - apart).abs().max() > 1e-3 * together.abs().max()


def test_the_gate_hears_all_patches_together_in_training_too(noise: torch.Tensor) -> None:
    network = make_network(2, has_levels=True)
    window = (noise * FULL_SCALE).to(torch.int16)
    with torch.no_grad():
        expected = encode_patches(network, network.make_front_end(), window.float() / FULL_SCALE)
        found = AudioModule(network, 1e-3, False)(window)
    for output, exported in zip(found, expected, strict=True):
        torch.testing.assert_close(output, exported)


def test_a_network_without_levels_has_the_same_embedding(noise: torch.Tensor) -> None:
    with torch.no_grad():
        full = WaveformEncoder(make_network(2, has_levels=True))(noise)
        bare = WaveformEncoder(make_network(2, has_levels=False))(noise)
    assert (len(full), len(bare)) == (5, 2)
    assert all(torch.equal(one, other) for one, other in zip(full, bare, strict=False))


def test_an_embedding_of_the_width_of_the_features_can_be_a_map_too() -> None:
    assert MusiCNN(8, 8).embed is None
    assert MusiCNN(8, 8, embed_source=("features",)).embed is not None
