"""Metrics of a tagger's probabilities: log loss, calibration error, AUC, average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from training.probes.tag_calibration import has_enough_tracks, log_loss, to_logits
from training.transfer.calibration import N_BINS

# Metrics of the order of tracks alone.
RANKING = frozenset({"macro AUC", "mean average precision"})


def tag_metrics(
    probabilities: NDArray[np.float32], targets: NDArray[np.float32]
) -> dict[str, float]:
    """Means over the labels that 20 tracks have and 20 have not; the calibration error is pooled.

    Parameters
    ----------
    probabilities : shape (n_tracks, n_labels)
    targets : 1, 0 or NaN (unknown), shape (n_tracks, n_labels)

    Returns
    -------
    Empty where no label has enough tracks.
    """
    pairs = []
    for label in np.flatnonzero(has_enough_tracks(targets)):
        known = ~np.isnan(targets[:, label])
        pairs.append((probabilities[known, label], targets[known, label].astype(np.float64)))
    if not pairs:
        return {}
    pooled, pooled_targets = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return {
        "log loss": float(np.mean([log_loss(to_logits(p), y) for p, y in pairs])),
        f"calibration error ({N_BINS} bins)": calibration_error(pooled, pooled_targets),
        "macro AUC": float(np.mean([roc_auc_score(y, p) for p, y in pairs])),
        "mean average precision": float(np.mean([average_precision_score(y, p) for p, y in pairs])),
    }


def calibration_error(
    probabilities: NDArray[np.float32], targets: NDArray[np.float64], n_bins: int = N_BINS
) -> float:
    """Mean |frequency - probability| over equal-width bins of probability, weighted by their size.

    Parameters
    ----------
    probabilities, targets : of pairs of a track and a label, shape (n,)
    """
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, targets - probabilities, n_bins)
    return float(np.abs(gaps).sum() / len(targets))
