"""The sample-level CNN: the published layers, its levels, segments, export, short and odd audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from tests.sounds import golden, write
from tests.training.export.test_bundle import PROVENANCE
from training.errors import BadCrop, BadPatches
from training.export.estimator import export_encoder
from training.export.reload import load_network_from_bundle
from training.fitting.fine_tuning import copy_weights, trained_parts
from training.networks.sample_level import SEGMENT_SAMPLES, RawWaveform, SampleLevelCNN
from training.networks.waveform import WaveformEncoder

WIDTH = 4
SEGMENT_S = SEGMENT_SAMPLES / 16_000
# (filters, length) of each hidden layer before its pooling, as in the authors' code.
HIDDEN = (
    *((128, 19_683), (128, 19_683), (128, 6_561)),
    *((256, 2_187), (256, 729), (256, 243), (256, 81), (256, 27), (256, 9), (256, 3), (256, 1)),
)


@pytest.fixture(scope="module")
def segments() -> Tensor:
    """Five segments of noise, each twice as loud as the one before."""
    noise = torch.randn(5, SEGMENT_SAMPLES, generator=torch.Generator().manual_seed(0))
    return 0.02 * noise * 2.0 ** torch.arange(5)[:, None]


@pytest.fixture(scope="module")
def network(segments: Tensor) -> SampleLevelCNN:
    """With batch norms that have heard the segments, and gains that an export could mix up."""
    torch.manual_seed(0)
    network = SampleLevelCNN(WIDTH, 2 * WIDTH).train()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
            part.momentum = 1.0
    with torch.no_grad():
        network(segments)
    return network.eval()


def hidden_layers(network: SampleLevelCNN, waveform: Tensor) -> list[Tensor]:
    """What each hidden layer gives for waveforms, each (B, F, T), by hooks."""
    found: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: found.append(output))
        for layer in network.layers
    ]
    with torch.no_grad():
        network(waveform)
    for hook in hooks:
        hook.remove()
    return [layer.squeeze(2) for layer in found]


def test_the_hidden_layers_are_the_published_ones(segments: Tensor) -> None:
    network = SampleLevelCNN().eval()
    found = hidden_layers(network, segments[:1])
    assert [tuple(layer.shape[1:]) for layer in found] == list(HIDDEN)
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert [part.kernel_size for part in convolutions] == [(1, 3)] * 10 + [(1, 1)]
    assert [part.stride for part in convolutions] == [(1, 3)] + [(1, 1)] * 10
    assert (network.embedding_dim, network.features_dim) == (256, 256)
    assert network.levels == {"levels": 768}


def test_levels_are_the_maxima_of_the_last_three_hidden_layers(
    network: SampleLevelCNN, segments: Tensor
) -> None:
    last = hidden_layers(network, segments)[-3:]
    with torch.no_grad():
        embedding, features, levels = network.forward_with_levels(segments)
    assert torch.equal(levels, torch.cat([layer.amax(2) for layer in last], 1))
    assert torch.equal(features, levels[:, -2 * WIDTH :])
    assert torch.equal(embedding, features)


def test_another_embedding_is_a_linear_layer_on_the_features(segments: Tensor) -> None:
    network = SampleLevelCNN(WIDTH, 3).eval()
    encoded = network(segments[:1])
    torch.testing.assert_close(encoded.embedding, network.embed(encoded.features))
    again = SampleLevelCNN(WIDTH).eval()
    again.replace_embedding(5)
    copy_weights(again, network, "other")
    assert again(segments[:1]).embedding.shape == (1, 5)
    assert torch.equal(again(segments[:1]).features, encoded.features)
    assert trained_parts(again, "last") == [again.embed, again.layers[10]]


@pytest.mark.parametrize("by_patches", [False, True])
def test_outputs_are_means_over_segments(
    network: SampleLevelCNN, segments: Tensor, by_patches: bool
) -> None:
    with torch.no_grad():
        apart = network.forward_with_levels(segments[:4])
        if by_patches:
            together = network.forward_patches(segments[:4], 2)
        else:
            together = network.forward_with_levels(segments[:4].reshape(2, -1))
    for output, alone in zip(together, apart, strict=True):
        expected = alone.reshape(2, 2, -1).mean(1)
        torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)


def test_a_clip_alone_and_in_a_batch_agree(network: SampleLevelCNN, segments: Tensor) -> None:
    with torch.no_grad():
        together = network.forward_with_levels(segments)
        alone = [network.forward_with_levels(segment[None]) for segment in segments]
    for index, output in enumerate(together):
        rows = torch.cat([outputs[index] for outputs in alone])
        torch.testing.assert_close(output, rows, atol=1e-5, rtol=1e-4)


def test_a_patch_is_a_segment_to_the_sample_and_the_card_keeps_it() -> None:
    audio = SampleLevelCNN.audio
    assert audio.patch_samples == SEGMENT_SAMPLES
    assert audio.input_samples == 3 * SEGMENT_SAMPLES
    assert AudioInput.model_validate_json(audio.model_dump_json()) == audio
    eight = SampleLevelCNN.patched_audio(8, 0)
    assert eight.input_samples == 8 * SEGMENT_SAMPLES
    with pytest.raises(BadPatches, match="together they are longer than 30 s"):
        SampleLevelCNN.patched_audio(9, 0)
    with pytest.raises(BadPatches, match=r"a multiple of 3\.69056 s"):
        SampleLevelCNN.patched_audio(3, 3.0)


def test_a_crop_is_one_segment() -> None:
    assert SampleLevelCNN.crop_samples(SEGMENT_S) == SEGMENT_SAMPLES
    assert SampleLevelCNN.crop_samples(1.0) == SEGMENT_SAMPLES
    with pytest.raises(BadCrop):
        SampleLevelCNN.crop_samples(7.5)


def test_the_exported_graph_is_the_network(
    network: SampleLevelCNN, segments: Tensor, tmp_path: Path
) -> None:
    windows = segments[:3].reshape(1, -1).repeat(2, 1) * torch.tensor([[1.0], [0.1]])
    stated = PROVENANCE.model_copy(update={"hyperparameters": {"width": WIDTH}})
    written, errors = export_encoder(network, tmp_path / "model", windows.numpy(), stated)
    assert errors.keys() == {"embedding", "features", "levels"}
    assert max(errors.values()) < 1e-4
    card = written.card
    assert (card.architecture, card.audio) == ("sample-level", SampleLevelCNN.audio)
    assert card.output_shape("levels") == (3 * 2 * WIDTH,)
    again = load_network_from_bundle(written)
    with torch.no_grad():
        for found, expected in zip(
            WaveformEncoder(again)(windows), WaveformEncoder(network)(windows), strict=True
        ):
            torch.testing.assert_close(found, expected)


def test_short_audio_is_repeated_and_not_slowed(tmp_path: Path) -> None:
    sound = golden(1.0, 16_000, 1)
    path = write(tmp_path / "short.wav", sound, 16_000)
    heard = read_windows(path, SampleLevelCNN.audio, WindowChoice()).samples[0]
    patches = heard.reshape(3, SEGMENT_SAMPLES)
    repeated = np.tile(sound[:, 0], 4)[:SEGMENT_SAMPLES]
    for patch in patches:
        np.testing.assert_allclose(patch, repeated, atol=1e-4)


def test_silence_has_finite_outputs_and_an_offset_is_silence(network: SampleLevelCNN) -> None:
    front_end = RawWaveform()
    silence = torch.zeros(1, SEGMENT_SAMPLES)
    with torch.no_grad():
        outputs = network.forward_with_levels(front_end(silence))
        shifted = network.forward_with_levels(front_end(silence + 0.25))
    for output, other in zip(outputs, shifted, strict=True):
        assert output.isfinite().all()
        assert torch.equal(output, other)


def test_the_level_is_heard(network: SampleLevelCNN, segments: Tensor) -> None:
    """The waveform is not normalised, as in the paper."""
    with torch.no_grad():
        loud, quiet = network(segments[:1]), network(0.1 * segments[:1])
    assert (loud.features - quiet.features).abs().max() > 0.01 * loud.features.abs().max()
