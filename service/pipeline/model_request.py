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
    levels : whether the answers must have the levels: see `Model.level_names`
    """

    models: tuple[Model, ...]
    window: WindowChoice
    timer: StageTimer
    waits_for_admission: bool = False
    levels: bool = False


@dataclass(frozen=True)
class ModelAnswer:
    """One model's answer; `cached` where it was not computed for this request."""

    model: Model
    computed: CachedAnswer
    cached: bool

    @property
    def has_levels(self) -> bool:
        """Whether the model has no levels, or the answer was computed with them."""
        return self.computed.outputs.keys() >= set(self.model.level_names)


ModelResult = ModelAnswer | TasteprintError
