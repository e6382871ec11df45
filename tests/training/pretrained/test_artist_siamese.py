"""The artist study's weights: from a Keras file to a network and a bundle of the same numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.bundle import read
from tests.sounds import golden, write
from tests.training.cli.test_chain import run
from tests.training.networks.test_siamese import blocks_of, randomise
from training.errors import BadCheckpoint
from training.export.reload import load_network_from_bundle
from training.networks.siamese import DEVIATION, MEAN, SiameseCNN
from training.pretrained import artist_siamese as stage
from training.pretrained.artist_siamese import Weights, copy_weights, make_network, read_weights
from training.pretrained.settings import ArtistSiameseSettings

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT.parent / "shared/data/weights/artist-siamese/model_siamese_10000.h5"
POOLS = (4, 4, 4, 2, 1)
Array = NDArray[np.float64]


def required(weight: torch.Tensor | None) -> torch.Tensor:
    assert weight is not None
    return weight


def keras_weights(network: SiameseCNN) -> Weights:
    """The weights as Keras names and orders them."""
    weights: Weights = {}
    for number, block in enumerate(blocks_of(network), 1):
        convolve, norm = block.convolve, block.norm
        values = {
            f"conv1d_{number}/kernel": convolve.weight.squeeze(2).permute(2, 1, 0),
            f"conv1d_{number}/bias": required(convolve.bias),
            f"batch_normalization_{number}/gamma": norm.weight,
            f"batch_normalization_{number}/beta": norm.bias,
            f"batch_normalization_{number}/moving_mean": required(norm.running_mean),
            f"batch_normalization_{number}/moving_variance": required(norm.running_var),
        }
        weights |= {name: value.detach().numpy() for name, value in values.items()}
    return weights


def write_keras(path: Path, weights: Weights) -> str:
    """A Keras file of the weights, beside those of the optimiser; returns its SHA-256."""
    with h5py.File(path, "w") as file:
        for name, values in weights.items():
            layer, weight = name.split("/")
            file[f"model_weights/{layer}/{layer}/{weight}:0"] = values
        file["model_weights"].create_group("input_1")
        file["optimizer_weights/iterations:0"] = np.zeros(())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forward(spectrogram: Array, weights: Weights) -> Array:
    """The pooled features in NumPy, layer by layer: (T, 128) -> (256,)."""
    x = spectrogram
    for number, pool in enumerate(POOLS, 1):
        kernel = weights[f"conv1d_{number}/kernel"].astype(np.float64)  # (k, in, out)
        size = len(kernel)
        padded = np.pad(x, (((size - 1) // 2, size // 2), (0, 0)))
        x = sum(padded[step : step + len(x)] @ kernel[step] for step in range(size))
        x = x + weights[f"conv1d_{number}/bias"]
        gamma, beta, mean, variance = (
            weights[f"batch_normalization_{number}/{name}"]
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = np.maximum((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)
        n_steps = len(x) // pool
        x = x[: n_steps * pool].reshape(n_steps, pool, -1).max(1)
    pooled: Array = x.mean(0)
    return pooled


@pytest.fixture(scope="module")
def network() -> SiameseCNN:
    torch.manual_seed(0)
    network = randomise(SiameseCNN(128, 256))
    assert isinstance(network, SiameseCNN)
    return network


def test_weights_arrive_where_they_belong(tmp_path: Path, network: SiameseCNN) -> None:
    digest = write_keras(tmp_path / "model.h5", keras_weights(network))
    weights = read_weights(tmp_path / "model.h5", digest)
    found = make_network(weights, ArtistSiameseSettings())
    for key, weight in network.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(found.state_dict()[key], weight), key
    assert (found.audio.sample_rate, found.audio.patch_samples) == (22_050, 66_150)
    assert len(found.audio.patch_starts) == 10


def test_the_network_is_kerass_layer_by_layer(network: SiameseCNN) -> None:
    spectrogram = np.random.default_rng(0).normal(size=(129, 128))
    with torch.no_grad():
        found = network(torch.from_numpy(spectrogram.T[None].astype(np.float32))).features[0]
    np.testing.assert_allclose(found, forward(spectrogram, keras_weights(network)), rtol=1e-4)


def test_other_weights_than_the_published_ones_are_refused(
    tmp_path: Path, network: SiameseCNN
) -> None:
    write_keras(tmp_path / "model.h5", keras_weights(network))
    with pytest.raises(BadCheckpoint, match="SHA-256"):
        read_weights(tmp_path / "model.h5")


def test_weights_of_another_shape_are_refused(network: SiameseCNN) -> None:
    weights = keras_weights(network) | {"conv1d_2/bias": np.zeros(7, np.float32)}
    with pytest.raises(BadCheckpoint, match=r"conv1d_2/bias has the shape \(7,\)"):
        copy_weights(SiameseCNN(128, 256), weights)
    del weights["conv1d_2/bias"]
    with pytest.raises(BadCheckpoint, match="no weight conv1d_2/bias"):
        copy_weights(SiameseCNN(128, 256), weights)


def test_the_command_writes_a_bundle_of_22050_hz(
    tmp_path: Path, network: SiameseCNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = write_keras(tmp_path / "model.h5", keras_weights(network))
    monkeypatch.setattr(stage.read_weights, "__defaults__", (digest,))
    (tmp_path / "audio").mkdir()
    write(tmp_path / "audio" / "sound.wav", golden(31.0))
    out = tmp_path / "models" / "artist-study"
    sources = ("--weights", tmp_path / "model.h5", "--audio", tmp_path / "audio")
    run("artist-siamese", *sources, "--out", out, "--patches", "2", "--on-demand")
    bundle = read(out)
    card = bundle.card
    assert (card.task, card.architecture, card.default) == ("music-similarity", "siamese", False)
    assert card.audio.sample_rate == 22_050
    assert card.output_shape("embedding") == card.output_shape("features") == (256,)
    assert "MIT" in card.provenance.data[0].licence
    loaded = load_network_from_bundle(bundle)
    assert loaded.audio == card.audio
    spectrogram = torch.randn(1, 128, 129, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(spectrogram), network(spectrogram))


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published weights are not here")
def test_the_published_weights_give_the_numbers_of_a_forward_pass_in_numpy() -> None:
    weights = read_weights(PUBLISHED)
    network = make_network(weights, ArtistSiameseSettings())
    seconds = np.arange(66_150) / 22_050
    chord = 0.2 * sum(np.sin(2 * np.pi * pitch * seconds) for pitch in (220, 277, 330))
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(seconds))
    with torch.no_grad():
        waveform = torch.from_numpy((chord + noise).astype(np.float32))[None]
        spectrogram = network.make_front_end()(waveform)
        found = network(spectrogram)
    expected = forward(spectrogram[0].T.double().numpy(), weights)
    np.testing.assert_allclose(found.features[0], expected, rtol=1e-3, atol=1e-4)
    assert (expected > 0).sum() > 10
    # The paper's mean and deviation are of real music, which this is not; it is of their size.
    bands = (spectrogram * DEVIATION + MEAN).mean()
    assert 0 < float(bands) < 1
