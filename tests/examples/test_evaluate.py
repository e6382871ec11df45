"""The recommender's evaluation on a planted world, and the figures that are shown of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from examples.recommender import evaluate
from examples.recommender.blend import unit
from examples.recommender.evaluation import curve, mixed, picture, tables
from examples.recommender.evaluation.folds import MEAN, PREDICTION, RIDGE, Fold, Songs
from examples.recommender.factors import Factors
from tests.examples.world import N_HELD_OUT, World

SMALL: curve.Parameters = {curve.BLEND: (0.3,), curve.WEIGHTED: (3.0,)}
PAGE = Path(evaluate.__file__).parent / "README.md"


@pytest.fixture(scope="module")
def fold(world: World, factors: Factors) -> Fold:
    """Songs as the planted encoder hears them; ridge and mean vector tell nothing of them."""
    known = world.listens[:, :-N_HELD_OUT]
    predicted = unit(world.genres[world.held_out].astype(np.float32) @ world.heard())
    mean = np.tile(unit(factors.item_factors.mean(0)), (N_HELD_OUT, 1))
    songs = Songs(
        artists=[f"artist-{artist}" for artist in world.held_out],
        artist_index=np.arange(N_HELD_OUT),
        listens=world.listens[:, world.held_out].T,
        predicted={PREDICTION: predicted, MEAN: mean, RIDGE: mean},
    )
    user_items = sparse.csr_matrix(known.astype(np.float32))
    return Fold(
        factors, user_items, world.listens.sum(1), {"recordings": songs, "renderings": songs}
    )


@pytest.fixture(scope="module")
def measured(fold: Fold) -> dict[str, curve.Values]:
    values, _ = curve.measure_songs(fold, fold.songs["recordings"], 0, SMALL)
    return {name if isinstance(name, str) else name[0]: aucs for name, aucs in values.items()}


def test_what_hears_the_taste_is_better_than_what_does_not(
    measured: dict[str, curve.Values],
) -> None:
    means = {name: aucs.mean(0) for name, aucs in measured.items()}
    assert means[PREDICTION][0] > 0.75
    assert means[PREDICTION][0] > means[MEAN][0] + 0.2
    assert means[curve.CEILING][0] > means[PREDICTION][0] + 0.02
    assert abs(means[curve.POPULARITY][0] - 0.5) < 0.15


def test_plays_alone_begin_at_chance_and_learn(measured: dict[str, curve.Values]) -> None:
    plays = measured[curve.FOLD_IN].mean(0)
    assert plays[0] == 0.5
    assert plays[-1] > plays[1] > 0.55


def test_methods_that_see_no_listeners_do_not_change(measured: dict[str, curve.Values]) -> None:
    for name in (PREDICTION, MEAN, curve.CEILING, curve.POPULARITY):
        assert (measured[name] == measured[name][:, :1]).all()


def test_the_blends_begin_as_sound(measured: dict[str, curve.Values]) -> None:
    for family in curve.FAMILIES:
        np.testing.assert_allclose(measured[family][:, 0], measured[PREDICTION][:, 0], atol=1e-4)
        assert measured[family].mean(0)[-1] > measured[MEAN].mean(0)[-1] + 0.2


def test_a_parameter_is_chosen_on_the_other_folds() -> None:
    good, bad = np.full((3, 2), 0.9), np.full((3, 2), 0.6)
    likes_low = {(curve.BLEND, value): bad for value in curve.PRECISIONS}
    likes_high = likes_low | {(curve.BLEND, 0.8): good}
    likes_low = likes_low | {(curve.BLEND, 0.05): good}
    assert curve.choose([likes_low, likes_high], curve.BLEND, without=0) == 0.8
    assert curve.choose([likes_low, likes_high], curve.BLEND, without=1) == 0.05


def test_worth_is_where_plays_become_as_good_as_sound() -> None:
    n = len(curve.SEEN)
    groups = np.array([0, 1])
    plays = np.tile([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95], (2, 1))
    names = (PREDICTION, MEAN, RIDGE, curve.CEILING, curve.POPULARITY, curve.BLEND, curve.WEIGHTED)
    values = {name: np.full((2, n), 0.75) for name in names} | {curve.FOLD_IN: plays}
    found = curve.summarize(values, groups)
    assert found["worth_listeners"] == [2.5, 2.5, 2.5]
    assert found["user_auc"][PREDICTION][0] == [0.75, 0.75, 0.75]
    assert found["differences"][f"{curve.BLEND} minus {curve.FOLD_IN}"][-1][0] == -0.2


@pytest.fixture(scope="module")
def catalogue(fold: Fold) -> mixed.Mixed:
    return mixed.mix(fold, "recordings", 0)


def test_without_a_rule_no_new_song_is_shown_and_nothing_is_lost(catalogue: mixed.Mixed) -> None:
    users = mixed.judge(catalogue, None, 0)
    assert not users["share_new"].any()
    assert np.nanmax(users["ndcg_loss"]) == 0
    assert np.nanmean(users["ndcg_old"]) > 0.1


def test_slots_hold_their_share_and_find_more_than_chance(catalogue: mixed.Mixed) -> None:
    losses = []
    for slots in (1, 2, 3):
        users = mixed.judge(catalogue, None, slots)
        assert users["share_new"] == pytest.approx(slots / mixed.K)
        assert np.nanmean(users["recall_new"]) > 1.5 * slots / N_HELD_OUT
        losses.append(float(np.nanmean(users["ndcg_loss"])))
    assert 0 <= losses[0] < losses[1] < losses[2]


def test_the_map_between_factorisations_keeps_what_sound_tells(catalogue: mixed.Mixed) -> None:
    in_fold, mapped = catalogue.user_auc
    assert mapped > in_fold - 0.05


def test_the_picture_is_drawn_from_its_data() -> None:
    figures = json.loads(evaluate.RESULT.read_text())
    assert picture.draw(figures) == evaluate.PICTURE.read_text()


def test_the_tables_of_the_page_are_the_measured_ones() -> None:
    figures = json.loads(evaluate.RESULT.read_text())
    page = PAGE.read_text()
    for rows in (
        *(tables.curve_table(figures, name) for name in evaluate.SETS),
        tables.mixed_table(figures),
        tables.length_table(figures),
    ):
        assert "\n".join(rows) in page, "run python -m examples.recommender.evaluate --tables"
