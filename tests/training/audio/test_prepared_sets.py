"""Several prepared folders are one set: rows, waveforms and names; a mix is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from models.card import AudioInput
from training.audio.manifest import read_manifest
from training.audio.prepared_sets import load_sets
from training.audio.windows import Prepared, prepare
from training.errors import OtherSets

AUDIO = AudioInput(sample_rate=8000, window_s=1.0, short_audio="repeat", min_audio_s=0.5)


def make_set(folder: Path, names: list[str], seed: int, audio: AudioInput = AUDIO) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name in names:
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, 8000), 8000)
    manifest = pd.DataFrame({"track_id": names, "item_id": [f"i-{name}" for name in names]})
    manifest.to_csv(folder / "manifest.csv", index=False)
    out = folder.with_name(f"{folder.name}-prepared")
    list(prepare(read_manifest(folder / "manifest.csv", folder), out, audio))
    return out


def test_rows_and_waveforms_are_those_of_their_folders(tmp_path: Path) -> None:
    folders = [make_set(tmp_path / "a", ["x", "y"], 0), make_set(tmp_path / "b", ["z"], 1)]
    both = load_sets(folders)
    assert both.tracks["track_id"].tolist() == ["x", "y", "z"]
    assert both.tracks["set"].tolist() == ["a-prepared", "a-prepared", "b-prepared"]
    assert both.windows.shape == (3, 8000)
    assert len(both.windows) == 3
    parts = [Prepared.load(folder) for folder in folders]
    separate = np.concatenate([part.waveforms(np.arange(len(part.windows))) for part in parts])
    rows = both.tracks["row"].to_numpy()
    np.testing.assert_array_equal(both.waveforms(rows), separate)
    np.testing.assert_array_equal(both.waveforms(rows[[2, 0]]), separate[[2, 0]])
    np.testing.assert_array_equal(both.windows[2], parts[1].windows[0])
    assert both.waveforms(np.array([], np.int64)).shape == (0, 8000)


def test_sets_of_another_audio_input_a_shared_track_or_name_are_refused(tmp_path: Path) -> None:
    first = make_set(tmp_path / "a", ["x"], 0)
    with pytest.raises(OtherSets, match="'x' twice"):
        load_sets([first, make_set(tmp_path / "b", ["x"], 1)])
    longer = AUDIO.model_copy(update={"window_s": 2.0})
    with pytest.raises(OtherSets, match="window_s"):
        load_sets([first, make_set(tmp_path / "c", ["y"], 1, longer)])
    with pytest.raises(OtherSets, match="two folders of the name 'a-prepared'"):
        load_sets([first, first])
