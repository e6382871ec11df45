"""Patches that are cut from whole windows are those that are decoded by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from training.audio.decoding import FULL_SCALE
from training.audio.manifest import read_manifest
from training.audio.patch_cutting import can_cut, cut_patches
from training.audio.windows import Prepared, prepare
from training.networks.cf_estimator import CFEstimator
from training.networks.musicnn import MusiCNN

# Longer than a window, shorter than one, shorter than a patch.
SECONDS = {"long": 34.0, "short": 12.0, "tiny": 2.0}
RATE = 22_050


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    for name, seconds in SECONDS.items():
        soundfile.write(folder / f"{name}.flac", rng.uniform(-0.5, 0.5, int(seconds * RATE)), RATE)
    (folder / "bad.flac").write_text("no audio")
    names = ["bad", *SECONDS]
    pd.DataFrame({"track_id": names, "item_id": names}).to_csv(folder / "m.csv", index=False)
    return folder


def prepared_for(library: Path, name: str, *patches: float) -> Prepared:
    """Every track, decoded for the CF estimator with these patches."""
    audio = CFEstimator.patched_audio(int(patches[0]), patches[1])
    list(prepare(read_manifest(library / "m.csv", library), library / name, audio))
    return Prepared.load(library / name)


def test_cut_patches_are_the_decoded_ones(library: Path) -> None:
    decoded = prepared_for(library, "patches", 2, 7.5)
    cut = cut_patches(prepared_for(library, "whole", 0, 0), decoded.audio)
    assert cut.audio == decoded.audio
    assert cut.windows.shape == decoded.windows.shape
    rows = cut.tracks["row"].to_numpy(np.int64)
    assert len(rows) == len(SECONDS)
    np.testing.assert_allclose(cut.waveforms(rows), decoded.waveforms(rows), atol=2 / FULL_SCALE)
    np.testing.assert_array_equal(cut.windows[rows[0]], cut.windows[rows[:1]][0])
    starts = np.asarray(cut.windows.starts)[rows]  # type: ignore[attr-defined]
    assert starts[0].tolist() == [60_000, 300_000]
    assert starts[1].max() + 120_000 <= 12 * 16_000  # no patch is of the repetition
    assert starts[2].tolist() == [0, 0]


def test_windows_of_the_input_are_taken_as_they_are(library: Path) -> None:
    whole = prepared_for(library, "whole", 0, 0)
    assert cut_patches(whole, CFEstimator.audio) is whole


def test_patches_can_be_cut_from_whole_windows_alone() -> None:
    whole, patched = CFEstimator.audio, CFEstimator.patched_audio(2, 7.5)
    assert can_cut(whole, patched)
    assert can_cut(patched, patched)
    assert can_cut(whole, MusiCNN.audio)  # the same windows
    assert not can_cut(patched, whole)
    assert not can_cut(patched, CFEstimator.patched_audio(1, 7.5))
    assert not can_cut(whole.model_copy(update={"sample_rate": 8000}), patched)
