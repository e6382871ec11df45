"""What the service answers: the shapes that OpenAPI shows and the cache keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.card import Card

Vector = list[float]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelUsed(Answer):
    """The model that answered."""

    name: str = Field(examples=["cf-estimator"])
    version: str
    digest: Sha256 = Field(description="SHA-256 over the card, which states its graphs'.")


class WindowUsed(Answer):
    """The stretch of audio that the model heard."""

    starts: list[float] = Field(description="Start of each window in seconds; one unless `all`.")
    seconds: float = Field(description="Length of a window. Shorter audio is repeated to it.")
    how: str = Field(description="`middle`, `start`, `all` (the mean of the windows), or `offset`.")


class AudioHeard(Answer):
    """What the upload is."""

    sha256: Sha256 = Field(description="Of the file's bytes.")
    duration: float = Field(description="Seconds.")
    codec: str = Field(examples=["mp3"])
    rate: int = Field(description="Sample rate of the file in Hz.")
    channels: int


class Computed(Answer):
    """What is remembered of an audio, a window and a model."""

    embedding: Vector
    features: Vector
    window: WindowUsed
    audio: AudioHeard


class Embedding(Answer):
    """Where listeners would put this audio."""

    model: ModelUsed
    embedding: Vector = Field(description="The predicted collaborative-filtering vector.")
    features: Vector | None = Field(
        default=None, description="The penultimate layer; left out with `features=false`."
    )
    window: WindowUsed
    audio: AudioHeard
    cached: bool = Field(
        description="Not computed for this request: remembered, or shared with another one."
    )


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:tasteprint:silent-audio"])
    title: str = Field(examples=["Silent audio"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What was wrong.")
    value: str | float | None = Field(default=None, description="What was found.")
    limit: str | float | None = Field(default=None, description="What is allowed.")
    remedy: str | None = Field(default=None, description="What to do about it.")


class ModelCard(Answer):
    """A loaded model: its identity, where it runs, and its card."""

    name: str
    version: str
    digest: Sha256
    provider: str = Field(description="The execution provider that is really used.")
    card: Card


class RefusedModel(Answer):
    """A bundle that was not loaded, and why."""

    name: str
    reason: str


class ModelList(Answer):
    models: list[ModelCard]
    refused: list[RefusedModel]


class Health(Answer):
    status: str = Field(examples=["ok"])


class Readiness(Answer):
    """A probe went through decoder, queue and model, in `probe_ms` milliseconds."""

    status: str = Field(examples=["ready"])
    providers: dict[str, str] = Field(description="Model to execution provider.")
    cache: str
    refused: list[RefusedModel]
    probe_ms: float
