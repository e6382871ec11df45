"""Baselines of transfer: majority class or mean, and linear models and SVMs on fixed features."""

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
from training.transfer.evaluation import Prediction
from training.transfer.settings import BASELINES, UNTRAINED, BaselineInput

Factory = Callable[[], BaseEstimator]


def _logistic() -> BaseEstimator:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))


def _ridge() -> BaseEstimator:
    return make_pipeline(StandardScaler(), RidgeCV(ALPHAS))


def _svc() -> BaseEstimator:
    return make_pipeline(StandardScaler(), SVC())


def _svr() -> BaseEstimator:
    """On standardised targets: the margin of an SVM is in the unit of the targets."""
    machines = MultiOutputRegressor(SVR())
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), machines), transformer=StandardScaler(), check_inverse=False
    )


LINEAR: tuple[Factory, Factory] = (_logistic, _ridge)
# Method → the estimators for classification and for regression.
ESTIMATORS: dict[str, tuple[Factory, Factory]] = {
    "majority or mean": (lambda: DummyClassifier(strategy="prior"), DummyRegressor),
    "linear on mel statistics": LINEAR,
    "RBF SVM on mel statistics": (_svc, _svr),
    UNTRAINED: LINEAR,
    "linear on embedding": LINEAR,
    "linear on features": LINEAR,
}


def baseline_inputs(
    source: BaselineInput, data: TaskData, teacher: Bundle, width: int, seed: int
) -> NDArray[np.float32]:
    """Inputs of a baseline, shape (n_tracks, dim)."""
    if source == "nothing":
        return np.zeros((len(data.rows), 1), np.float32)
    if source == "mel statistics":
        statistics = mel_statistics(data.prepared, data.folder, lambda _, batches: batches)
        return statistics[data.rows]
    if source == "untrained":
        return untrained_features(data, width, seed)
    return bundle_outputs(teacher, data)[source]


def fit_baseline(
    method: str, data: TaskData, teacher: Bundle, width: int, fold: int, seed: int
) -> Prediction:
    """Fit on all tracks but the test part; predict classes with log-probabilities, or values.

    A baseline needs no validation part, as its penalty is scikit-learn's default or chosen by
    leave-one-out; so it is fitted on that part as well.
    """
    classifier, regressor = ESTIMATORS[method]
    inputs = baseline_inputs(BASELINES[method], data, teacher, width, seed)
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
    return Prediction(predicted, logits)
