"""Prepared windows equal the service's; bad files are listed; a stopped run resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import Patches
from tests.sounds import golden, write
from training.audio.manifest import WINDOW_COLUMNS, load_manifest, read_manifest
from training.audio.windows import Prepared, prepare
from training.datasets.custom import RESERVED_COLUMNS
from training.errors import BadManifest, OtherManifest
from training.networks.cf_estimator import CFEstimator

AUDIO = CFEstimator.audio


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
    records = {record["track_id"]: record for record in prepare(manifest, library / "out", AUDIO)}
    assert records["long"]["cut"]
    assert records["short"]["padded"]
    refused = pd.read_csv(library / "out" / "refused.csv").set_index("track_id")["reason"]
    assert "no decoder" in refused["text"]
    assert "no such file" in refused["absent"]


def test_windows_are_what_the_service_hears(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library)
    list(prepare(manifest, library / "out", AUDIO))
    prepared = Prepared.load(library / "out")
    assert prepared.tracks["track_id"].tolist() == ["long", "short"]
    decoded = read_windows(library / "long.flac", AUDIO, WindowChoice()).samples
    kept = prepared.waveforms(prepared.tracks["row"].to_numpy()[:1])
    np.testing.assert_allclose(kept, decoded, atol=1 / 32767)


def test_patches_are_kept_as_the_service_hears_them(library: Path) -> None:
    patches = Patches(seconds=3.0, starts_s=(3.5, 23.5))
    audio = AUDIO.model_copy(update={"patches": patches})
    manifest = read_manifest(library / "manifest.csv", library)
    first = list(prepare(manifest, library / "out", audio))
    prepared = Prepared.load(library / "out")
    assert prepared.audio == audio
    assert prepared.windows.shape == (len(manifest), 2 * 3 * audio.sample_rate)
    for row, name in enumerate(("long", "short")):
        decoded = read_windows(library / f"{name}.flac", audio, WindowChoice()).samples
        np.testing.assert_allclose(prepared.waveforms(np.array([row])), decoded, atol=1 / 32767)
    assert {record["track_id"]: record for record in prepare(manifest, library / "out", audio)} == {
        record["track_id"]: record for record in first
    }
    with pytest.raises(OtherManifest):
        list(prepare(manifest, library / "out", AUDIO))


def test_a_stopped_run_leaves_the_rest_for_the_next(library: Path) -> None:
    rows = [(f"t{number}", "i1", "a", "long.flac") for number in range(40)]
    table = pd.DataFrame(rows, columns=["track_id", "item_id", "artist", "path"])
    table.to_csv(library / "many.csv", index=False)
    manifest = read_manifest(library / "many.csv", library)
    run = prepare(manifest, library / "out", AUDIO, workers=1)
    first = next(run)
    run.close()
    log = library / "out" / "log.jsonl"
    assert len(log.read_text().splitlines()) < 5
    log.write_text(log.read_text() + '{"track_id": "t3')  # as a crash leaves it
    records = {record["track_id"]: record for record in prepare(manifest, library / "out", AUDIO)}
    assert records[first["track_id"]] == first
    assert sorted(records) == sorted(manifest["track_id"])
    written = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(record["track_id"] for record in written) == sorted(manifest["track_id"])


def test_a_file_that_was_missing_is_read_once_it_is_there(library: Path) -> None:
    list(prepare(read_manifest(library / "manifest.csv", library), library / "out", AUDIO))
    (library / "long.flac").rename(library / "absent.flac")
    manifest = read_manifest(library / "manifest.csv", library)
    records = {record["track_id"]: record for record in prepare(manifest, library / "out", AUDIO)}
    assert records["absent"]["cut"]
    assert records["long"]["cut"]  # read before it went
    assert len(load_manifest(library / "out")) == 4


def test_ids_and_artists_are_text_whatever_they_look_like(library: Path) -> None:
    rows = [("long", "007", "NA"), ("short", "7", "None"), ("text", "8", "")]
    table = pd.DataFrame(rows, columns=["track_id", "item_id", "artist"])
    table.to_csv(library / "odd.csv", index=False)
    manifest = read_manifest(library / "odd.csv", library, artist_column="artist")
    list(prepare(manifest, library / "out", AUDIO))
    tracks = Prepared.load(library / "out").tracks
    assert tracks["item_id"].tolist() == ["007", "7"]
    assert tracks["artist"].tolist() == ["NA", "None"]
    assert load_manifest(library / "out")["artist"].tolist() == ["NA", "None", "8"]


def test_a_file_of_another_length_than_it_states_has_a_note(library: Path) -> None:
    parts = [write(library / f"{seconds}.mp3", golden(seconds)) for seconds in (2, 9)]
    (library / "joined.mp3").write_bytes(b"".join(part.read_bytes() for part in parts))
    rows = [("joined", "i1", "a"), ("9", "i2", "b")]
    table = pd.DataFrame(rows, columns=["track_id", "item_id", "artist"])
    table.to_csv(library / "lengths.csv", index=False)
    list(prepare(read_manifest(library / "lengths.csv", library), library / "out", AUDIO))
    tracks = Prepared.load(library / "out").tracks.set_index("track_id")
    assert tracks.loc["joined", "duration_s"] == pytest.approx(11, abs=0.2)
    assert "header promises 2.0 s" in tracks.loc["joined", "notes"]
    assert tracks["notes"].fillna("")["9"] == ""


def test_another_manifest_is_not_mixed_in(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library)
    list(prepare(manifest, library / "out", AUDIO))
    with pytest.raises(OtherManifest, match="another --out"):
        list(prepare(manifest.head(2), library / "out", AUDIO))


def test_a_bad_manifest_is_refused_by_name(library: Path) -> None:
    with pytest.raises(BadManifest, match="no column song"):
        read_manifest(library / "manifest.csv", library, track_column="song")
    with pytest.raises(BadManifest, match="'b' is repeated"):
        read_manifest(library / "manifest.csv", library, track_column="artist")


def test_a_silent_middle_is_prepared_from_the_nearest_sound_with_a_note(library: Path) -> None:
    sound = golden(80, 8_000, 1)
    sound[len(sound) // 8 :] = 0
    write(library / "hidden.wav", sound, 8_000)
    table = pd.DataFrame([("hidden", "i1", "a")], columns=["track_id", "item_id", "artist"])
    table.to_csv(library / "silent.csv", index=False)
    list(prepare(read_manifest(library / "silent.csv", library), library / "out", AUDIO))
    prepared = Prepared.load(library / "out")
    assert "the middle, at " in prepared.tracks["notes"][0]
    assert np.ptp(prepared.waveforms(prepared.tracks["row"].to_numpy())) > 0.1


def test_the_columns_that_are_added_to_the_manifest_are_reserved(library: Path) -> None:
    manifest = read_manifest(library / "manifest.csv", library)
    list(prepare(manifest, library / "out", AUDIO))
    added = [name for name in Prepared.load(library / "out").tracks if name not in manifest]
    assert added == list(WINDOW_COLUMNS)
    assert RESERVED_COLUMNS.issuperset(added)
