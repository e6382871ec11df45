"""What a transferred network has to beat: guesses, and linear models and SVMs on fixed features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from models.bundle import Bundle
from training.datasets.prepared import TaskData
from training.estimator.mel_baseline import ALPHAS, mel_statistics
from training.transfer.encoder_outputs import bundle_outputs, untrained_features

Make = Callable[[], BaseEstimator]
# Method → (what it hears, the model for classes, the model for targets).
BASELINES: dict[str, tuple[str, Make, Make]] = {
    "majority or mean": ("nothing", lambda: DummyClassifier(strategy="prior"), DummyRegressor),
    "linear on mel statistics": ("mel statistics", lambda: _logistic(), lambda: _ridge()),
    "RBF SVM on mel statistics": ("mel statistics", lambda: _svc(), lambda: _svr()),
    "linear on untrained features": ("untrained", lambda: _logistic(), lambda: _ridge()),
    "linear on embedding": ("embedding", lambda: _logistic(), lambda: _ridge()),
    "linear on features": ("features", lambda: _logistic(), lambda: _ridge()),
}
# Only this one has a width, and changes with the seed.
UNTRAINED = "linear on untrained features"


def _logistic() -> BaseEstimator:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))


def _ridge() -> BaseEstimator:
    return make_pipeline(StandardScaler(), RidgeCV(ALPHAS))


def _svc() -> BaseEstimator:
    return make_pipeline(StandardScaler(), SVC())


def _svr() -> BaseEstimator:
    """On standardised targets, since its margin is in their unit."""
    machines = MultiOutputRegressor(SVR())
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), machines), transformer=StandardScaler(), check_inverse=False
    )


def baseline_inputs(
    hears: str, data: TaskData, teacher: Bundle, width: int, seed: int
) -> NDArray[np.float32]:
    """What a baseline is fitted on, shape (n_tracks, dim)."""
    if hears == "nothing":
        return np.zeros((len(data.rows), 1), np.float32)
    if hears == "mel statistics":
        statistics = mel_statistics(data.prepared, data.folder, lambda _, batches: batches)
        return statistics[data.rows]
    if hears == "untrained":
        return untrained_features(data, width, seed)
    return bundle_outputs(teacher, data)[hears]


def fit_baseline(
    method: str, data: TaskData, teacher: Bundle, width: int, fold: int, seed: int
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Fit on all tracks but the test part, whose predictions and log-probabilities are returned.

    Its penalty is what scikit-learn gives, so it needs no validation part, and gets that too.
    """
    hears, classifier, regressor = BASELINES[method]
    inputs = baseline_inputs(hears, data, teacher, width, seed)
    test = data.parts(fold) == "test"
    model: Any = (classifier if data.facts.kind == "classification" else regressor)()
    model.fit(inputs[~test], data.targets[~test])
    logits = None
    if hasattr(model, "predict_log_proba"):
        logits = np.full((int(test.sum()), len(data.facts.labels)), -30.0, np.float32)
        logits[:, model.classes_] = np.maximum(model.predict_log_proba(inputs[test]), -30)
    predicted = model.predict(inputs[test])
    if data.facts.kind == "regression":  # scikit-learn flattens a single target
        predicted = predicted.reshape(-1, len(data.facts.labels))
    return predicted, logits
