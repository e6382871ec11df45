"""Ranking metrics agree with their definitions, and baselines score as expected."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import ndcg_score, roc_auc_score

from training.cf.als import Factorization, factorize
from training.cf.logs import Logs
from training.cf.settings import AlsSettings
from training.errors import OtherUsers
from training.evaluation.baselines import shuffle_items
from training.evaluation.ranking_metrics import (
    HeldOut,
    bootstrap_over_groups,
    clip_measures,
    held_out,
    recommendation_measures,
    users_of,
)

N_USERS, N_ITEMS, N_NEW = 200, 60, 12


@pytest.fixture(scope="module")
def world() -> tuple[HeldOut, Factorization, pd.Series]:
    """Users and items with hidden tastes; the last items are held out of the factorisation."""
    rng = np.random.default_rng(0)
    tastes, sounds = rng.normal(size=(N_USERS, 5)), rng.normal(size=(N_ITEMS, 5))
    user_items = (tastes @ sounds.T > 1.5).astype(np.float32)
    users = pd.Index([f"u{number}" for number in range(N_USERS)])
    items = pd.Index([f"i{number:02}" for number in range(N_ITEMS)])
    logs = Logs(sparse.csr_matrix(user_items), users, items, {})
    known = Logs(sparse.csr_matrix(user_items[:, :-N_NEW]), users, items[:-N_NEW], {})
    factors = factorize(known, AlsSettings(factors=8), check=False)
    clips = pd.Series(items[-N_NEW:].repeat(3))
    data, mask = held_out(clips, logs, factors, min_listeners=10)
    return data, factors, clips[mask]


def test_user_auc_is_the_area_under_the_curve(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    data, factors, _ = world
    predicted = np.random.default_rng(0).normal(size=(len(data.item_index), 8)).astype(np.float32)
    measured = clip_measures(predicted, data, factors)["user_auc"]
    for clip, vector in enumerate(predicted):
        listens = data.item_users[data.item_index[clip]].toarray()[0]
        assert measured[clip] == pytest.approx(
            roc_auc_score(listens, factors.user_factors @ vector)
        )


def test_the_ceiling_is_far_above_chance_and_shuffled_near_it(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    data, factors, _ = world
    ceiling = data.folded_in[data.item_index]
    shuffled = shuffle_items(ceiling, data.item_index)
    best = clip_measures(ceiling, data, factors)
    assert best["cosine"].min() == pytest.approx(1, abs=1e-5)
    assert best["user_auc"].mean() > 0.9
    assert clip_measures(shuffled, data, factors)["user_auc"].mean() < 0.65


def test_recommendation_measures_follow_their_definitions(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    data, factors, _ = world
    measured = recommendation_measures(data.folded_in[data.item_index], data, factors, k=5)
    relevant = data.item_users.T.toarray() > 0
    scores = factors.user_factors @ data.folded_in.T
    users = relevant.any(1)
    tied = ~factors.user_factors[users].any(1)  # users of held-out items only: any order is right
    expected = [
        ndcg_score(relevant[user][None], scores[user][None], k=5) for user in np.flatnonzero(users)
    ]
    np.testing.assert_allclose(measured["ndcg_at_5"][~tied], np.array(expected)[~tied], rtol=1e-5)
    top = np.argsort(-scores[users], axis=1)[:, :5]
    hits = np.take_along_axis(relevant[users], top, 1).sum(1)
    recall = hits / relevant[users].sum(1)
    np.testing.assert_allclose(measured["recall_at_5"][~tied], recall[~tied])


def test_users_that_the_logs_lack_are_not_taken_for_others(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    _, factors, clips = world
    others = Logs(sparse.csr_matrix(np.ones((2, 1))), pd.Index(["u0", "x"]), pd.Index(["i59"]), {})
    with pytest.raises(OtherUsers, match=f"{N_USERS - 1} users"):
        held_out(clips, others, factors, min_listeners=1)


def test_items_with_few_listeners_do_not_count(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    data, _, clips = world
    assert (np.diff(data.item_users.indptr) >= 10).all()
    assert len(data.item_index) == len(clips)
    assert data.items[data.item_index].tolist() == clips.tolist()


def test_shuffling_gives_each_clip_another_items_prediction() -> None:
    index = np.repeat(np.arange(4), 5)
    predicted = index[:, None].astype(np.float32)
    assert (shuffle_items(predicted, index)[:, 0] != index).all()


def test_the_interval_is_over_items_not_clips() -> None:
    values, items = np.repeat([0.0, 1.0, 0.0, 1.0], 100), np.repeat(np.arange(4), 100)
    mean, low, high = bootstrap_over_groups(values, items)
    assert mean == 0.5
    assert high - low > 0.5  # four items tell little, however many clips they have


def test_intervals_are_over_artists_where_an_artist_has_several_items(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    data, _, _ = world
    artists = data.item_index // 4  # four items of each
    # Clips of an artist are alike: an interval over items would be too narrow.
    values = artists.astype(float)
    over = [bootstrap_over_groups(values, groups) for groups in (data.item_index, artists)]
    (mean, low, high), (other_mean, other_low, other_high) = over
    assert mean == other_mean
    assert other_high - other_low > 1.3 * (high - low)


def test_some_clips_are_judged_as_they_are_among_all(
    world: tuple[HeldOut, Factorization, pd.Series],
) -> None:
    data, factors, _ = world
    predicted = np.random.default_rng(0).normal(size=(len(data.item_index), 8)).astype(np.float32)
    mask = np.isin(data.item_index, [1, 4, 5])
    some = data.of_clips(mask)
    assert some.items.tolist() == data.items[[1, 4, 5]].tolist()
    whole = clip_measures(predicted, data, factors)
    for name, values in clip_measures(predicted[mask], some, factors).items():
        np.testing.assert_array_equal(values, whole[name][mask])
    listens = some.item_users.toarray() > 0
    np.testing.assert_array_equal(users_of(some), listens.any(0))
    ranked = recommendation_measures(predicted[mask], some, factors, k=3)
    assert len(ranked["recall_at_3"]) == listens.any(0).sum()
    assert (ranked["recall_at_3"] == 1).all()  # there are three items
