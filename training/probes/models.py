"""What a probe may be: a scikit-learn model on standardised inputs, and its settings chosen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import ParameterGrid
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from training.datasets.folds import assign_folds
from training.datasets.task import Kind as TaskKind
from training.errors import BadExport
from training.transfer.calibration import fit_temperature

Inputs = NDArray[np.float32]
Answers = NDArray[np.int64] | NDArray[np.float32]
Settings = dict[str, float]

INNER_FOLDS = 4
HIDDEN = (64,)
# One score for the second of two classes -> one for each, as far apart.
HALVES = np.array([[-0.5, 0.5]])


@dataclass(frozen=True)
class Recipe:
    """How a kind is made from a seed and its settings, and what is tried for them.

    The first setting says how hard it is fitted; each list begins with the most careful.
    """

    make: Callable[..., Any]
    grid: Mapping[str, tuple[float, ...]]


def _mlp(model: type, seed: int, **given: float) -> Any:
    # With some hundred tracks, L-BFGS needs no learning rate and no validation part.
    shape = {"hidden_layer_sizes": HIDDEN, "solver": "lbfgs", "max_iter": 500}
    return model(random_state=seed, **shape, **given)


CAREFUL = (0.01, 0.1, 1.0, 10.0)
GAMMAS = (0.001, 0.003, 0.01)
MLP_ALPHAS = {"alpha": (10.0, 1.0, 0.1)}
RECIPES: dict[TaskKind, dict[str, Recipe]] = {
    "classification": {
        # Multinomial, so that its probabilities are a softmax.
        "logistic": Recipe(
            lambda seed, **given: LogisticRegression(max_iter=5000, **given), {"C": CAREFUL}
        ),
        # Both SVMs are one against the rest: a margin a class.
        "linear-svm": Recipe(
            lambda seed, **given: LinearSVC(random_state=seed, max_iter=20_000, **given),
            {"C": CAREFUL},
        ),
        "rbf-svm": Recipe(
            lambda seed, **given: OneVsRestClassifier(SVC(**given)),
            {"C": (1.0, 10.0, 100.0, 1000.0), "gamma": GAMMAS},
        ),
        "mlp": Recipe(lambda seed, **given: _mlp(MLPClassifier, seed, **given), MLP_ALPHAS),
    },
    # On standardised targets, since an SVM's margin is in their unit.
    "regression": {
        "ridge": Recipe(
            lambda seed, **given: Ridge(**given), {"alpha": (1e4, 1e3, 100.0, 10.0, 1.0)}
        ),
        "linear-svm": Recipe(
            lambda seed, **given: MultiOutputRegressor(
                # The squared loss, which alone is solved quickly for a large C.
                LinearSVR(
                    loss="squared_epsilon_insensitive",
                    dual="auto",
                    epsilon=0.1,
                    random_state=seed,
                    max_iter=20_000,
                    **given,
                )
            ),
            {"C": (0.001, *CAREFUL)},
        ),
        "rbf-svm": Recipe(
            lambda seed, **given: MultiOutputRegressor(SVR(epsilon=0.1, **given)),
            {"C": (0.1, 1.0, 10.0), "gamma": GAMMAS},
        ),
        "mlp": Recipe(lambda seed, **given: _mlp(MLPRegressor, seed, **given), MLP_ALPHAS),
    },
}


def recipe_of(kind: str, answers: TaskKind) -> Recipe:
    """The recipe of a kind for such answers.

    Raises
    ------
    BadExport
        Where the kind is none, or is for the other answers.
    """
    recipes = RECIPES[answers]
    if kind not in recipes:
        known = any(kind in others for others in RECIPES.values())
        reason = f"is not for {answers}" if known else "is unknown"
        raise BadExport(f"kind {kind!r}", f"it {reason}; choose {', '.join(recipes)}")
    return recipes[kind]


@dataclass(frozen=True)
class FittedProbe:
    """A fitted pipeline from inputs, shape (n, dim), to probabilities or values, (n, n_outputs).

    `centre` and `spread`, both shape (n_outputs,), undo the standardisation of targets; a
    classifier has 0 and 1. Its `temperature` is that of `training.transfer.calibration`.
    """

    pipeline: Any
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    temperature: float = 1.0

    @property
    def is_classifier(self) -> bool:
        return hasattr(self.pipeline, "classes_")

    def outputs(self, inputs: Inputs) -> NDArray[np.float32]:
        """Logits before the temperature, or values, shape (n, n_outputs).

        A class that it was never shown is as unlikely as the least likely of the others.
        """
        if not self.is_classifier:
            values = self.pipeline.predict(_doubles(inputs)).reshape(len(inputs), -1)
            return np.asarray(values * self.spread + self.centre, np.float32)
        scores = self._scores(inputs)
        logits = np.repeat(scores.min(1, keepdims=True), len(self.centre), 1)
        logits[:, self.pipeline.classes_] = scores
        return np.asarray(logits, np.float32)

    def answers(self, inputs: Inputs) -> NDArray[np.float32]:
        """What its graph puts out: calibrated probabilities, or values, shape (n, n_outputs)."""
        outputs = self.outputs(inputs)
        if not self.is_classifier:
            return outputs
        return np.asarray(softmax(outputs / self.temperature, axis=1), np.float32)

    def _scores(self, inputs: Inputs) -> NDArray[np.float64]:
        """Log-odds or margins of the classes that it was shown, shape (n, n_shown)."""
        last = self.pipeline[-1]
        if isinstance(last, MLPClassifier):
            scores = _before_softmax(last, self.pipeline[:-1].transform(_doubles(inputs)))
        else:
            scores = self.pipeline.decision_function(_doubles(inputs)).reshape(len(inputs), -1)
        # Of two classes there is one score, for the second.
        return scores @ HALVES if scores.shape[1] == 1 else scores


def _before_softmax(model: MLPClassifier, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """What scikit-learn has no method for; the logarithm of 1 - p would not be exact in float32."""
    *hidden, (weights, bias) = zip(model.coefs_, model.intercepts_, strict=True)
    for each_weights, each_bias in hidden:
        inputs = np.maximum(inputs @ each_weights + each_bias, 0)
    return np.asarray(inputs @ weights + bias)


def _doubles(inputs: Inputs) -> NDArray[np.float64]:
    return inputs.astype(np.float64)


def fit_probe(
    recipe: Recipe, settings: Settings, inputs: Inputs, answers: Answers, n_outputs: int, seed: int
) -> FittedProbe:
    """Fit on inputs, shape (n, dim), and class indices (n,) or targets (n, n_outputs)."""
    centre, spread = np.zeros(n_outputs, np.float32), np.ones(n_outputs, np.float32)
    if answers.ndim == 2:
        centre, spread = answers.mean(0, dtype=np.float32), answers.std(0, dtype=np.float32)
        spread[spread == 0] = 1  # a target that never changes
        answers = np.asarray((answers - centre) / spread, np.float32)
    pipeline = make_pipeline(StandardScaler(), recipe.make(seed, **settings))
    with warnings.catch_warnings():
        # An MLP's iterations are meant to end; one target is a column as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DataConversionWarning)
        return FittedProbe(pipeline.fit(_doubles(inputs), answers), centre, spread)


def fit_best(
    recipe: Recipe,
    inputs: Inputs,
    answers: Answers,
    folds: NDArray[np.int64],
    n_outputs: int,
    *,
    strength: float | None,
    seed: int,
) -> tuple[Settings, FittedProbe]:
    """Fit with those settings that are best on held-out tracks, all folds together.

    Best is the least cross-entropy of classes once calibrated, and the largest r² of targets. The
    temperature is fitted on the same held-out tracks: it belongs to the settings, since the
    margins of an SVM grow with C.

    Parameters
    ----------
    folds : int, shape (n,), of `inner_folds`
    strength : what the first setting is fixed to; None tries all
    """
    grid = dict(recipe.grid)
    if strength is not None:
        grid[next(iter(grid))] = (strength,)
    best: tuple[float, Settings, float] | None = None
    for settings in ParameterGrid(grid):
        outputs = np.empty((len(inputs), n_outputs), np.float32)
        for fold in np.unique(folds):
            mine = folds == fold
            model = fit_probe(recipe, settings, inputs[~mine], answers[~mine], n_outputs, seed)
            outputs[mine] = model.outputs(inputs[mine])
        loss, temperature = _judge(outputs, answers)
        if best is None or loss < best[0]:
            best = loss, settings, temperature
    assert best is not None
    _, settings, temperature = best
    fitted = fit_probe(recipe, settings, inputs, answers, n_outputs, seed)
    return settings, replace(fitted, temperature=temperature)


def _judge(outputs: NDArray[np.float32], answers: Answers) -> tuple[float, float]:
    """The loss of held-out outputs, and the temperature that makes it least; 1 for targets."""
    if answers.ndim == 2:
        return -float(r2_score(answers, outputs)), 1.0
    classes = np.asarray(answers, np.int64)
    temperature = fit_temperature(outputs, classes)
    likely = log_softmax(outputs / temperature, axis=1)
    return -float(likely[np.arange(len(classes)), classes].mean()), temperature


def inner_folds(tracks: pd.DataFrame, seed: int) -> NDArray[np.int64]:
    """Folds to choose settings by, dealt as the task's own: no artist is in two of them."""
    return assign_folds(tracks.reset_index(drop=True), INNER_FOLDS, seed)
