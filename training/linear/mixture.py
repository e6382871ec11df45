"""Linear CF estimator: one map, or one for each prepared set with a gate between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from models.card import Scalar
from training.audio.prepared_sets import SET
from training.errors import BadExport
from training.linear.alpha import Audience, FittedMap, fit_map
from training.linear.clips import LabelledClips
from training.linear.ridge import LinearMap, fit_scaler

# C of the gate's logistic regression, times the total weight of the clips. A steeper gate gains
# nothing (user AUC of recordings, patches of 1 s, five folds: 0.8148 with a hundred times as much,
# 0.8147 here, 0.8129 with a tenth), and near its threshold the small errors of an int8 graph would
# choose the other map.
GATE_STRENGTH = 20.0


@dataclass(frozen=True)
class LinearEstimator:
    """x (n, n_in) -> Σ_s p(s | x) · (W_s x + b_s), (n, dim).

    Attributes
    ----------
    maps : by the name of the set that each was fitted on; of all sets, if there is no gate
    gate : logits of the sets, in the order of `maps`
    """

    maps: dict[str, FittedMap]
    gate: LinearMap | None = None

    def predict(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        mapped = np.stack([fitted.map(x) for fitted in self.maps.values()])  # (S, n, dim)
        if self.gate is None:
            return np.asarray(mapped[0])
        shares = softmax(self.gate(x), axis=1)  # (n, S)
        return np.asarray(np.einsum("ns,snd->nd", shares, mapped))

    def describe(self) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
        """Hyperparameters and metrics for the card: each penalty, and its user AUC."""
        alphas: dict[str, Scalar] = {}
        metrics: dict[str, Scalar] = {}
        for name, fitted in self.maps.items():
            suffix = f" ({name})" if self.gate else ""
            alphas[f"alpha{suffix}"] = fitted.alpha
            best = round(fitted.user_auc[fitted.alpha], 4)
            metrics[f"inner folds of artists{suffix}: user_auc"] = best
        return alphas, metrics


def fit_estimator(
    clips: LabelledClips, audience: Audience, *, per_set: bool, seed: int
) -> LinearEstimator:
    """Fit one map on all clips, or with `per_set` one on the clips of each set, and a gate.

    Raises
    ------
    BadExport
        Where `per_set` is set and clips of one set alone have a target.
    TooFewArtists, NothingToEvaluate, OtherUsers
    """
    names = clips.set_names
    if not per_set:
        return LinearEstimator({"+".join(names): fit_map(clips, audience, seed)})
    if len(names) < 2:
        raise BadExport(
            "--per-set", f"needs two prepared sets with targets, not {', '.join(names)}"
        )
    maps = {name: fit_map(clips.of_set(name), audience, seed) for name in names}
    return LinearEstimator(maps, fit_gate(clips))


def fit_gate(clips: LabelledClips) -> LinearMap:
    """Logits of the sets that a clip may be of, by logistic regression on standardised inputs.

    Sets count equally, however many clips they have.
    """
    names = clips.set_names
    labels = np.array([names.index(name) for name in clips.tracks[SET]])
    inputs = np.asarray(clips.inputs, np.float64)
    scaler = fit_scaler(inputs)
    strength = GATE_STRENGTH / clips.weights.sum()
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(inputs), labels, sample_weight=clips.weights)
    weight, bias = model.coef_, model.intercept_
    if len(names) == 2:  # scikit-learn has one logit of two classes: that of the second
        halves = np.array([[-0.5], [0.5]])
        weight, bias = halves * weight, (halves * bias).ravel()
    return LinearMap(weight, bias).after(scaler)
