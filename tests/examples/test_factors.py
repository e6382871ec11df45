"""Factorisation and blend: fold-in is that of `implicit`, sound counts until plays do."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from examples.recommender.blend import blend, unit
from examples.recommender.errors import BadFactors
from examples.recommender.factors import Factors
from tests.examples.world import World


def test_the_space_is_the_one_that_training_computes(world: World, factors: Factors) -> None:
    assert factors.space == world.factorization.space
    assert factors.items == list(world.factorization.items)


@pytest.mark.parametrize("name", ["items.csv", "item_factors.npy", "report.json"])
def test_a_folder_without_a_file_is_refused(
    factors_folder: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(factors_folder, tmp_path / "factors")
    (tmp_path / "factors" / name).unlink()
    with pytest.raises(BadFactors, match=r"tasteprint-train factorize"):
        Factors.load(tmp_path / "factors")


def test_factors_of_another_factorisation_are_refused(factors_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(factors_folder, tmp_path / "factors")
    users = np.load(tmp_path / "factors/user_factors.npy")
    np.save(tmp_path / "factors/user_factors.npy", users[::-1])
    with pytest.raises(BadFactors, match=r"its report is of the space \w{12}, its arrays of \w"):
        Factors.load(tmp_path / "factors")


def test_fold_in_of_listeners_is_that_of_implicit(world: World, factors: Factors) -> None:
    listens = world.listens[:, world.held_out].T
    expected = world.factorization.fold_in(sparse.csr_matrix(listens.astype(np.float32)))
    for row, vector in zip(listens, expected, strict=True):
        own = factors.fold_in_item(factors.user_factors[np.flatnonzero(row)])
        np.testing.assert_allclose(own, vector, rtol=1e-3, atol=1e-5 * np.abs(vector).max())


def test_fold_in_of_a_user_solves_the_normal_equations(factors: Factors) -> None:
    songs = factors.item_factors[:2] * 0.5
    columns = [3, 5, 8, len(factors.items) + 1]
    found = factors.fold_in_user(columns, songs)
    back = np.linalg.inv(factors.basis)
    items = np.concatenate([factors.item_factors, songs]).astype(np.float64) @ back
    liked = items[columns]
    penalty = factors.regularization * np.eye(len(back))
    left = items.T @ items + penalty + (factors.alpha - 1) * liked.T @ liked
    expected = np.linalg.solve(left, factors.alpha * liked.sum(0)) @ back
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_without_listeners_a_song_points_where_it_sounds(factors: Factors) -> None:
    embedding = 7 * factors.item_factors[4]
    found = blend(factors, embedding, factors.user_factors[:0])
    np.testing.assert_allclose(unit(found.vector), unit(embedding), atol=1e-5)
    assert found.sound == pytest.approx(1)


def test_the_more_listeners_the_less_sound_counts(world: World, factors: Factors) -> None:
    artist = world.held_out[int(world.listens[:, world.held_out].sum(0).argmax())]
    listeners = factors.user_factors[np.flatnonzero(world.listens[:, artist])]
    # As if it were another artist's song: what is played wins over what is heard.
    embedding = factors.item_factors[int((factors.item_factors @ listeners.mean(0)).argmin())]
    blends = [blend(factors, embedding, listeners[:n]) for n in (0, 1, 3, 10, len(listeners))]
    sound = [found.sound for found in blends]
    assert sound == sorted(sound, reverse=True)
    assert sound[0] > 0.99
    folded_in = factors.fold_in_item(listeners)
    cosines = [float(unit(found.vector) @ unit(folded_in)) for found in blends]
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.8


def test_a_strong_prior_stays_and_none_is_the_fold_in(factors: Factors) -> None:
    embedding, listeners = factors.item_factors[0], factors.user_factors[:30]
    strong = blend(factors, embedding, listeners, precision=1e6)
    np.testing.assert_allclose(unit(strong.vector), unit(embedding), atol=1e-3)
    none = blend(factors, embedding, listeners, precision=0)
    np.testing.assert_array_equal(none.vector, factors.fold_in_item(listeners))
    assert none.sound == 0


def test_the_length_of_the_embedding_does_not_count(factors: Factors) -> None:
    embedding, listeners = factors.item_factors[2], factors.user_factors[:5]
    short = blend(factors, embedding, listeners).vector
    long = blend(replace(factors), 100 * embedding, listeners).vector
    np.testing.assert_allclose(short, long, rtol=1e-4)
