"""Hyperparameters of probes, and the names of their kinds; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from training.datasets.task import Kind as TaskKind
from training.errors import BadExport

KINDS: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("logistic", "linear-svm", "rbf-svm", "mlp"),
    "regression": ("ridge", "linear-svm", "rbf-svm", "mlp"),
}
# Of the baseline on mel statistics, whatever the probe's kinds are.
BASELINE_KINDS: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("logistic", "rbf-svm"),
    "regression": ("ridge", "rbf-svm"),
}


@dataclass(frozen=True)
class ProbeSettings:
    """What a probe is chosen from: kinds of scikit-learn model, encoder outputs, regularization."""

    kind: Annotated[
        str,
        Doc(
            "logistic (for regression tasks: ridge), linear-svm, rbf-svm or mlp; of several, "
            "separated by commas, nested cross-validation chooses one."
        ),
    ] = "logistic"
    source: Annotated[
        str,
        Doc(
            "Encoder output to fit on, such as features; mean_pool+mel_statistics concatenates "
            "two; of several, separated by commas, nested cross-validation chooses one."
        ),
    ] = "features"
    strength: Annotated[
        float | None,
        Doc(
            "Value of C (logistic, SVMs), where larger regularizes less, or of alpha (ridge, mlp), "
            "where larger regularizes more; default: chosen by nested cross-validation."
        ),
        Ge(1e-9),
    ] = None
    seed: Annotated[int, Doc("Random seed; the same seed gives the same result.")] = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        return split_list(self.kind, ",")

    @property
    def sources(self) -> tuple[tuple[str, ...], ...]:
        """For each input to choose from, the encoder outputs that are concatenated."""
        return tuple(split_list(part, "+") for part in split_list(self.source, ","))


def split_list(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator))


def check_settings(settings: ProbeSettings) -> None:
    """Refuse kinds that no task has, and lists that state something twice or nothing.

    Raises
    ------
    BadExport
    """
    known = dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds)
    for kind in settings.kinds:
        if kind not in known:
            raise BadExport(f"kind {kind!r}", f"unknown; choose {', '.join(known)}")
    for names in (settings.kinds, settings.sources, *settings.sources):
        if len(set(names)) < len(names):
            raise BadExport(f"{settings.kind} on {settings.source}", "a name is given twice")
    if settings.strength is not None and len(settings.kinds) > 1:
        raise BadExport(
            f"strength {settings.strength:g}",
            f"means something else for each of {settings.kind}; give one kind, or no strength",
        )


def check_kind_of_task(kind: str, task_kind: TaskKind) -> None:
    """Refuse a kind that is not for tasks of this kind.

    Raises
    ------
    BadExport
    """
    choices = KINDS.get(task_kind, ())
    if kind not in choices:
        known = any(kind in kinds for kinds in KINDS.values())
        reason = f"is not for {task_kind}" if known else "is unknown"
        remedy = f"choose {', '.join(choices)}" if choices else "use `calibrate-tags`"
        raise BadExport(f"kind {kind!r}", f"it {reason}; {remedy}")


def match_sources(
    sources: Sequence[tuple[str, ...]], outputs: Mapping[str, Sequence[str]]
) -> list[tuple[str, tuple[str, ...]]]:
    """Each encoder with each source that it has all outputs of; every source has an encoder.

    Parameters
    ----------
    outputs : name of an encoder → names of its outputs

    Raises
    ------
    BadExport
    """
    pairs = [
        (encoder, source)
        for encoder, known in outputs.items()
        for source in sources
        if set(source) <= set(known)
    ]
    known = dict.fromkeys(name for names in outputs.values() for name in names)
    for source in sources:
        if source not in [found for _, found in pairs]:
            raise BadExport(f"the input {'+'.join(source)!r}", _why_missing(source, known))
    for encoder in outputs:
        if encoder not in [found for found, _ in pairs]:
            raise BadExport(f"encoder {encoder}", "it has none of the inputs; leave it out")
    return pairs


def _why_missing(source: tuple[str, ...], known: Mapping[str, None]) -> str:
    if set(source) <= known.keys():
        return "are outputs of no single encoder"
    missing = [name for name in source if name not in known]
    part = "" if source == tuple(missing) else f"{missing[0]!r} "
    return f"{part}is not one of {', '.join(known)}"
