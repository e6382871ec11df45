"""Training on the patches of a window: crops are of one patch, whole inputs are averaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.card import AudioInput
from tests.training.networks.tiny_encoder import TinyEncoder
from training.audio.decoding import FULL_SCALE
from training.cli.checks import check_crop
from training.errors import BadCrop
from training.fitting.dataset import WindowDataset, make_loader
from training.fitting.settings import FitSettings
from training.fitting.trainer import AudioModule
from training.networks.base import Encoder, even_patches
from training.networks.cf_estimator import CFEstimator
from training.networks.musicnn import MusiCNN
from training.networks.task_model import TaskModel
from training.networks.waveform import encode_patches

N_PATCHES, PATCH, CROP = 4, 3_200, 800


class PatchedEncoder(TinyEncoder):
    """The tiny encoder over four patches of 0.4 s."""

    audio = AudioInput(
        sample_rate=8_000,
        window_s=2.0,
        short_audio="repeat",
        min_audio_s=0.1,
        patches=even_patches(N_PATCHES, 0.4, 2.0),
    )


@pytest.fixture
def encoder() -> PatchedEncoder:
    torch.manual_seed(0)
    return PatchedEncoder(4, 6).eval()


@pytest.fixture
def window() -> torch.Tensor:
    """Two inputs of noise whose patches differ in loudness."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (2, N_PATCHES, PATCH)) * rng.uniform(0.01, 1, (2, N_PATCHES, 1))
    return torch.from_numpy(np.rint(noise * FULL_SCALE).astype(np.int16).reshape(2, -1))


def encode(encoder: Encoder, window: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Embedding and features as export and evaluation compute them."""
    return encode_patches(encoder, encoder.make_front_end(), window.float() / FULL_SCALE)


def test_a_whole_input_gives_the_means_over_patches_as_in_export(
    encoder: PatchedEncoder, window: torch.Tensor
) -> None:
    found = AudioModule(encoder, 1e-3, False)(window)
    for output, expected in zip(found, encode(encoder, window), strict=True):
        torch.testing.assert_close(output, expected)


def test_a_task_model_gives_the_output_of_the_mean_embedding(
    encoder: PatchedEncoder, window: torch.Tensor
) -> None:
    model = TaskModel(encoder, 3).eval()
    model.scale.copy_(torch.tensor([1.0, 2.0, 3.0]))
    model.shift.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    found = AudioModule(model, 1e-3, False)(window)
    torch.testing.assert_close(found.outputs, model.output(encode(encoder, window)[0]))


def test_a_crop_is_encoded_alone(encoder: PatchedEncoder, window: torch.Tensor) -> None:
    crop = window[:, :CROP]
    found = AudioModule(encoder, 1e-3, False)(crop)
    expected = encoder(encoder.make_front_end()(crop.float() / FULL_SCALE))
    torch.testing.assert_close(found.embedding, expected.embedding)


def test_crops_lie_within_one_patch_and_in_every_one() -> None:
    windows = np.arange(N_PATCHES * PATCH, dtype=np.int16)[None]
    rows = np.zeros(400, np.int64)
    torch.manual_seed(0)
    loader = make_loader(
        windows,
        rows,
        settings=FitSettings(batch_size=100, workers=0),
        crop_samples=CROP,
        patch_samples=PATCH,
        training=True,
    )
    crops = torch.cat([batch for (batch,) in loader]).int()
    assert crops.shape == (400, CROP)
    assert torch.equal(crops[:, 0] // PATCH, crops[:, -1] // PATCH)
    assert set((crops[:, 0] // PATCH).tolist()) == set(range(N_PATCHES))


def test_crops_of_windows_without_patches_are_drawn_as_ever() -> None:
    windows = np.arange(PATCH, dtype=np.int16)[None]
    dataset = WindowDataset(windows, np.zeros(1, np.int64), crop_samples=CROP, patch_samples=PATCH)
    torch.manual_seed(0)
    starts = [int(dataset[0][0][0]) for _ in range(5)]
    torch.manual_seed(0)
    assert starts == [int(torch.randint(PATCH - CROP + 1, ())) for _ in range(5)]


def test_a_crop_is_at_most_a_patch() -> None:
    assert PatchedEncoder.crop_samples(0) == 0
    assert PatchedEncoder.crop_samples(0.1) == CROP
    assert PatchedEncoder.crop_samples(0.4) == PATCH
    with pytest.raises(BadCrop, match=r"at most 0\.4 s, the length of the patches"):
        PatchedEncoder.crop_samples(0.5)


def test_a_crop_of_a_whole_patch_is_rounded_down_to_the_multiple() -> None:
    assert MusiCNN.crop_samples(3) == 187 * 256  # a patch is 187.5 frames


@pytest.mark.parametrize(("kind", "limit"), [(PatchedEncoder, "0.4"), (CFEstimator, "30")])
def test_the_command_line_knows_the_limit_of_prepared_audio(
    tmp_path: Path, kind: type[Encoder], limit: str
) -> None:
    source = {"audio": kind.audio.model_dump(mode="json")}
    (tmp_path / "source.json").write_text(json.dumps(source))
    check_crop(tmp_path, float(limit))
    check_crop(tmp_path, None)
    with pytest.raises(BadCrop, match=f"at most {limit} s"):
        check_crop(tmp_path, float(limit) + 0.1)
