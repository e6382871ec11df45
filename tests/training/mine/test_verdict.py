"""The verdict: a model is worth something only above what knows nothing of the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.errors import NothingToEvaluate
from training.evaluation.names import CEILING, MEAN, NETWORK, SHUFFLED
from training.evaluation.report import read_measures
from training.mine.verdict import METHODS, Verdict, pool

N = 40


def judge(out: Path, **means: float) -> Verdict:
    """Two folds of songs whose user AUC varies by 0.05 around the means."""
    by_name = {NETWORK: means["own"], MEAN: means["mean"], SHUFFLED: means["shuffled"]}
    rng = np.random.default_rng(0)
    folds = []
    for fold in range(2):
        scores: dict[str, NDArray[np.generic]] = {
            f"clip/{method}/user_auc": by_name.get(method, 0.9) + 0.05 * rng.normal(size=N)
            for method in METHODS
        }
        scores["artists"] = np.array([f"{fold}-{index // 2}" for index in range(N)])
        scores["users"] = np.array(["u"])
        scores["n_items"] = np.array(N)
        folds.append(scores)
    return pool(folds, out, min_listeners=3, has_artists=True)


@pytest.mark.parametrize(
    ("own", "mean", "shuffled", "is_better"),
    [
        (0.70, 0.60, 0.60, True),
        (0.60, 0.60, 0.55, False),
        (0.60, 0.45, 0.60, False),  # the mean vector is worse than guessing
        (0.49, 0.40, 0.40, False),
    ],
)
def test_a_model_is_better_than_the_mean_than_other_songs_and_than_guessing(
    own: float, mean: float, shuffled: float, is_better: bool, tmp_path: Path
) -> None:
    verdict = judge(tmp_path, own=own, mean=mean, shuffled=shuffled)
    assert verdict.is_better is is_better


def test_the_verdict_is_in_words_and_on_disk_as_evaluate_writes_it(tmp_path: Path) -> None:
    verdict = judge(tmp_path, own=0.7, mean=0.6, shuffled=0.55)
    text = verdict.describe()
    assert text.startswith("on artists it never heard it ranks listeners at 0.7")
    assert "guessing 0.50, the same vector for every song 0.6" in text
    assert "the best possible 0.9" in text
    assert text.endswith("judged on 80 songs")
    assert "no better than one that knows nothing" in verdict.refuse()
    group = read_measures(tmp_path)["groups"]["songs"]
    assert (group["n_clips"], group["n_artists"], group["n_items"]) == (80, 40, 80)
    assert group["methods"][CEILING]["user_auc"][0] == pytest.approx(0.9, abs=0.02)


def test_without_a_song_that_is_listened_to_there_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(NothingToEvaluate, match="lower --min-listeners"):
        pool([], tmp_path, min_listeners=3, has_artists=True)
