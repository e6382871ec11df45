"""Pictures of vectors: neighbours are the nearest, and they are drawn again alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.fitting.space_figures import (
    COSINES,
    MAP,
    NEIGHBOURS,
    SPACE_DATA,
    draw_space,
    project,
    redraw_space,
    to_unit,
)

N_ARTISTS, N_EACH = 6, 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips of six artists, each near to the artist's direction; two genres of three artists."""
    rng = np.random.default_rng(0)
    directions = np.repeat(rng.normal(size=(N_ARTISTS, 8)), N_EACH, axis=0)
    predicted = (directions + 0.1 * rng.normal(size=directions.shape)).astype(np.float32)
    artist = np.repeat([f"a{number}" for number in range(N_ARTISTS)], N_EACH)
    genre = np.repeat(["rock", ""], 3 * N_EACH)
    names = np.array([f"t{number}" for number in range(len(artist))])
    groups = {"artist": artist, "genre": genre}
    draw_space(tmp_path, names, predicted, groups, directions.astype(np.float32))
    return tmp_path


def test_neighbours_are_of_the_same_artist_and_never_the_clip_itself(folder: Path) -> None:
    found = pd.read_csv(folder / NEIGHBOURS, keep_default_na=False)
    assert (found["track_id"] != found["neighbour"]).all()
    same = found["artist"] == found["neighbour_artist"]
    assert same[found["rank"] < N_EACH].all()
    assert not same[found["rank"] == N_EACH].any()
    assert (found.groupby("track_id")["cosine"].diff().dropna() <= 0).all()


def test_pictures_are_drawn_again_alike_from_the_vectors(folder: Path) -> None:
    first = {name: (folder / name).read_bytes() for name in (MAP, COSINES, NEIGHBOURS)}
    for name in first:
        (folder / name).unlink()
    redraw_space(folder)
    assert {name: (folder / name).read_bytes() for name in first} == first
    text = first[COSINES].decode()
    for label in ("two clips of one artist", "a clip and its target"):
        assert f"<!-- {label} -->" in text
    assert "<!-- a0 (5) -->" in first[MAP].decode()


def test_the_map_keeps_what_is_near_near(folder: Path) -> None:
    data = np.load(folder / SPACE_DATA)
    places = project(to_unit(data["predicted"]))
    centres = np.stack([places[data["group/artist"] == f"a{n}"].mean(0) for n in range(N_ARTISTS)])
    spread = np.linalg.norm(places - np.repeat(centres, N_EACH, axis=0), axis=1).mean()
    assert np.linalg.norm(centres - centres.mean(0), axis=1).mean() > 4 * spread


def test_two_clips_have_no_pictures(tmp_path: Path) -> None:
    draw_space(tmp_path, np.array(["a", "b"]), np.eye(2, dtype=np.float32), {})
    assert not list(tmp_path.iterdir())
