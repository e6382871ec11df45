"""The penalty is chosen by the user AUC of artists that the map was fitted without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.linear.planted import audience_of, mean_cosine, plant
from training.errors import NothingToEvaluate, TooFewArtists
from training.linear.alpha import ALPHAS, cross_validate, fit_map
from training.linear.clips import LabelledClips


def test_a_planted_map_is_recovered_for_new_artists() -> None:
    # The same map and other artists: 60 of one world, split in two.
    world = plant(n_artists=60)
    half = np.arange(len(world)) < 60
    known, new = world[half], world[~half]
    fitted = fit_map(known, audience_of(known), seed=0)
    assert fitted.user_auc[fitted.alpha] == max(fitted.user_auc.values())
    assert fitted.user_auc[fitted.alpha] > 0.9
    assert mean_cosine(fitted.map(new.inputs), new.targets) > 0.9


def test_penalties_are_half_a_decade_apart() -> None:
    assert ALPHAS[0::2] == (10, 100, 1000, 10_000, 100_000)
    assert np.allclose(np.diff(np.log10(ALPHAS)), 0.5, atol=1e-3)


def test_inputs_that_mean_nothing_raise_the_penalty() -> None:
    clips = plant()
    audience, rng = audience_of(clips), np.random.default_rng(0)
    noise = rng.normal(size=(len(clips), 300)).astype(np.float32)
    wide = LabelledClips(np.hstack([clips.inputs, noise]), clips.targets, clips.tracks)
    chosen = [fit_map(known, audience, seed=0).alpha for known in (clips, wide)]
    assert chosen[0] < chosen[1]


def test_an_artist_is_predicted_by_maps_that_were_fitted_without_the_artist() -> None:
    clips = plant()
    artist = clips.tracks["artist"].to_numpy() == "a07"
    targets = np.where(artist[:, None], np.float32(100), clips.targets)
    other = LabelledClips(clips.inputs, targets, clips.tracks)
    before, after = (cross_validate(known, ALPHAS, seed=0) for known in (clips, other))
    np.testing.assert_array_equal(before[:, artist], after[:, artist])
    assert (before[:, ~artist] != after[:, ~artist]).any()


def test_a_choice_needs_two_artists_with_listeners() -> None:
    clips = plant(n_artists=3)
    audience = audience_of(clips)
    one = clips[clips.tracks["artist"].to_numpy() == "a00"]
    with pytest.raises(TooFewArtists, match="of 1 artist"):
        fit_map(one, audience, seed=0)
    with pytest.raises(NothingToEvaluate, match="11 or more listeners"):
        fit_map(clips, replace(audience, min_listeners=11), seed=0)
