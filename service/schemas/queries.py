"""Query parameters of each route; unknown parameters are refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
)

from models.audio.window_choice import OFFSET, WindowChoice
from service.schemas.responses import AnySha256


def _check_window(text: str) -> str:
    WindowChoice.parse(text)
    return text


Window = Annotated[
    str,
    AfterValidator(_check_window),
    Field(
        description="`middle`, `start`, `all` (mean over consecutive windows), or an offset: in "
        "s, as `1:30` or `1:02:30`; `-30` is 30 s before the end.",
        # For readers of the schema only: the validator has a clearer error message.
        json_schema_extra={"pattern": f"^(middle|start|all|{OFFSET})$"},
    ),
]
Features = Annotated[bool, Field(description="`false` omits the features (penultimate layer).")]
Levels = Annotated[
    bool,
    Field(
        description="`true` adds the levels: outputs of the model beyond embedding and features."
    ),
]
SPACE = r"^[0-9a-fA-F]{12,64}$"
Space = Annotated[
    Annotated[str, Field(pattern=SPACE), AfterValidator(str.lower)] | None,
    # Not null: an empty parameter is refused, since it would skip the check.
    WithJsonSchema({"type": "string", "pattern": SPACE}),
    Field(
        description="CF space that your own vectors live in, as `model.space` stated it, or its "
        "first 12 digits or more: a model of another space, or without one, is refused with 409.",
    ),
]
Vectors = Annotated[
    bool, Field(description="`true` adds a classifier's or regressor's own embedding and features.")
]


class NoQuery(BaseModel):
    """Query without parameters: any parameter is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class ReadyQuery(NoQuery):
    """Query of `/readyz`."""

    model: str | None = Field(
        default=None,
        description="Probe this model alone, and load it first; default: the default models.",
    )


class EmbedQuery(NoQuery):
    """Query of the embedding routes."""

    model: str | None = Field(
        default=None, description="Name from GET /models; default: TASTEPRINT_DEFAULT_MODEL."
    )
    window: Window = "middle"
    features: Features = True
    levels: Levels = False
    space: Space = None


class TaskQuery(NoQuery):
    """Query of `/regress/{task}`, and part of that of `/classify/{task}`."""

    model: str | None = Field(
        default=None, description="A model of this task; default: the model named like the task."
    )
    window: Window = "middle"
    vectors: Vectors = False


class ClassifyQuery(TaskQuery):
    """Query of `/classify/{task}`."""

    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Minimum probability: leaves out the labels below it; default: every label.",
    )


class SpectrogramQuery(NoQuery):
    """Query of `/spectrogram`."""

    model: str | None = Field(
        default=None, description="An encoder with a spectrogram; default: that of `/embed`."
    )
    window: Window = "middle"


class AnalyzeQuery(NoQuery):
    """Query of `/analyze`."""

    models: list[str] = Field(
        default=[],
        description="Names from GET /models, separated by commas or repeated; default: those that "
        "their cards mark as default.",
    )
    window: Window = "middle"
    features: Features = True
    vectors: Vectors = False

    @field_validator("models")
    @classmethod
    def _split(cls, given: list[str]) -> list[str]:
        names = (name.strip() for names in given for name in names.split(","))
        # Names of nothing but blanks stay, to be refused: they are not the default.
        return list(dict.fromkeys(filter(None, names))) or given


class SimilarQuery(NoQuery):
    """Query of `POST /similar`, and part of that of `GET /similar`."""

    limit: int = Field(default=10, ge=1, le=1000, description="Number of songs.")
    exclude_same_artist: bool = Field(
        default=False, description="`true` leaves out songs by an artist of a seed."
    )
    max_per_artist: int = Field(
        default=0,
        ge=0,
        description="Songs of one artist; 0: any number. Unknown artists count none.",
    )
    min_cosine: float = Field(
        default=-1.0, ge=-1, le=1, allow_inf_nan=False, description="Minimum cosine of a song."
    )


class SimilarUploadQuery(SimilarQuery):
    """Query of `POST /similar`."""

    window: Window = "middle"


class ListenersQuery(NoQuery):
    """Query of `POST /listeners`, and part of that of `GET /listeners`."""

    limit: int = Field(default=10, ge=1, le=1000, description="Number of users.")


class ListenersUploadQuery(ListenersQuery):
    """Query of `POST /listeners`."""

    window: Window = "middle"


class SeedsQuery(NoQuery):
    """Songs that are asked about: part of the queries of `GET /similar` and `GET /listeners`."""

    track_id: list[str] = Field(
        default=[], max_length=32, description="Tracks of the catalogue; may be repeated."
    )
    sha256: list[AnySha256] = Field(
        default=[],
        max_length=32,
        description="SHA-256 of audio that is in the catalogue or in the cache; may be repeated.",
    )


class SimilarSeedsQuery(SimilarQuery, SeedsQuery):
    """Query of `GET /similar`."""


class ListenersSeedsQuery(ListenersQuery, SeedsQuery):
    """Query of `GET /listeners`."""


class PutTrackQuery(NoQuery):
    """Query of `PUT /catalogue/{track_id}`."""

    title: str | None = Field(default=None, max_length=500, description="Title of the song.")
    artist: str | None = Field(
        default=None,
        max_length=500,
        description="Artist of the song, by which `exclude_same_artist` and `max_per_artist` go.",
    )
    window: Window = "middle"


# Of all routes; as a field of a form they have an error of their own.
PARAMETERS = frozenset(
    name
    for query in (
        ReadyQuery,
        EmbedQuery,
        ClassifyQuery,
        AnalyzeQuery,
        SpectrogramQuery,
        SimilarUploadQuery,
        SimilarSeedsQuery,
        ListenersSeedsQuery,
        PutTrackQuery,
    )
    for name in query.model_fields
)
