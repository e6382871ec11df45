"""Artist, album and track by the command line: prepared, trained, tested, exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from models import bundle
from tests.training.cli.test_chain import run
from training.audio.windows import Prepared
from training.cli.main import app
from training.objectives.run import load_clips
from training.similarity.holdout import WITHIN_ARTIST
from training.similarity.report import draw_table

RATE, N_ARTISTS, CLIPS = 16_000, 6, 4
FAST = ("--width", "4", "--batch-size", "8", "--negatives", "2", "--validation-draws", "1")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones of 2 s: two albums of two clips for each artist."""
    folder = tmp_path_factory.mktemp("similarity")
    (folder / "audio").mkdir()
    rows = []
    for artist in range(N_ARTISTS):
        for clip in range(CLIPS):
            track = f"{artist}-{clip}"
            pitch = 200 * 1.5**artist * (1 + 0.01 * clip)
            tone = 0.4 * np.sin(2 * np.pi * pitch * np.arange(2 * RATE) / RATE)
            soundfile.write(folder / "audio" / f"{track}.wav", tone, RATE)
            rows.append((track, artist, f"artist {artist}", clip // 2, f"song {clip}"))
    columns = ["track_id", "item_id", "artist", "release", "name"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "tracks.csv", index=False)
    manifest = ("--manifest", folder / "tracks.csv", "--audio", folder / "audio")
    columns = ["--artist-column", "artist", "--album-column", "release", "--title-column", "name"]
    run("prepare", *manifest, *columns, "--out", folder / "prepared")
    data = [{"name": "tones", "use": "audio and artists", "licence": "none needed"}]
    (folder / "data.json").write_text(json.dumps(data))
    return folder


def test_clips_become_a_table_and_a_bundle(world: Path) -> None:
    prepared, out = ("--prepared", world / "prepared"), ("--song-split", "--out", world / "joint")
    train = ("similarity", *prepared, *out, "--concept", "joint", *FAST)
    printed = run(*train, "--max-epochs", "1")
    assert "24 clips of 24 songs; left out: 0 without an artist" in printed
    run(*train, "--max-epochs", "2")
    logs = [pd.read_csv(log) for log in sorted((world / "joint/logs").glob("*/metrics.csv"))]
    assert sorted(pd.concat(logs)["epoch"].dropna().unique()) == [0, 1]  # resumed
    clips = load_clips(world / "joint")
    assert clips["album"].nunique() == 2 * N_ARTISTS
    assert set(clips["song"]) >= {"artist0/song0", "artist0/song3"}

    tested = ("--run", world / "joint", *prepared, "--out", world / "report", "--draws", "3")
    table = run("similarity-report", *tested, "--negatives", "2")
    assert "| tested on | anchors | artists | untrained | joint |" in table
    assert "[0.686]" in table
    assert "positives of the validation part alone" in table
    measures = json.loads((world / "report" / "measures.json").read_text())
    assert measures["chance"] == pytest.approx(1 / 3)
    counts = measures["tested"]["artist"]
    assert counts == {"n_anchors": 6, "n_artists": 6, "n_own": 0, "negatives": 2}
    n_albums = measures["tested"]["album"]["n_anchors"]  # with a positive in the validation part
    assert f"0 of the {n_albums} anchors of albums" in table
    assert "No held-out artist has two albums to tell apart" in table

    models = ("--data", world / "data.json", "--out", world / "models" / "tones")
    exported = ("--run", world / "joint", *prepared, "--evaluation", world / "report")
    run("export", *exported, *models, "--on-demand")
    card = bundle.read(world / "models" / "tones").card
    assert (card.task, card.architecture, card.default) == ("music-similarity", "siamese", False)
    assert card.space is None
    stated = card.provenance
    assert "margins: artist 0.4, album 0.25, track 0.1" in stated.method
    assert (stated.hyperparameters["negatives"], stated.hyperparameters["width"]) == (2, 4)
    assert stated.metrics["artist: found"] == round(measures["measures"]["joint"]["artist"][0], 4)
    assert stated.split.startswith("by song, within artists; test: 6 clips of 6 artists")
    assert stated.data[0].name == "tones"

    # The bundle is tested beside the run, on windows decoded for it, and gives the same numbers.
    exact = world / "of-the-bundle" / "prepared"
    manifest = ("--manifest", world / "tracks.csv", "--audio", world / "audio")
    of_bundle = ("--bundle", world / "models" / "tones")
    run("prepare", *manifest, "--artist-column", "artist", *of_bundle, "--out", exact)
    assert Prepared.load(exact).audio == card.audio
    run("similarity-report", *tested, "--prepared", exact, *of_bundle, "--negatives", "2")
    measures = json.loads((world / "report" / "measures.json").read_text())["measures"]
    assert measures["tones"]["artist"] == measures["joint"]["artist"]


def test_artists_of_a_split_are_held_out(world: Path) -> None:
    prepared, split = ("--prepared", world / "prepared"), world / "split.csv"
    run("split", *prepared, "--validation", "0.5", "--out", split)
    table = pd.read_csv(split, dtype=str)
    out = world / "artist"
    arguments = ("--split", split, "--out", out, "--max-epochs", "1", "--negatives", "1")
    run("similarity", *prepared, *FAST[:4], *arguments)
    parts = load_clips(out).set_index("track_id")["part"]
    assert parts.to_dict() == dict(zip(table["track_id"], table["part"], strict=True))


def test_an_undivided_set_is_refused(world: Path) -> None:
    arguments = ["similarity", "--prepared", world / "prepared", "--out", world / "none"]
    refused = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert refused.exit_code == 2
    assert "--song-split" in refused.output


def test_a_run_of_users_has_no_encoder_to_export(world: Path) -> None:
    (world / "users").mkdir()
    (world / "users" / "settings.json").write_text("{}")
    (world / "users" / "kind.txt").write_text("users\n")
    arguments = ["export", "--run", world / "users", "--prepared", world / "prepared"]
    arguments += ["--data", world / "data.json", "--out", world / "models" / "other"]
    refused = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert refused.exit_code == 2
    assert "trains no encoder" in refused.output


def test_a_run_of_an_estimator_needs_its_factors(world: Path) -> None:
    (world / "estimator").mkdir()
    (world / "estimator" / "settings.json").write_text("{}")
    arguments = ["export", "--run", world / "estimator", "--prepared", world / "prepared"]
    arguments += ["--data", world / "data.json", "--out", world / "models" / "other"]
    refused = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert refused.exit_code == 2
    assert "--factors" in refused.output


def test_the_table_has_a_row_of_albums_by_one_artist_where_there_are_any() -> None:
    cells = {"artist": (0.5, 0.4, 0.6), "album": (0.7, 0.6, 0.8), WITHIN_ARTIST: (0.55, 0.5, 0.6)}
    cells["track"] = cells["artist"]
    counts = {"n_anchors": 8, "n_artists": 6, "n_own": 0, "negatives": 4}
    tested = {
        "artist": counts,
        "album": counts | {"n_own": 2},
        WITHIN_ARTIST: {"n_anchors": 3, "n_artists": 2, "n_own": 3, "negatives": 1},
    }
    content = {
        "positives": "validation",
        "negatives": 4,
        "chance": 0.2,
        "n_draws": 50,
        "tested": tested,
        "concepts": {"mine": "album"},
        "measures": {"mine": cells},
    }
    table = draw_table(content)
    assert "2 of the 8 anchors of albums (6 artists) have a possible negative" in table
    assert "(chance 0.500), which 3 anchors of 2 artists have" in table
    assert f"| {WITHIN_ARTIST} | 3 | 2 | 0.550 (0.500–0.600) |" in table
    no_albums = draw_table(content | {"tested": {"artist": counts}})
    assert "Not tested: album, track, which no test clip shares with another clip." in no_albums
    assert "Not tested" not in draw_table(content | {"tested": tested | {"track": counts}})
