"""Summary metrics over the runs of one method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.card import Scalar
from training.transfer.calibration import cross_fitted_probabilities, expected_calibration_error
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
    """For each fold, over all seeds: logits (n, n_classes) and class indices (n,)."""
    folds = sorted({run.fold for run in runs})
    by_fold = [[run for run in runs if run.fold == fold] for fold in folds]
    logits = [np.concatenate([np.array(r.logits, np.float32) for r in fold]) for fold in by_fold]
    targets = [np.concatenate([np.array(run.targets) for run in fold]) for fold in by_fold]
    return logits, targets


def calibration_error(runs: list[Result]) -> tuple[float, float | None]:
    """Expected calibration error on held-out clips, before and after.

    With the temperature that a run states, fitted within its training part; otherwise with one
    that is cross-fitted over folds. With a single fold no clips are left to fit it on, and the
    second value is None.
    """
    runs = sorted(runs, key=lambda run: run.fold)
    logits, targets = held_out_logits(runs)
    before = softmax(np.concatenate(logits), axis=1)
    stated = [float(run.settings.get("temperature") or 0) for run in runs]
    if all(stated):
        scaled = [
            np.array(run.logits) / temperature
            for run, temperature in zip(runs, stated, strict=True)
        ]
        after = softmax(np.concatenate(scaled), axis=1)
    elif len(logits) > 1:
        after = cross_fitted_probabilities(logits, targets)
    else:
        after = None
    all_targets = np.concatenate(targets)
    return (
        expected_calibration_error(before, all_targets),
        None if after is None else expected_calibration_error(after, all_targets),
    )
