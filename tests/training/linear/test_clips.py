"""Clips to fit on: aligned with their targets, weighted by artist, without held-out artists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.training.linear.planted import audience_of, plant
from training.errors import NothingToTrain
from training.linear.clips import concatenate, label_clips
from training.linear.mixture import fit_estimator


def test_an_artist_counts_as_the_root_of_the_number_of_clips_in_a_set() -> None:
    clips = plant(n_artists=3)
    clips.tracks["artist"] = ["x", "x", "x", "x", "y", "y"]
    clips.tracks["set"] = ["a", "a", "a", "a", "b", "a"]
    np.testing.assert_allclose(clips.weights, [0.5, 0.5, 0.5, 0.5, 1, 1])


def test_clips_keep_their_targets_where_items_have_no_factor() -> None:
    planted = plant(n_artists=6)
    factors = audience_of(planted).factors
    tracks = planted.tracks.copy()
    tracks.loc[[2, 3], "item_id"] = "unknown"
    found = label_clips(tracks, planted.inputs, factors, None)
    kept = [0, 1, *range(4, 12)]
    np.testing.assert_array_equal(found.inputs, planted.inputs[kept])
    np.testing.assert_allclose(found.targets, planted.targets[kept], atol=1e-6)
    assert found.tracks["track_id"].tolist() == planted.tracks["track_id"].iloc[kept].tolist()


def test_no_test_artist_is_seen() -> None:
    """Outputs of test clips that would spoil every mean and product leave no trace."""
    planted = plant()
    audience, tracks = audience_of(planted), planted.tracks
    is_test = tracks["artist"] < "a10"
    split = tracks.assign(part=np.where(is_test, "test", "train"))
    spoilt = np.where(is_test.to_numpy()[:, None], np.nan, planted.inputs)
    clips = label_clips(tracks, spoilt, audience.factors, split)
    assert set(clips.tracks["artist"]) == set(tracks["artist"][~is_test])
    found = fit_estimator(clips, audience, per_set=False, seed=0)
    without = fit_estimator(planted[~is_test.to_numpy()], audience, per_set=False, seed=0)
    expected = without.predict(planted.inputs)
    np.testing.assert_allclose(found.predict(planted.inputs), expected, atol=1e-6)


def test_validation_artists_of_the_split_are_fitted_on() -> None:
    planted = plant(n_artists=3)
    parts = np.repeat(["train", "validation", "test"], 2)
    clips = label_clips(
        planted.tracks,
        planted.inputs,
        audience_of(planted).factors,
        planted.tracks.assign(part=parts),
    )
    assert clips.tracks["artist"].unique().tolist() == ["a00", "a01"]


def test_an_item_of_two_artists_is_of_the_first() -> None:
    planted = plant(n_artists=3)
    tracks = planted.tracks.assign(artist=["The Beta", "Álpha", "c", "c", "", ""])
    clips = label_clips(tracks, planted.inputs, audience_of(planted).factors, None)
    assert clips.tracks["artist"].tolist() == ["alpha", "alpha", "c", "c", "item a02", "item a02"]


def test_clips_without_any_target_are_refused() -> None:
    planted = plant(n_artists=3)
    tracks = planted.tracks.assign(item_id="unknown")
    with pytest.raises(NothingToTrain, match="none of its 6 prepared tracks"):
        label_clips(tracks, planted.inputs, audience_of(planted).factors, None)


def test_outputs_are_beside_each_other_and_folders_below() -> None:
    def outputs(start: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        rows = np.arange(start, start + 2, dtype=np.float32)[:, None]
        return {"x": rows, "y": 10 * rows}

    joined = concatenate([outputs(0), outputs(5)], ["y", "x"])
    assert joined.tolist() == [[0, 0], [10, 1], [50, 5], [60, 6]]


def test_columns_of_a_manifest_are_kept() -> None:
    planted = plant(n_artists=3)
    tracks = pd.DataFrame(planted.tracks.assign(codec="flac"))
    clips = label_clips(tracks, planted.inputs, audience_of(planted).factors, None)
    assert clips.tracks["codec"].tolist() == ["flac"] * 6
