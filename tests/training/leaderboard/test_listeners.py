"""Cold start: unheard artists' listeners, by ridge regression fitted without these artists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.world import levels_of
from tests.training.leaderboard.world import run, write_listeners
from training.cf.als import Factorization
from training.errors import NothingToEvaluate, Unmatched
from training.estimator.artist_split import load_split
from training.leaderboard.entries import Entry, Part
from training.leaderboard.grid import TaskSource, plan, task_sources
from training.leaderboard.listeners import ListenersTask
from training.leaderboard.settings import LeaderboardSettings
from training.leaderboard.tasks import Array

SETTINGS = LeaderboardSettings(min_listeners=3)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> ListenersTask:
    return ListenersTask(write_listeners(tmp_path_factory.mktemp("listeners")))


@pytest.fixture(scope="module")
def levels(task: ListenersTask) -> Array:
    """What tells the taste of a clip's artist, shape (n_clips, 4)."""
    heard = task.sets.heard[0]
    return levels_of(heard.joined.waveforms(heard.rows))


def is_test(task: ListenersTask, fold: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    split = load_split(Path(str(task.files.split).replace("{fold}", str(fold))))
    test = split.loc[split["part"] == "test", "track_id"]
    return np.asarray(task.sets.tracks["track_id"].isin(test))


def test_vectors_that_tell_the_taste_rank_the_listeners(task: ListenersTask, levels: Array) -> None:
    noise = np.random.default_rng(0).normal(size=levels.shape).astype(np.float32)
    for fold in (0, 1):
        good, bad = (task.judge(vectors, fold, 0, SETTINGS) for vectors in (levels, noise))
        assert next(iter(good.metrics)) == "user_auc"
        assert good.metrics["user_auc"] > 0.75
        assert good.metrics["user_auc"] > bad.metrics["user_auc"] + 0.1
        assert good.metrics["who_listens"] > bad.metrics["who_listens"] + 0.1
        assert good.settings["kind"] == "ridge"


def test_held_out_artists_are_in_no_fit(task: ListenersTask, levels: Array) -> None:
    """Other vectors of held-out clips change what is judged, and nothing that is fitted."""
    changed = levels.copy()
    held_out = is_test(task, 0)
    changed[held_out] = np.random.default_rng(0).permutation(changed[held_out]) * 1000
    known, other = (task.judge(vectors, 0, 0, SETTINGS) for vectors in (levels, changed))
    assert known.settings == other.settings
    assert known.counts == other.counts
    assert known.metrics["user_auc"] != other.metrics["user_auc"]
    factors = Factorization.load(Path(str(task.files.factors).replace("{fold}", "0")))
    has_factor = task.sets.tracks["item_id"].isin(factors.items)
    assert known.counts["train"] == (has_factor & ~held_out).sum()
    assert not (has_factor & held_out).any()


def test_a_vector_that_is_the_same_for_all_knows_no_artist(
    task: ListenersTask, levels: Array
) -> None:
    judged = task.judge(np.ones_like(levels), 0, 0, SETTINGS)
    assert "who_listens" not in judged.metrics
    assert judged.metrics["user_auc"] < task.judge(levels, 0, 0, SETTINGS).metrics["user_auc"]


def test_items_without_enough_listeners_are_not_judged(task: ListenersTask, levels: Array) -> None:
    with pytest.raises(NothingToEvaluate, match="lower --min-listeners"):
        task.judge(levels, 0, 0, LeaderboardSettings(min_listeners=1000))


def test_folds_have_digests_of_their_own_and_the_joins_are_accounted_for(
    task: ListenersTask,
) -> None:
    assert len({task.digest(fold) for fold in range(5)}) == 5
    warned: list[str] = []
    with pytest.raises(Unmatched, match="held-out items that the logs do not know"):
        task.accounts(allow_missing=False, warn=warned.append)
    found = task.accounts(allow_missing=True, warn=warned.append)
    accounts = [str(account) for account in found]
    assert warned == []
    assert len(accounts) == len(set(accounts)) >= 5
    assert any("the logs" in account for account in accounts)


def test_the_task_stands_beside_labelled_ones(task: ListenersTask, tmp_path: Path) -> None:
    (source,) = task_sources([], task.files)
    assert source == TaskSource(listeners=task.files)
    mel = Entry(name="mel statistics", parts=(Part(source="mel statistics"),))
    jobs = plan([mel], [source], tmp_path, folds=[2])
    (result,) = run(jobs, tmp_path, SETTINGS).values()
    assert (result.task, result.n_folds, result.dim) == ("listeners", 5, 288)
    assert 0 < result.metrics["user_auc"] < 1
    assert plan([mel], [source], tmp_path, folds=[2]) == []
