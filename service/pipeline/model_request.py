"""Pipeline data types: ModelRequest, ModelAnswer, ModelResult."""

from __future__ import annotations

from dataclasses import dataclass

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.inference.model import Model
from service.observability.context import StageTimer
from service.schemas.responses import CachedAnswer


@dataclass(frozen=True)
class ModelRequest:
    """Request to run one or several models on one upload.

    Attributes
    ----------
    waits_for_admission : whether to wait where the service is busy, instead of raising `Busy`
    """

    models: tuple[Model, ...]
    window: WindowChoice
    timer: StageTimer
    waits_for_admission: bool = False


@dataclass(frozen=True)
class ModelAnswer:
    """One model's answer; `cached` where it was not computed for this request."""

    model: Model
    computed: CachedAnswer
    cached: bool


ModelResult = ModelAnswer | TasteprintError
