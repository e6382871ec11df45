"""One deal of all artists into five folds: stable, the same in every set, and balanced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.datasets import load_reader
from training.datasets.folds import N_FOLDS, assign_parts, deal_fold

DATA = Path(__file__).parents[4] / "shared" / "data"
DEALT = {
    "emotify-gems": "emotify",
    "emotify-genre": "emotify",
    "mood-cluster": "mood-recordings",
    "mood-quadrant": "mood-recordings",
}


def test_the_deal_does_not_change() -> None:
    """Published figures are of these folds: another deal would make them incomparable."""
    assert "".join(str(deal_fold(f"artist{number}")) for number in range(12)) == "143021342211"


def test_all_folds_are_dealt_alike() -> None:
    folds = [deal_fold(f"artist {number}") for number in range(5000)]
    assert np.bincount(folds, minlength=N_FOLDS).min() > 900
    assert set(folds) == set(range(N_FOLDS))


@pytest.fixture(scope="module")
def tracks() -> dict[str, pd.DataFrame]:
    if not DATA.exists():
        pytest.skip("needs ../shared/data")
    return {name: load_reader(name)(DATA / folder).tracks for name, folder in DEALT.items()}


def test_each_class_has_an_eighth_to_three_tenths_of_its_tracks_in_every_fold(
    tracks: dict[str, pd.DataFrame],
) -> None:
    for name, table in tracks.items():
        if "label" in table:
            shares = pd.crosstab(table["label"], table["fold"], normalize="index")
            assert shares.shape[1] == N_FOLDS
            assert shares.to_numpy().min() > 0.12, (name, shares)
            assert shares.to_numpy().max() < 0.3, (name, shares)


def test_no_artist_is_in_two_folds_of_any_sets(tracks: dict[str, pd.DataFrame]) -> None:
    rows = pd.concat(tracks.values())
    assert (rows.groupby("artist")["fold"].nunique() == 1).all()
    shared = set(tracks["mood-cluster"]["artist"]) & set(tracks["mood-quadrant"]["artist"])
    assert len(shared) > 50  # the test is about these


def test_every_part_of_every_fold_has_each_class(tracks: dict[str, pd.DataFrame]) -> None:
    for table in tracks.values():
        for fold in range(N_FOLDS):
            parts = table.assign(part=assign_parts(table, fold))
            assert (parts.groupby("artist")["part"].nunique() == 1).all()
            if "label" in parts:
                assert (pd.crosstab(parts["part"], parts["label"]) > 0).all().all()
