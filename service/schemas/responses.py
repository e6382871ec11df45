"""What the service answers: the shapes that OpenAPI shows and the cache keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.card import Card, Kind, Precision

Vector = list[float]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Cached = Annotated[
    bool,
    Field(description="Not computed for this request: remembered, or shared with another one."),
]
OwnEmbedding = Annotated[Vector | None, Field(description="The model's own, with `vectors=true`.")]
OwnFeatures = Annotated[
    Vector | None, Field(description="The model's own penultimate layer, with `vectors=true`.")
]


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelUsed(Answer):
    """The model that answered."""

    name: str = Field(examples=["cf-estimator"])
    version: str
    digest: Sha256 = Field(description="SHA-256 over the card, which states its float32 graph's.")
    precision: Precision = Field(description="Of the graph that ran; the card says what it costs.")


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

    outputs: dict[str, Vector] = Field(description="The mean over the windows, by output's name.")
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
    cached: Cached


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:tasteprint:silent-audio"])
    title: str = Field(examples=["Silent audio"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What was wrong.")
    value: str | float | None = Field(default=None, description="What was found.")
    limit: str | float | None = Field(default=None, description="What is allowed.")
    remedy: str | None = Field(default=None, description="What to do about it.")


class BatchLine(Answer):
    """What became of one file of a batch; without `index` the problem is the body's own."""

    index: int | None = Field(default=None, description="Of the file in the body, from 0.")
    file: str | None = Field(default=None, description="Its name, as the client sent it.")
    answer: Embedding | None = None
    problem: Problem | None = None


class Label(Answer):
    label: str = Field(examples=["jazz"])
    probability: float


class Classification(Answer):
    """What this audio is, among the labels that the model knows."""

    model: ModelUsed
    labels: list[Label] = Field(description="Every label, the most probable first.")
    embedding: OwnEmbedding = None
    features: OwnFeatures = None
    window: WindowUsed
    audio: AudioHeard
    cached: Cached


class Regression(Answer):
    """How much of each target this audio has."""

    model: ModelUsed
    values: dict[str, float] = Field(description="By target.")
    embedding: OwnEmbedding = None
    features: OwnFeatures = None
    window: WindowUsed
    audio: AudioHeard
    cached: Cached


class Analysed(Answer):
    """One model's part: what its own route answers, or the problem that it met."""

    model: ModelUsed
    kind: Kind
    task: str
    labels: list[Label] | None = Field(default=None, description="Of a classifier.")
    values: dict[str, float] | None = Field(default=None, description="Of a regressor.")
    embedding: Vector | None = Field(
        default=None, description="Of an encoder, and of the others with `vectors=true`."
    )
    features: Vector | None = None
    window: WindowUsed | None = Field(
        default=None, description="Where it is not the one that is stated for all."
    )
    cached: Cached | None = None
    problem: Problem | None = Field(default=None, description="Why this model did not answer.")


class Analysis(Answer):
    """Every model's answer to one upload."""

    window: WindowUsed
    audio: AudioHeard
    models: dict[str, Analysed] = Field(description="By the model's name.")


class ModelCard(Answer):
    """A loaded model: its identity, what it does, where it runs, and its card."""

    name: str
    version: str
    digest: Sha256
    kind: Kind
    task: str = Field(description="`/classify/{task}` or `/regress/{task}`, by the kind.")
    encoder: str | None = Field(
        description="The model whose run this one shares; null where it runs a graph of its own."
    )
    provider: str = Field(description="The execution provider that is really used.")
    devices: int = Field(
        description="GPUs that run it, each with a session of its own; 1 on a CPU."
    )
    precision: Precision = Field(
        description="Of the graph that runs: this one's own, or its encoder's."
    )
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
    probe_ms: float
    providers: dict[str, str] | None = Field(
        default=None, description="Model to execution provider. Not told where keys are asked for."
    )
    cache: str | None = Field(default=None, description="Likewise.")
    refused: list[RefusedModel] | None = Field(default=None, description="Likewise.")
