"""What may be asked of each route; any other parameter is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from models.audio.window_choice import WindowChoice


def _is_a_window(text: str) -> str:
    WindowChoice.parse(text)
    return text


Window = Annotated[
    str,
    AfterValidator(_is_a_window),
    Field(
        description="`middle`, `start`, `all` (mean over consecutive windows), or an offset in s.",
        # Said, and checked by the validator, whose error says it in words.
        json_schema_extra={"pattern": r"^(middle|start|all|[0-9]{1,6}(\.[0-9]{1,6})?)$"},
    ),
]
Features = Annotated[bool, Field(description="`false` leaves the penultimate layer out.")]
Vectors = Annotated[
    bool, Field(description="`true` adds a classifier's or regressor's own embedding and features.")
]


class NoQuery(BaseModel):
    """Routes without parameters refuse what they would ignore."""

    model_config = ConfigDict(extra="forbid")


class EmbedQuery(NoQuery):
    model: str | None = Field(
        default=None, description="One of GET /models; by default the service's own."
    )
    window: Window = "middle"
    features: Features = True


class TaskQuery(NoQuery):
    model: str | None = Field(
        default=None, description="One that does this task; by default the one of the task's name."
    )
    window: Window = "middle"
    vectors: Vectors = False


class AnalyzeQuery(NoQuery):
    models: list[str] = Field(
        default=[], description="Some of GET /models, with commas or repeated; by default all."
    )
    window: Window = "middle"
    features: Features = True
    vectors: Vectors = False

    @field_validator("models")
    @classmethod
    def _split(cls, given: list[str]) -> list[str]:
        return list(dict.fromkeys(name for each in given for name in each.split(",")))
