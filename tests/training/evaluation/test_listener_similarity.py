"""Listener similarity finds planted structure, ranks ties by their average, and is of artists."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import spearmanr

from training.evaluation import listener_similarity
from training.evaluation.listener_similarity import (
    bootstrap_correlation,
    embedding_cosines,
    interval,
    listener_cosines,
    mean_of_artists,
    rank_correlation,
)

N_ARTISTS, N_USERS = 40, 300


def plant(seed: int, noise: float) -> tuple[NDArray[np.float32], sparse.csr_matrix]:
    """Embeddings that are tastes and noise, and listeners who are drawn by those tastes."""
    rng = np.random.default_rng(seed)
    tastes, users = rng.normal(size=(N_ARTISTS, 4)), rng.normal(size=(N_USERS, 4))
    listens = tastes @ users.T > 3
    embeddings = tastes + noise * rng.normal(size=tastes.shape)
    return embeddings.astype(np.float32), sparse.csr_matrix(listens.astype(np.float32))


def similarity(embeddings: NDArray[np.float32], listeners: sparse.csr_matrix) -> float:
    return rank_correlation(embedding_cosines(embeddings), listener_cosines(listeners))


def test_listener_cosines_of_a_small_example() -> None:
    users = sparse.csr_matrix([[3, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    assert listener_cosines(users) == pytest.approx([0.5, 0, 0, 0, 0, 0])


def test_embedding_cosines_are_of_centred_vectors() -> None:
    vectors = np.array([[11, 10], [9, 10], [10, 12], [10, 8]], np.float32)
    assert embedding_cosines(vectors) == pytest.approx([-1, 0, 0, 0, 0, -1])
    around = np.array([10, 10], np.float32)
    np.testing.assert_array_equal(embedding_cosines(vectors, around), embedding_cosines(vectors))
    as_they_are = embedding_cosines(vectors, np.zeros(2, np.float32))
    assert as_they_are.min() > 0.97


def test_an_artist_is_the_mean_over_its_clips() -> None:
    clips = np.array([[1, 0], [3, 2], [5, 5]], np.float32)
    artists = mean_of_artists(clips, np.array([1, 1, 0]))
    np.testing.assert_array_equal(artists, [[5, 5], [2, 1]])


def test_taste_in_the_embedding_is_found_and_noise_is_not() -> None:
    clear, listeners = plant(0, noise=0)
    noisy, _ = plant(0, noise=2)
    other, _ = plant(1, noise=0)
    assert similarity(clear, listeners) > 0.6
    assert 0.1 < similarity(noisy, listeners) < similarity(clear, listeners) - 0.1
    assert abs(similarity(other, listeners)) < 0.1


def test_scale_rotation_and_a_common_vector_change_nothing() -> None:
    embeddings, listeners = plant(0, noise=1)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    moved = (3 * embeddings @ rotation + 50).astype(np.float32)
    assert similarity(moved, listeners) == pytest.approx(
        similarity(embeddings, listeners), abs=1e-3
    )


def test_ties_have_their_average_rank() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500)
    tied = np.where(rng.random(500) < 0.6, 0, values.round(1))
    assert rank_correlation(values, tied) == pytest.approx(spearmanr(values, tied).statistic)


def test_one_vector_for_all_has_no_correlation() -> None:
    _, listeners = plant(0, noise=0)
    row = np.random.default_rng(0).normal(size=40).astype(np.float32)
    assert np.isnan(similarity(np.tile(row, (N_ARTISTS, 1)), listeners))


def test_a_bootstrap_sample_is_the_correlation_over_its_pairs_of_different_artists() -> None:
    embeddings, listeners = plant(0, noise=1)
    cosines, wanted = embedding_cosines(embeddings), listener_cosines(listeners)
    samples = bootstrap_correlation(cosines, wanted, N_ARTISTS, seed=5)
    drawn = np.random.default_rng(5).integers(N_ARTISTS, size=N_ARTISTS)
    square = np.zeros((N_ARTISTS, N_ARTISTS), np.int64)
    square[np.triu_indices(N_ARTISTS, 1)] = np.arange(len(cosines))
    square += square.T
    pairs = [
        square[first, second]
        for index, first in enumerate(drawn)
        for second in drawn[:index]
        if first != second
    ]
    expected = spearmanr(cosines[pairs], wanted[pairs]).statistic
    assert samples[0] == pytest.approx(expected)


def test_the_interval_covers_the_correlation_over_all_artists_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener_similarity, "N_BOOTSTRAP", 300)
    covered = 0
    rng = np.random.default_rng(0)
    tastes, users = rng.normal(size=(1200, 4)), rng.normal(size=(N_USERS, 4))
    noisy = (tastes + 1.5 * rng.normal(size=tastes.shape)).astype(np.float32)
    listeners = sparse.csr_matrix((tastes @ users.T > 3).astype(np.float32))
    everyone = similarity(noisy, listeners)
    for part in range(30):  # thirty samples of forty artists
        rows = slice(N_ARTISTS * part, N_ARTISTS * (part + 1))
        pairs = embedding_cosines(noisy[rows]), listener_cosines(listeners[rows])
        low, high = interval(bootstrap_correlation(*pairs, N_ARTISTS))
        covered += low <= everyone <= high
    assert 24 <= covered <= 30


def test_the_paired_difference_of_two_embeddings_is_narrower_than_their_intervals() -> None:
    better, listeners = plant(0, noise=0.5)
    worse = better + np.random.default_rng(1).normal(size=better.shape).astype(np.float32) * 0.5
    wanted = listener_cosines(listeners)
    samples = [
        bootstrap_correlation(embedding_cosines(vectors), wanted, N_ARTISTS)
        for vectors in (better, worse)
    ]
    low, high = interval(samples[0] - samples[1])
    assert 0 < low < high
    alone = interval(samples[0])
    assert high - low < 0.7 * (alone[1] - alone[0])


def test_few_artists_give_a_wide_interval_and_no_error() -> None:
    embeddings, listeners = plant(0, noise=0)
    pairs = embedding_cosines(embeddings[:3]), listener_cosines(listeners[:3])
    samples = bootstrap_correlation(*pairs, 3)
    assert samples.shape == (listener_similarity.N_BOOTSTRAP,)
    assert np.isnan(samples).any()  # of three artists a sample may hold one alone
