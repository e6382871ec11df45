"""Scikit-learn models of probes, on standardised inputs, and the grids of their hyperparameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from training.datasets.task import Kind as TaskKind
from training.probes.settings import check_kind_of_task

Inputs = NDArray[np.float32]
Targets = NDArray[np.int64] | NDArray[np.float32]
Hyperparameters = dict[str, float]
Invariance = Literal["none", "rotation", "distance"]

HIDDEN = (64,)
# Of the largest absolute value: below it an input's float32 rounding would reach 1e-4 of its
# standard deviation.
MIN_VARIATION = 1e-3
# One score for the second of two classes -> one score per class, with the same difference.
HALVES = np.array([[-0.5, 0.5]])


@dataclass(frozen=True)
class Recipe:
    """Estimator of a kind of probe, and the grid of its hyperparameters.

    The first hyperparameter is C (larger regularizes less) or alpha (larger regularizes more); each
    list begins with the strongest regularization.

    Attributes
    ----------
    invariance : `rotation`, where a rotation of the inputs changes no prediction, as with an L2
        penalty; `distance`, where the inputs enter by an RBF kernel alone; `none` otherwise
    """

    make: Callable[..., Any]
    grid: Mapping[str, tuple[float, ...]]
    invariance: Invariance = "none"


def _mlp(model: type, seed: int, **chosen: float) -> Any:
    # With some hundred tracks, L-BFGS needs no learning rate and no validation part.
    shape = {"hidden_layer_sizes": HIDDEN, "solver": "lbfgs", "max_iter": 500}
    return model(random_state=seed, **shape, **chosen)


STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0, 10.0)
# About 0.1 / dim to 1 / dim, for 40 to 1,500 inputs.
GAMMAS = (0.0001, 0.0003, 0.001, 0.003, 0.01)
MLP_ALPHAS = {"alpha": (10.0, 1.0, 0.1)}
RECIPES: dict[TaskKind, dict[str, Recipe]] = {
    "classification": {
        # Multinomial, so that its probabilities are a softmax.
        "logistic": Recipe(
            lambda seed, **chosen: LogisticRegression(max_iter=5000, **chosen),
            {"C": STRENGTHS},
            "rotation",
        ),
        # Both SVMs are one-vs-rest: one margin per class.
        "linear-svm": Recipe(
            lambda seed, **chosen: LinearSVC(random_state=seed, max_iter=20_000, **chosen),
            {"C": STRENGTHS},
            "rotation",
        ),
        "rbf-svm": Recipe(
            lambda seed, **chosen: OneVsRestClassifier(SVC(**chosen)),
            {"C": (1.0, 10.0, 100.0, 1000.0), "gamma": GAMMAS},
            "distance",
        ),
        "mlp": Recipe(lambda seed, **chosen: _mlp(MLPClassifier, seed, **chosen), MLP_ALPHAS),
    },
    # On standardised targets: the margin of an SVM is in the unit of the targets.
    "regression": {
        "ridge": Recipe(
            lambda seed, **chosen: Ridge(**chosen),
            {"alpha": (1e5, 3e4, 1e4, 3e3, 1e3, 300.0, 100.0, 10.0, 1.0)},
            "rotation",
        ),
        "linear-svm": Recipe(
            lambda seed, **chosen: MultiOutputRegressor(
                # Only the squared loss is solved quickly for a large C.
                LinearSVR(
                    loss="squared_epsilon_insensitive",
                    dual="auto",
                    epsilon=0.1,
                    random_state=seed,
                    max_iter=20_000,
                    **chosen,
                )
            ),
            {"C": STRENGTHS},
            "rotation",
        ),
        "rbf-svm": Recipe(
            lambda seed, **chosen: MultiOutputRegressor(SVR(epsilon=0.1, **chosen)),
            {"C": (0.1, 1.0, 10.0), "gamma": GAMMAS},
            "distance",
        ),
        "mlp": Recipe(lambda seed, **chosen: _mlp(MLPRegressor, seed, **chosen), MLP_ALPHAS),
    },
}


def find_recipe(kind: str, task_kind: TaskKind) -> Recipe:
    """The recipe of a kind of probe for a kind of task.

    Raises
    ------
    BadExport
        Where the kind is unknown, or is not for this kind of task.
    """
    check_kind_of_task(kind, task_kind)
    return RECIPES[task_kind][kind]


@dataclass(frozen=True)
class FittedProbe:
    """A fitted pipeline from inputs, shape (n, dim), to probabilities or values, (n, n_outputs).

    `centre` and `spread`, both shape (n_outputs,), undo the standardisation of regression targets;
    they are 0 and 1 for a classifier. Source of `temperature`: `training.transfer.calibration`.
    """

    pipeline: Any
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    temperature: float = 1.0

    @property
    def is_classifier(self) -> bool:
        return hasattr(self.pipeline, "classes_")

    def outputs(self, inputs: Inputs | NDArray[np.float64]) -> NDArray[np.float32]:
        """Logits before the temperature, or values, shape (n, n_outputs).

        A class without training tracks gets the minimum of the other classes' logits.
        """
        if not self.is_classifier:
            values = self.pipeline.predict(_to_float64(inputs)).reshape(len(inputs), -1)
            return np.asarray(values * self.spread + self.centre, np.float32)
        scores = self._scores(inputs)
        logits = np.repeat(scores.min(1, keepdims=True), len(self.centre), 1)
        logits[:, self.pipeline.classes_] = scores
        return np.asarray(logits, np.float32)

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        """Calibrated probabilities, or values, shape (n, n_outputs), as the ONNX graph's output."""
        outputs = self.outputs(inputs)
        if not self.is_classifier:
            return outputs
        return np.asarray(softmax(outputs / self.temperature, axis=1), np.float32)

    def _scores(self, inputs: Inputs | NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds or margins of the classes in the training tracks, shape (n, n_classes_)."""
        last = self.pipeline[-1]
        if isinstance(last, MLPClassifier):
            scores = _before_softmax(last, self.pipeline[:-1].transform(_to_float64(inputs)))
        else:
            scores = self.pipeline.decision_function(_to_float64(inputs)).reshape(len(inputs), -1)
        # With two classes there is one score, of the second class.
        return scores @ HALVES if scores.shape[1] == 1 else scores


def _before_softmax(model: MLPClassifier, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits of an MLP, which scikit-learn does not return; log(1 - p) is not exact in float32."""
    *hidden, (weights, bias) = zip(model.coefs_, model.intercepts_, strict=True)
    for layer_weights, layer_bias in hidden:
        inputs = np.maximum(inputs @ layer_weights + layer_bias, 0)
    return np.asarray(inputs @ weights + bias)


def _to_float64(inputs: Inputs | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(inputs, np.float64)


def fit_scaler(inputs: Inputs | NDArray[np.float64]) -> StandardScaler:
    """Mean and standard deviation of each input; those that hardly vary keep their scale.

    In a network trained elsewhere many channels are dead: their variation is rounding, which is not
    the same in two runtimes, and which a division by its standard deviation would make a feature.
    """
    exact = _to_float64(inputs)
    scaler = StandardScaler().fit(exact)
    scaler.scale_[scaler.scale_ < MIN_VARIATION * np.abs(exact).max(0)] = 1
    return scaler


def fit_probe(
    recipe: Recipe,
    chosen: Mapping[str, Any],
    inputs: Inputs | NDArray[np.float64],
    targets: Targets,
    n_outputs: int,
    seed: int,
    *,
    is_standard: bool = False,
) -> FittedProbe:
    """Fit on inputs, shape (n, dim), and class indices (n,) or values (n, n_outputs).

    Parameters
    ----------
    is_standard : the inputs are standardised already, or are a kernel
    """
    centre, spread = np.zeros(n_outputs, np.float32), np.ones(n_outputs, np.float32)
    if targets.ndim == 2:
        centre, spread = targets.mean(0, dtype=np.float32), targets.std(0, dtype=np.float32)
        spread[spread == 0] = 1  # a constant target
        targets = np.asarray((targets - centre) / spread, np.float32)
    exact = _to_float64(inputs)
    scaler = None if is_standard else fit_scaler(exact)
    model = recipe.make(seed, **chosen)
    with warnings.catch_warnings():
        # An MLP is stopped by its number of iterations; a single target is passed as a column.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DataConversionWarning)
        model.fit(scaler.transform(exact) if scaler else exact, targets)
    pipeline = Pipeline([("scaler", scaler or "passthrough"), ("model", model)])
    return FittedProbe(pipeline, centre, spread)
