"""Taggrams with and without factors: what is joined, the controls, the groups, refused files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from training.cf.als import Factorization
from training.cf.settings import AlsSettings
from training.cli.main import app
from training.datasets.published.gtzan_identities import IDENTITIES, TAGGRAMS, read_taggrams
from training.errors import BadDataset
from training.papers.taggrams import (
    DEALT,
    WITH,
    WITHOUT,
    deal_factors,
    draw_table,
    factors_of_tracks,
)
from training.tables.measures import read_measures

N_TAGS, N_PATCHES, DIM = 50, 4, 6
GENRES = ("blues", "rock")


def make_folder(folder: Path) -> Path:
    """Tags of noise; twelve artists of two genres, three recordings each, the last one tests.

    Artists 0 and 1 are on both sides, the others on one. The last artist of each genre has two
    listeners, and the one before is not in the logs.
    """
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = []
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for artist in range(24):
        genre = GENRES[artist % 2]
        listeners = 2 if artist >= 22 else 9
        known = "" if artist in (20, 21) else str(artist)
        for number in range(3):
            track = f"{genre}.{3 * artist + number:05}"
            rows.append((track, genre, f"Artist {artist}", known, listeners if known else ""))
            both = artist < 2 and number == 2
            parts["test" if both or artist % 4 >= 2 else "train"].append(track)
    columns = ["track_id", "genre", "artist", "artist_id", "listeners"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / IDENTITIES, index=False)
    for part, file in TAGGRAMS.items():
        names = [f"{track[:-6]}/{track}.au" for track in parts[part] for _ in range(N_PATCHES)]
        tags = rng.uniform(0, 1, (len(names), N_TAGS)).astype(np.float32)
        np.savez(folder / file, X=tags, Y=np.zeros(len(names)), IDS=np.array(names))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("identities"))


@pytest.fixture(scope="module")
def factors() -> Factorization:
    """Factors of all artists but two: one direction for each genre, of other lengths."""
    rng = np.random.default_rng(1)
    artists = [artist for artist in range(24) if artist not in (20, 21)]
    directions = np.eye(2, DIM)[[artist % 2 for artist in artists]]
    made = (directions + 0.05 * rng.normal(size=(len(artists), DIM))) * rng.uniform(
        0.01, 3, (len(artists), 1)
    )
    users = pd.Index(["u"])
    return Factorization(
        made.astype(np.float32),
        np.zeros((1, DIM), np.float32),
        pd.Index(list(map(str, artists))),
        users,
        AlsSettings(factors=DIM),
        {},
    )


def test_patches_have_the_identity_of_their_recording(folder: Path) -> None:
    taggrams = read_taggrams(folder)
    assert taggrams.patches.shape == (72 * N_PATCHES, N_TAGS)
    assert np.bincount(taggrams.owners).tolist() == [N_PATCHES] * 72
    first = taggrams.tracks.iloc[0]
    assert (first["track_id"], first["artist"], first["part"]) == (
        "blues.00000",
        "artist0",
        "train",
    )
    table = taggrams.tracks
    on_both = set(table.loc[table["part"] == "train", "artist"]) & set(
        table.loc[table["part"] == "test", "artist"]
    )
    assert on_both == {"artist0", "artist1"}


def test_factors_are_of_unit_length_and_of_artists_with_three_listeners(
    folder: Path, factors: Factorization
) -> None:
    tracks = read_taggrams(folder).tracks
    values, has = factors_of_tracks(tracks, factors)
    assert set(tracks["artist"][~has]) == {"artist20", "artist21", "artist22", "artist23"}
    np.testing.assert_allclose(np.linalg.norm(values[has], axis=1), 1, rtol=1e-5)
    known = has & (tracks["part"] == "train").to_numpy()
    np.testing.assert_allclose(values[~has], np.tile(values[known].mean(0), ((~has).sum(), 1)))


def test_dealt_factors_name_an_artist_and_are_of_another_one(
    folder: Path, factors: Factorization
) -> None:
    tracks = read_taggrams(folder).tracks
    values, has = factors_of_tracks(tracks, factors)
    dealt = deal_factors(tracks, values, has, 0)
    np.testing.assert_array_equal(dealt[~has], values[~has])
    assert sorted(map(tuple, dealt[has])) == sorted(map(tuple, values[has]))
    per_artist = pd.DataFrame(dealt[has]).groupby(tracks["artist"][has].to_numpy()).nunique()
    assert (per_artist == 1).all(axis=None)
    assert not np.array_equal(dealt, values)


def test_factors_help_where_they_tell_the_genre_and_dealt_ones_do_not(
    folder: Path, factors: Factorization, tmp_path: Path
) -> None:
    factors.save(tmp_path / "factors")
    words = ("--identities", folder, "--factors", tmp_path / "factors", "--deals", 3)
    arguments = ["taggrams", *map(str, words), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    measures = read_measures(tmp_path / "out", "taggrams")
    on_new = measures["measures"]["with a factor, artist not in training"]
    assert on_new[WITH][0] > 0.9
    assert max(on_new[WITHOUT][0], on_new[DEALT][0]) < 0.75
    assert on_new[f"{WITH} − {WITHOUT}"][0] == pytest.approx(on_new[WITH][0] - on_new[WITHOUT][0])
    groups = {group["name"]: group for group in measures["groups"]}
    assert groups["with a factor, artist in training"]["n_artists"] == 2
    assert groups["all"]["n_tracks"] == (
        groups["with a factor"]["n_tracks"] + groups["without a factor"]["n_tracks"]
    )
    assert measures["n_artists_on_both_sides"] == 2
    table = (tmp_path / "out" / "report.md").read_text()
    assert "2 artists are on both sides of the split, 2 of them with a factor" in table
    assert "| with a factor, artist not in training |" in table


def test_damaged_and_mixed_files_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    train, test = (folder / file for file in TAGGRAMS.values())
    kept = test.read_bytes()
    test.write_bytes(train.read_bytes())
    with pytest.raises(BadDataset, match=r"blues\.00000 is in both parts"):
        read_taggrams(folder)
    test.write_bytes(kept[:100])
    with pytest.raises(BadDataset, match="cannot be read"):
        read_taggrams(folder)
    test.write_bytes(kept)
    table = pd.read_csv(folder / IDENTITIES, dtype=str)
    table[1:].to_csv(folder / IDENTITIES, index=False)
    with pytest.raises(BadDataset, match=r"no row of blues\.00000"):
        read_taggrams(folder)
    (folder / IDENTITIES).unlink()
    with pytest.raises(BadDataset, match=IDENTITIES):
        read_taggrams(folder)


def test_the_page_has_the_table_of_its_figures() -> None:
    docs = Path(__file__).parents[3] / "docs"
    content = json.loads((docs / "leaderboard" / "taggrams.json").read_text())
    assert draw_table(content) in (docs / "leaderboard.md").read_text()
