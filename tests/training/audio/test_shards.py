"""Windows in several files are one array; a missing file is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from training.audio import shards
from training.audio.manifest import read_manifest
from training.audio.windows import Prepared, prepare
from training.errors import MissingInput
from training.networks.cf_estimator import CFEstimator

AUDIO = CFEstimator.audio.model_copy(update={"window_s": 1.0})


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    """Five tracks of noise, and one that cannot be read."""
    rng = np.random.default_rng(0)
    for number in range(5):
        soundfile.write(tmp_path / f"{number}.wav", rng.uniform(-0.5, 0.5, 20_000), 16_000)
    (tmp_path / "5.wav").write_bytes(b"RIFF")
    rows = [(str(number), "i", "a") for number in range(6)]
    table = pd.DataFrame(rows, columns=["track_id", "item_id", "artist"])
    table.to_csv(tmp_path / "manifest.csv", index=False)
    return read_manifest(tmp_path / "manifest.csv", tmp_path)


def test_windows_of_several_files_are_those_of_one(
    tmp_path: Path, manifest: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(prepare(manifest, tmp_path / "one", AUDIO))
    monkeypatch.setattr(shards, "SHARD_BYTES", 2 * 2 * AUDIO.input_samples)
    list(prepare(manifest, tmp_path / "many", AUDIO))
    names = sorted(path.name for path in (tmp_path / "many").glob("*.npy"))
    assert names == [f"windows-0000{number}-of-00003.npy" for number in range(3)]
    one, many = Prepared.load(tmp_path / "one"), Prepared.load(tmp_path / "many")
    assert many.windows.shape == one.windows.shape
    rows = one.tracks["row"].to_numpy()[::-1]
    np.testing.assert_array_equal(many.windows[rows], one.windows[rows])
    assert len(np.unique(many.windows[rows][:, 8000])) == 5


def test_a_missing_file_is_noticed(
    tmp_path: Path, manifest: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 2 * 2 * AUDIO.input_samples)
    list(prepare(manifest, tmp_path / "many", AUDIO))
    (tmp_path / "many" / "windows-00001-of-00003.npy").unlink()
    with pytest.raises(MissingInput):
        Prepared.load(tmp_path / "many")


def test_verify_decodes_again_what_is_not_as_it_was_written(
    tmp_path: Path, manifest: pd.DataFrame
) -> None:
    first = {record["track_id"]: record for record in prepare(manifest, tmp_path / "out", AUDIO)}
    damaged = np.load(tmp_path / "out" / "windows.npy", mmap_mode="r+")
    damaged[2, 100:200] = 0
    damaged.flush()
    list(prepare(manifest, tmp_path / "out", AUDIO))
    assert not Prepared.load(tmp_path / "out").windows[2][100:200].any()
    list(prepare(manifest, tmp_path / "out", AUDIO, verify=True))
    expected = np.rint(read_windows(tmp_path / "2.wav", AUDIO, WindowChoice()).samples[0] * 32767)
    np.testing.assert_array_equal(Prepared.load(tmp_path / "out").windows[2], expected)
    assert "crc32" in first["2"]
    assert "crc32" not in Prepared.load(tmp_path / "out").tracks
