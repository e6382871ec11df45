"""Metrics over the runs of one method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.card import Scalar
from training.transfer.calibration import cross_fitted, expected_calibration_error
from training.transfer.results import Result


def summary(runs: list[Result]) -> dict[str, Scalar]:
    """Mean and standard deviation over runs, and the calibration error before and after."""
    metrics: dict[str, Scalar] = {
        "runs": len(runs),
        "folds": len({run.fold for run in runs}),
        "seeds": len({run.seed for run in runs}),
        "held-out clips": len({track for run in runs for track in run.tracks}),
    }
    for name in runs[0].metrics:
        values = [run.metrics[name] for run in runs]
        metrics[f"{name}: mean"] = round(float(np.mean(values)), 4)
        metrics[f"{name}: standard deviation"] = round(float(np.std(values)), 4)
    if runs[0].kind == "classification":
        before, after = calibration_error(runs)
        metrics["calibration error (15 bins): before"] = round(before, 4)
        if after is not None:
            metrics["calibration error (15 bins): after"] = round(after, 4)
    return metrics


def held_out_logits(
    runs: list[Result],
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int64]]]:
    """Of each fold, over all seeds: logits (n, n_classes) and answers (n,)."""
    folds = sorted({run.fold for run in runs})
    logits = [[np.array(run.logits, np.float32) for run in runs if run.fold == f] for f in folds]
    answers = [[np.array(run.answers) for run in runs if run.fold == fold] for fold in folds]
    return [np.concatenate(each) for each in logits], [np.concatenate(each) for each in answers]


def calibration_error(runs: list[Result]) -> tuple[float, float | None]:
    """Expected calibration error on held-out clips, before and after.

    With the temperature that a run states, fitted within its training part; else with one that is
    cross-fitted over folds. Of one fold nothing is left to fit on, and the second is None.
    """
    runs = sorted(runs, key=lambda run: run.fold)
    logits, answers = held_out_logits(runs)
    before = softmax(np.concatenate(logits), axis=1)
    own = [float(run.settings.get("temperature") or 0) for run in runs]
    if all(own):
        scaled = [np.array(run.logits) / each for run, each in zip(runs, own, strict=True)]
        after = softmax(np.concatenate(scaled), axis=1)
    elif len(logits) > 1:
        after = cross_fitted(logits, answers)
    else:
        after = None
    everything = np.concatenate(answers)
    return (
        expected_calibration_error(before, everything),
        None if after is None else expected_calibration_error(after, everything),
    )
