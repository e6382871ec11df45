"""Pipeline data types: ModelRequest, ModelAnswer, ModelResult."""

from __future__ import annotations

from dataclasses import dataclass

from models.audio.window_choice import WindowChoice
from models.errors import TasteprintError
from service.inference.model import Model
from service.observability.context import StageTimer
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
