"""Pairs: the liked clip's artist was played, the disliked one's never, whatever the logs are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from training.cf.logs import Logs
from training.errors import NoPairsToTrain
from training.networks.base import Encoded
from training.preference.objective import PreferenceHinge
from training.preference.pairs import PreferenceDraws, find_listeners


def make_logs(n_users: int, n_items: int, density: float, seed: int) -> Logs:
    rng = np.random.default_rng(seed)
    chance = density * np.linspace(0.2, 1.5, n_items)
    entries = sparse.csr_matrix((rng.random((n_users, n_items)) < chance).astype(np.float32))
    users = pd.Index([f"u{number}" for number in range(n_users)])
    items = pd.Index([f"i{number}" for number in range(n_items)])
    return Logs(entries, users, items, {})


def make_clips(n_items: int, seed: int) -> pd.DataFrame:
    """Up to three clips of each item; the items 0 and 1 are of one artist, one is not in logs."""
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(n_items + 1), rng.integers(1, 4, n_items + 1))
    artists = [f"a{max(item, 1)}" for item in items]
    table = pd.DataFrame({"item_id": [f"i{item}" for item in items], "artist": artists})
    return table.assign(row=rng.permutation(len(table)) + 10)


@settings(max_examples=30, deadline=None)
@given(
    n_users=st.integers(2, 12),
    n_items=st.integers(3, 9),
    density=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_a_user_has_played_the_liked_artist_and_never_the_disliked_one(
    n_users: int, n_items: int, density: float, seed: int
) -> None:
    logs, clips = make_logs(n_users, n_items, density, seed), make_clips(n_items, seed)
    vectors = np.arange(n_users, dtype=np.float32)[:, None]
    try:
        draws = PreferenceDraws(clips, find_listeners(clips, logs, logs.users, vectors), "train")
    except NoPairsToTrain:
        played = logs.user_items.toarray() > 0
        by_artist = np.column_stack([played[:, :2].any(1), played[:, 2:]])
        heard = by_artist[:, by_artist.any(0)]  # nobody can have passed over what nobody knows
        assert not (heard.any(1) & ~heard.all(1)).any()
        return
    rng = np.random.default_rng(seed)
    table = logs.user_items.toarray() > 0
    for _ in range(3):
        for index in range(len(draws)):
            group = draws.draw(index, rng)
            liked, disliked = (clips[clips["row"] == row].iloc[0] for row in group.rows)
            user = int(group.targets[0][0])
            played = {f"i{item}" for item in np.flatnonzero(table[user])}
            of_artist = clips.groupby("artist")["item_id"].agg(set)
            assert of_artist[liked["artist"]] & played
            assert not of_artist[disliked["artist"]] & played


def test_disliked_artists_are_drawn_by_their_listeners() -> None:
    logs = make_logs(200, 6, 0.4, 0)
    clips = pd.DataFrame({"item_id": logs.items, "artist": logs.items, "row": range(6)})
    listeners = find_listeners(clips, logs, logs.users, np.zeros((200, 2), np.float32))
    draws = PreferenceDraws(clips, listeners, "train")
    rng = np.random.default_rng(0)
    pairs = np.array([draws.draw_pair(rng) for _ in range(6000)])
    counts = logs.user_items.toarray().sum(0)
    # Of a pair of artists that a user has not played, the popular one is drawn more often.
    expected = np.zeros(6)
    for user, _, _ in pairs:
        weights = np.where(listeners.played[user], 0, counts)
        expected += weights / weights.sum()
    found = np.bincount(pairs[:, 2], minlength=6)
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(expected.max()))
    assert set(pairs[:, 1]) == set(range(6))


@pytest.mark.parametrize("clips_follow_popularity", [True, False])
def test_popularity_alone_cannot_tell_liked_from_disliked(clips_follow_popularity: bool) -> None:
    n_items = 80
    rng = np.random.default_rng(0)
    chance = 0.3 / np.arange(1, n_items + 1) ** 0.8  # a few artists have most of the listeners
    entries = sparse.csr_matrix((rng.random((1000, n_items)) < chance).astype(np.float32))
    users = pd.Index([f"u{number}" for number in range(1000)])
    logs = Logs(entries, users, pd.Index([f"i{number}" for number in range(n_items)]), {})
    order = np.arange(n_items) if clips_follow_popularity else np.arange(n_items)[::-1]
    items = np.repeat(logs.items, 1 + order[::-1] // 10)
    clips = pd.DataFrame({"item_id": items, "artist": items, "row": range(len(items))})
    listeners = find_listeners(clips, logs, users, np.zeros((1000, 2), np.float32))
    draws = PreferenceDraws(clips, listeners, "train")
    _, liked, disliked = np.transpose([draws.draw_pair(rng) for _ in range(4000)])
    first, second = (draws.popularity[draws.artists[clip]] for clip in (liked, disliked))
    liked_first = (first > second).mean() + (first == second).mean() / 2
    assert abs(liked_first - 0.5) < 0.06


def test_users_without_a_vector_or_logs_are_left_out() -> None:
    logs = make_logs(20, 6, 0.5, 1)
    clips = pd.DataFrame({"item_id": logs.items, "artist": logs.items, "row": range(6)})
    users = pd.Index(["u3", "stranger", "u7"])
    vectors = np.array([[1, 0], [2, 0], [3, 0]], np.float32)
    listeners = find_listeners(clips, logs, users, vectors)
    assert listeners.vectors[:, 0].tolist() == [1, 3]
    entries = logs.user_items.toarray()[[3, 7]] > 0
    order = logs.items.get_indexer(listeners.artists)
    assert np.array_equal(listeners.played, entries[:, order])


def test_clips_that_no_user_knows_are_refused() -> None:
    logs = make_logs(5, 3, 0.5, 2)
    clips = pd.DataFrame({"item_id": ["x", "y"], "artist": ["x", "y"], "row": [0, 1]})
    listeners = find_listeners(clips, logs, logs.users, np.zeros((5, 2), np.float32))
    with pytest.raises(NoPairsToTrain, match="none of the 2 clips of the part 'validation'"):
        PreferenceDraws(clips, listeners, "validation")


def test_the_loss_is_the_hinge_of_the_cosines() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(7, 2, 5)).astype(np.float32)
    users = rng.normal(size=(7, 5)).astype(np.float32)
    tensor = torch.from_numpy(embedding)
    judged = PreferenceHinge(0.2)(Encoded(tensor, tensor), torch.from_numpy(users))
    unit = embedding / np.linalg.norm(embedding, axis=2, keepdims=True)
    cosines = (unit * (users / np.linalg.norm(users, axis=1, keepdims=True))[:, None]).sum(2)
    expected = np.maximum(0, 0.2 - cosines[:, 0] + cosines[:, 1])
    np.testing.assert_allclose(judged.losses["preference"], expected, atol=1e-6)
    assert judged.measures["liked_first"].tolist() == (cosines[:, 0] > cosines[:, 1]).tolist()
