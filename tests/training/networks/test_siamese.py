"""The Siamese CNN: its front end in NumPy, sizes, averages over segments, ONNX."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio
from numpy.typing import NDArray

from models.card import AudioInput
from training.export.torch_to_onnx import export_checked
from training.networks.base import Encoder, even_patches
from training.networks.siamese import (
    DEVIATION,
    MEAN,
    ConvBlock,
    LogMagnitude,
    SiameseCNN,
    frame_length,
)
from training.networks.waveform import WaveformEncoder, encode_patches

RATES = (16_000, 22_050)
Array = NDArray[np.float64]


def make_noise(sample_rate: int, seconds: float = 3.0, n_clips: int = 2) -> torch.Tensor:
    """Noise with a tone, which fades: float32 (n_clips, n_samples)."""
    rng = np.random.default_rng(0)
    n_samples = round(seconds * sample_rate)
    tone = np.sin(2 * np.pi * 440 * np.arange(n_samples) / sample_rate)
    fade = np.linspace(0.02, 0.6, n_samples)
    clips = (tone + 0.3 * rng.standard_normal((n_clips, n_samples))) * fade
    return torch.from_numpy((clips - clips.mean(1, keepdims=True)).astype(np.float32))


def log_magnitude(waveform: Array, sample_rate: int) -> Array:
    """As librosa 0.5 computes it, frame by frame: (n,) -> (128, T)."""
    n_fft = frame_length(sample_rate)
    hop = n_fft // 2
    padded = np.pad(waveform, hop, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    starts = range(0, len(padded) - n_fft + 1, hop)
    spectrum = np.stack([np.fft.rfft(padded[start : start + n_fft] * window) for start in starts])
    filters = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, 0, sample_rate / 2, 128, sample_rate, norm="slaney", mel_scale="slaney"
    )
    magnitudes: Array = np.abs(spectrum) @ filters.double().numpy()
    return np.log10(1 + 10 * magnitudes).T


def blocks_of(network: SiameseCNN) -> list[ConvBlock]:
    return [block for block in network.blocks if isinstance(block, ConvBlock)]


def randomise(network: Encoder) -> Encoder:
    """Batch norms with statistics, weights and biases of their own."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


@pytest.fixture
def network() -> SiameseCNN:
    torch.manual_seed(0)
    network = randomise(SiameseCNN(16, 32))
    assert isinstance(network, SiameseCNN)
    return network


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("folded", [False, True])
def test_the_front_end_is_the_log_mel_magnitude(sample_rate: int, folded: bool) -> None:
    clips = make_noise(sample_rate)
    found = LogMagnitude(sample_rate, folded=folded)(clips)
    assert found.shape == (2, 128, 129)  # 3 s, as in the paper
    for clip, spectrogram in zip(clips.double().numpy(), found, strict=True):
        expected = (log_magnitude(clip, sample_rate)[:, :129] - MEAN) / DEVIATION
        np.testing.assert_allclose(spectrogram.numpy(), expected, atol=2e-4)


def test_the_frames_are_as_long_as_the_papers() -> None:
    assert frame_length(22_050) == 1024
    assert frame_length(16_000) / 16_000 == pytest.approx(1024 / 22_050, rel=0.002)


@pytest.mark.parametrize("folded", [False, True])
def test_an_offset_leaves_no_trace(folded: bool) -> None:
    front_end, noise = LogMagnitude(16_000, folded=folded), make_noise(16_000)
    torch.testing.assert_close(front_end(noise + 0.2), front_end(noise), atol=1e-3, rtol=0)


def test_the_embedding_is_the_features_in_unit_length(network: SiameseCNN) -> None:
    embedding, features = encode_patches(network, network.make_front_end(), make_noise(16_000, 30))
    assert features.shape == (2, 32)
    torch.testing.assert_close(embedding, features / features.norm(dim=1, keepdim=True))


def test_another_embedding_is_a_layer_on_the_features() -> None:
    network = SiameseCNN.build(width=16, embedding_dim=5, crop_s=3.0)
    assert isinstance(network.embed, torch.nn.Linear)
    assert network.embedding_dim == 5
    network.replace_embedding(32)
    assert network.embed is None


def test_features_are_the_mean_over_ten_segments(network: SiameseCNN) -> None:
    window = make_noise(16_000, 30)
    front_end = network.make_front_end()
    _, features = encode_patches(network, front_end, window)
    segments = [network(front_end(part)).features for part in torch.split(window, 48_000, 1)]
    assert len(segments) == 10
    torch.testing.assert_close(features, torch.stack(segments).mean(0))


def test_a_crop_of_three_seconds_is_129_frames() -> None:
    assert SiameseCNN.crop_samples(3.0) == 129 * 372
    network = SiameseCNN(8, 16)
    assert network.make_front_end()(torch.zeros(1, 129 * 372)).shape[2] == 129


def test_weights_are_initialised_by_he_uniform() -> None:
    torch.manual_seed(0)
    for block in blocks_of(SiameseCNN(128, 256)):
        weight, bias = block.convolve.weight.detach(), block.convolve.bias
        assert bias is not None
        fan_in = weight.shape[1] * weight.shape[3]
        assert float(weight.abs().max()) == pytest.approx((6 / fan_in) ** 0.5, rel=0.01)
        assert not bias.any()


@pytest.mark.parametrize("sample_rate", RATES)
def test_the_exported_graph_gives_the_same_alone_and_in_a_batch(
    network: SiameseCNN, sample_rate: int
) -> None:
    network.audio = AudioInput(
        sample_rate=sample_rate,
        window_s=30.0,
        short_audio="repeat",
        min_audio_s=0.5,
        patches=even_patches(2, 3.0, 30.0),
    )
    windows = torch.cat([make_noise(sample_rate, 6.0), torch.zeros(1, 6 * sample_rate)]).numpy()
    graph = export_checked(
        WaveformEncoder(network).eval(), "waveform", windows, ["embedding", "features"]
    )
    assert set(graph.errors) == {"embedding", "features"}


def test_a_network_is_rebuilt_from_its_card_sizes(network: SiameseCNN) -> None:
    rebuilt = SiameseCNN.build(width=16, embedding_dim=32, crop_s=3.0)
    rebuilt.load_state_dict(network.state_dict())
    spectrogram = torch.randn(2, 128, 129)
    torch.testing.assert_close(rebuilt.eval()(spectrogram), network(spectrogram))
