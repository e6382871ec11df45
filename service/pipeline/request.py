"""What a request asks of its upload, and what each model answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.errors import status_of, type_of
from service.inference.model import Model
from service.observability.context import (
    ModelOutcome,
    RequestContext,
    StageTimer,
    outcome_of,
    reason_of,
)
from service.schemas.responses import Computed


@dataclass(frozen=True)
class ModelRequest:
    """The answers of one or several models for one upload.

    Attributes
    ----------
    is_patient : whether the request waits for admission; else it is refused where there is no room
    """

    models: tuple[Model, ...]
    window: WindowChoice
    timer: StageTimer
    is_patient: bool = False


@dataclass(frozen=True)
class ModelAnswer:
    """A model's answer; `cached` where it was not computed for this request."""

    model: Model
    computed: Computed
    cached: bool


ModelResult = ModelAnswer | TasteprintError


def raise_if_error(result: ModelResult) -> ModelAnswer:
    """The answer of one model.

    Raises
    ------
    TasteprintError
        Where the result is one.
    """
    if isinstance(result, TasteprintError):
        raise result
    return result


def note_outcomes(
    context: RequestContext, models: Sequence[Model], results: Sequence[ModelResult]
) -> None:
    """Note in the request's context what each model answered, or why it did not."""
    for model, result in zip(models, results, strict=True):
        context.models.append(_outcome_of(model.card.name, result))


def _outcome_of(name: str, result: ModelResult) -> ModelOutcome:
    if isinstance(result, TasteprintError):
        reason = reason_of(type_of(type(result).__name__))
        return ModelOutcome(name, outcome_of(status_of(result)), reason)
    return ModelOutcome(name, "cached" if result.cached else "computed")
