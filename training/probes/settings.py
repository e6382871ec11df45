"""Hyperparameters of probes, and the names of their kinds; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from training.datasets.task import Kind as TaskKind
from training.errors import BadExport

SOURCES = ("embedding", "features")
KINDS: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("logistic", "linear-svm", "rbf-svm", "mlp"),
    "regression": ("ridge", "linear-svm", "rbf-svm", "mlp"),
}


@dataclass(frozen=True)
class ProbeSettings:
    """Hyperparameters of a probe: kind of scikit-learn model, encoder output, regularization."""

    kind: Annotated[
        str, Doc("logistic (for regression tasks: ridge), linear-svm, rbf-svm or mlp.")
    ] = "logistic"
    source: Annotated[str, Doc("Encoder output to fit on: embedding or features.")] = "features"
    strength: Annotated[
        float | None,
        Doc(
            "Value of C (logistic, SVMs), where larger regularizes less, or of alpha (ridge, mlp), "
            "where larger regularizes more; default: chosen by nested cross-validation."
        ),
        Ge(1e-9),
    ] = None
    seed: Annotated[int, Doc("Random seed; the same seed gives the same result.")] = 0


def check_kind_and_source(settings: ProbeSettings) -> None:
    """Refuse a kind that no task has, or an input that no encoder has.

    Raises
    ------
    BadExport
    """
    known = dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds)
    if settings.kind not in known:
        raise BadExport(f"kind {settings.kind!r}", f"unknown; choose {', '.join(known)}")
    if settings.source not in SOURCES:
        raise BadExport(f"the input {settings.source!r}", f"is not one of {', '.join(SOURCES)}")


def check_kind_of_task(kind: str, task_kind: TaskKind) -> None:
    """Refuse a kind that is not for tasks of this kind.

    Raises
    ------
    BadExport
    """
    if kind not in KINDS[task_kind]:
        known = any(kind in kinds for kinds in KINDS.values())
        reason = f"is not for {task_kind}" if known else "is unknown"
        raise BadExport(f"kind {kind!r}", f"it {reason}; choose {', '.join(KINDS[task_kind])}")
