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
from training.networks.bundle_outputs import bundle_outputs
from training.networks.registry import DEFAULT_ENCODER
from training.transfer.encoder_outputs import untrained_features
from training.transfer.evaluation import Prediction
from training.transfer.results import Cell
from training.transfer.settings import BASELINES, UNTRAINED

Factory = Callable[[], BaseEstimator]
# Of a class without probability: its logarithm is minus infinity, which JSON does not hold.
MIN_LOG_PROBABILITY = -30.0


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
    cell: Cell,
    data: TaskData,
    teacher: Bundle,
    teacher_data: TaskData,
    encoder: str = DEFAULT_ENCODER,
) -> NDArray[np.float32]:
    """Inputs of a baseline, shape (n_tracks, dim)."""
    source = BASELINES[cell.method]
    if source == "nothing":
        return np.zeros((len(data.rows), 1), np.float32)
    if source == "mel statistics":
        statistics = mel_statistics(data.prepared, data.folder, lambda _, batches: batches)
        return statistics[data.rows]
    if source == "untrained":
        return untrained_features(data, cell.width, cell.seed, encoder)
    return bundle_outputs(teacher, teacher_data)[source]


def baseline_settings(method: str, encoder: str) -> dict[str, str]:
    """Settings in a baseline's results: the architecture of the untrained network.

    The default encoder is left out, as of `TransferSettings.to_record`.
    """
    is_stated = method == UNTRAINED and encoder != DEFAULT_ENCODER
    return {"encoder": encoder} if is_stated else {}


def fit_baseline(
    cell: Cell,
    data: TaskData,
    teacher: Bundle,
    teacher_data: TaskData,
    encoder: str = DEFAULT_ENCODER,
) -> Prediction:
    """Fit on all tracks but the test part; predict classes with log-probabilities, or values.

    A baseline needs no validation part, as its penalty is scikit-learn's default or chosen by
    leave-one-out; so it is fitted on that part as well.

    Parameters
    ----------
    cell : its width and seed, like `encoder`, are of the untrained network, and ignored by others
    teacher_data : the tracks of `data`, decoded for the teacher
    """
    classifier, regressor = ESTIMATORS[cell.method]
    inputs = baseline_inputs(cell, data, teacher, teacher_data, encoder)
    test = data.parts(cell.fold) == "test"
    model: Any = (classifier if data.facts.kind == "classification" else regressor)()
    model.fit(inputs[~test], data.targets[~test])
    logits = None
    if hasattr(model, "predict_log_proba"):
        shape = int(test.sum()), len(data.facts.labels)
        logits = np.full(shape, MIN_LOG_PROBABILITY, np.float32)
        log_probabilities = model.predict_log_proba(inputs[test])
        logits[:, model.classes_] = np.maximum(log_probabilities, MIN_LOG_PROBABILITY)
    predicted = model.predict(inputs[test])
    if data.facts.kind == "regression":  # scikit-learn flattens a single target
        predicted = predicted.reshape(-1, len(data.facts.labels))
    return Prediction(predicted, logits, baseline_settings(cell.method, encoder))
