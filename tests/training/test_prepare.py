"""Windows are what the service would hear; bad files are listed; a stopped run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from models.audio import read_windows
from models.window import WindowChoice
from training.errors import BadManifest, OtherManifest
from training.export import WINDOW
from training.prepare import Prepared, prepare, read_manifest


@pytest.fixture
def library(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, seconds in (("long", 40), ("short", 5)):
        noise = rng.uniform(-0.5, 0.5, (seconds * 22_050, 2))
        soundfile.write(tmp_path / f"{name}.flac", noise, 22_050)
    (tmp_path / "text.mp3").write_text("not music\n" * 100)
    rows = [("long", "i1", "a"), ("short", "i2", "b"), ("text", "i2", "b"), ("absent", "i3", "c")]
    manifest = pd.DataFrame(rows, columns=["track_id", "item_id", "artist"])
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path


def test_every_track_is_read_cut_padded_or_refused_with_why(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library, artist_column="artist")
    records = {record["track_id"]: record for record in prepare(manifest, library / "out", WINDOW)}
    assert records["long"]["cut"]
    assert records["short"]["padded"]
    refused = pd.read_csv(library / "out" / "refused.csv").set_index("track_id")["reason"]
    assert "no decoder" in refused["text"]
    assert "no such file" in refused["absent"]


def test_windows_are_what_the_service_hears(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library)
    list(prepare(manifest, library / "out", WINDOW))
    prepared = Prepared.load(library / "out")
    assert prepared.tracks["track_id"].tolist() == ["long", "short"]
    heard = read_windows(library / "long.flac", WINDOW, WindowChoice()).samples
    kept = prepared.waveforms(prepared.tracks["row"].to_numpy()[:1])
    np.testing.assert_allclose(kept, heard, atol=1 / 32767)


def test_a_stopped_run_goes_on(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library)
    run = prepare(manifest.head(3), library / "out", WINDOW, workers=1)
    first = next(run)
    run.close()
    (library / "long.flac").unlink()  # the first: done already, so it is not read again
    records = {
        record["track_id"]: record for record in prepare(manifest.head(3), library / "out", WINDOW)
    }
    assert first["track_id"] == "long"
    assert records["long"] == first
    assert sorted(records) == ["long", "short", "text"]


def test_another_manifest_is_not_mixed_in(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library)
    list(prepare(manifest, library / "out", WINDOW))
    with pytest.raises(OtherManifest, match="another --out"):
        list(prepare(manifest.head(2), library / "out", WINDOW))


def test_a_bad_manifest_is_refused_by_name(library: Path) -> None:
    with pytest.raises(BadManifest, match="no column song"):
        read_manifest(library / "manifest.csv", library, track_column="song")
    with pytest.raises(BadManifest, match="'b' is there twice"):
        read_manifest(library / "manifest.csv", library, track_column="artist")
