"""Response schemas, as OpenAPI shows them, and the value that the cache stores."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from models.card import Card, Kind, Precision

Vector = list[float]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# As a client writes it: PowerShell's Get-FileHash writes upper case.
AnySha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
Cached = Annotated[
    bool,
    Field(description="From the cache, or shared with a concurrent request for the same audio."),
]
OwnEmbedding = Annotated[Vector | None, Field(description="The model's own, with `vectors=true`.")]
OwnFeatures = Annotated[
    Vector | None, Field(description="The model's own penultimate layer, with `vectors=true`.")
]


class Answer(BaseModel):
    """Base of the response schemas: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelUsed(Answer):
    """The model that answered."""

    name: str = Field(examples=["cf-estimator"])
    version: str
    digest: Sha256 = Field(
        description="SHA-256 of the card, which holds the SHA-256 of the float32 graph."
    )
    precision: Precision = Field(
        description="Precision of the graph that ran; the card states its agreement with float32."
    )
    space: Sha256 | None = Field(
        default=None,
        description="CF space that the model's embedding lives in: only vectors of one space can "
        "be compared. Left out if its card states none.",
    )


class PatchesUsed(Answer):
    """The parts of each window that the model was run on, and that alone were decoded."""

    starts: list[float] = Field(
        description="Start of each patch in seconds from the start of its window; in audio "
        "that is shorter than a window, patches are closer together.",
        examples=[[3.5, 13.5, 23.5]],
    )
    seconds: float = Field(description="Length of a patch.", examples=[3.0])


class WindowUsed(Answer):
    """The windows of audio that the model was run on."""

    starts: list[float] = Field(
        description="Start of each window in seconds; one window unless `all`."
    )
    seconds: float = Field(
        description="Length of a window; shorter audio is repeated to this length, or to that of "
        "a patch."
    )
    how: str = Field(
        description="`middle`, `start`, `all` (the mean of the windows), or `offset`; `nearest`: "
        "the middle is silent, and the window is the nearest audible one."
    )
    patches: PatchesUsed | None = Field(
        default=None, description="Left out for a model that was run on whole windows."
    )


class AudioHeard(Answer):
    """Metadata of the uploaded file."""

    sha256: Sha256 = Field(description="SHA-256 of the file's bytes.")
    duration: float = Field(description="Duration in seconds.")
    codec: str = Field(examples=["mp3"])
    rate: int = Field(description="Sample rate of the file in Hz.")
    channels: int
    notes: list[str] | None = Field(
        default=None,
        description="Where the file states otherwise than it is: a length in its header that is "
        "not that of its audio, recordings that were joined, gaps. Left out without any.",
        examples=[["the header promises 30.0 s, the file holds 120.0 s"]],
    )


class CachedAnswer(Answer):
    """A model's answer for an audio and a window, as the cache stores it."""

    outputs: dict[str, Vector] = Field(
        description="Mean over the windows, by the name of the output; levels if requested."
    )
    window: WindowUsed
    audio: AudioHeard


class Embedding(Answer):
    """The predicted collaborative-filtering (CF) embedding of the audio."""

    model: ModelUsed
    embedding: Vector = Field(description="Predicted CF item factor.")
    features: Vector | None = Field(
        default=None, description="Penultimate layer; left out with `features=false`."
    )
    levels: dict[str, Vector] | None = Field(
        default=None,
        description="The model's further outputs by name, with `levels=true`; `{}` if it has none.",
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
    # Integers too, since a number of bytes is not 1048576.0.
    value: str | int | float | None = Field(default=None, description="The value that was found.")
    limit: str | int | float | None = Field(
        default=None, description="The limit, or the values that are allowed."
    )
    remedy: str | None = Field(default=None, description="What the client can do about it.")


class BatchLine(Answer):
    """The answer or the problem of one file; a problem without `index` concerns the body."""

    index: int | None = Field(default=None, description="Position of the file in the body, from 0.")
    file: str | None = Field(default=None, description="Name of the file, as the client sent it.")
    answer: Embedding | None = None
    problem: Problem | None = None


Multilabel = Annotated[
    bool,
    Field(
        description="`true`: several labels may hold, each with a probability of its own; "
        "`false`: exactly one holds, and the probabilities of all labels sum to 1."
    ),
]
Groups = Annotated[
    dict[str, float] | None,
    Field(
        description="Probability of each group of labels, the sum of theirs; left out if the "
        "model's card has no groups."
    ),
]


class Label(Answer):
    """A label of a classifier and its probability."""

    label: str = Field(examples=["jazz"])
    probability: float


class Classification(Answer):
    """Probability of each label of a classifier."""

    model: ModelUsed
    labels: list[Label] = Field(
        description="In descending order of probability: every label, or with `threshold` those "
        "whose probability is at least that."
    )
    multilabel: Multilabel
    threshold: float | None = Field(default=None, description="The `threshold` of the request.")
    groups: Groups = None
    embedding: OwnEmbedding = None
    features: OwnFeatures = None
    window: WindowUsed
    audio: AudioHeard
    cached: Cached


class Regression(Answer):
    """Value of each target of a regressor."""

    model: ModelUsed
    values: dict[str, float] = Field(description="Value by the name of the target.")
    embedding: OwnEmbedding = None
    features: OwnFeatures = None
    window: WindowUsed
    audio: AudioHeard
    cached: Cached


class Analysed(Answer):
    """One model's result in an analysis: the answer of its own route, or its problem."""

    model: ModelUsed
    kind: Kind
    task: str
    labels: list[Label] | None = Field(default=None, description="Every label of a classifier.")
    multilabel: Multilabel | None = None
    groups: Groups = None
    values: dict[str, float] | None = Field(default=None, description="Values of a regressor.")
    embedding: Vector | None = Field(
        default=None, description="Of an encoder, and of other models with `vectors=true`."
    )
    features: Vector | None = None
    window: WindowUsed | None = Field(
        default=None, description="Where it differs from the `window` of the analysis."
    )
    cached: Cached | None = None
    problem: Problem | None = Field(default=None, description="Why this model has no answer.")


class Analysis(Answer):
    """Every model's answer to one upload."""

    window: WindowUsed
    audio: AudioHeard
    models: dict[str, Analysed] = Field(description="Answer or problem by the name of the model.")


class SimilarSong(Answer):
    """A song of the catalogue that is near to what was asked for."""

    track_id: str
    title: str | None = Field(default=None, description="Left out where unknown.")
    artist: str | None = Field(default=None, description="Left out where unknown.")
    cosine: float = Field(description="Cosine of the centred vectors, from -1 to 1.")
    rank: int = Field(description="1 is the nearest of the catalogue, whatever was left out.")
    percentile: float = Field(description="Share of the catalogue that is less near, 0 to 100.")


class CatalogueUsed(Answer):
    """The catalogue that was asked."""

    tracks: int
    users: int | None = Field(
        default=None, description="Number of users; left out where it has no user factors."
    )
    model: str = Field(description="The model that embedded its songs.")
    digest: Sha256
    precision: Precision | None = Field(
        default=None, description="Of the graph that ran; left out where no graph made the vectors."
    )
    space: Sha256 | None = None


class Similar(Answer):
    """The songs of the catalogue nearest to an upload, or to tracks; never these themselves."""

    catalogue: CatalogueUsed
    hits: list[SimilarSong] = Field(description="The nearest first.")
    model: ModelUsed | None = Field(default=None, description="What embedded the upload.")
    window: WindowUsed | None = Field(default=None, description="Of the upload.")
    audio: AudioHeard | None = Field(default=None, description="Of the upload.")
    cached: bool | None = Field(default=None, description="Whether the embedding was cached.")


class UserRanked(Answer):
    """A user of the catalogue's CF space."""

    user_id: str
    score: float = Field(
        description="User factor · vector of the song, of length 1: to be compared for one song."
    )
    rank: int = Field(description="1 is the user who is most likely to like the song.")
    percentile: float = Field(description="Share of the users who are less likely to, 0 to 100.")


class Listeners(Answer):
    """The users most likely to like a song; of several, all of them together."""

    catalogue: CatalogueUsed
    listeners: list[UserRanked] = Field(description="The likeliest first.")
    model: ModelUsed | None = Field(default=None, description="What embedded the upload.")
    window: WindowUsed | None = Field(default=None, description="Of the upload.")
    audio: AudioHeard | None = Field(default=None, description="Of the upload.")
    cached: bool | None = Field(default=None, description="Whether the embedding was cached.")


class TrackPut(Answer):
    """A song that is in the catalogue now."""

    track_id: str
    replaced: bool = Field(description="Whether it took the place of another one of its id.")
    catalogue: CatalogueUsed
    model: ModelUsed
    window: WindowUsed
    audio: AudioHeard
    cached: Cached


class TrackDeleted(Answer):
    """A song that is no longer in the catalogue."""

    track_id: str
    catalogue: CatalogueUsed


class ModelCard(Answer):
    """A model: its identity, what it does, where it runs once loaded, and its card."""

    name: str
    version: str
    digest: Sha256
    kind: Kind
    task: str = Field(description="`/classify/{task}` or `/regress/{task}`, by the kind.")
    space: Sha256 | None = Field(
        description="CF space that the model's embedding lives in; null if its card states none."
    )
    loaded: bool = Field(
        description="False before the first request of a model that its card does not mark as "
        "default; that request loads the model."
    )
    encoder: str | None = Field(
        description="Encoder whose run this model shares; null where it runs its own graph, or is "
        "not loaded."
    )
    provider: str | None = Field(
        description="Execution provider that really runs the model; null if not loaded."
    )
    devices: int | None = Field(
        description="GPUs that run the model, each with a session of its own; 1 on a CPU; null if "
        "not loaded."
    )
    precision: Precision | None = Field(
        description="Precision of the graph that runs: the model's own, or its encoder's; null if "
        "not loaded."
    )
    card: Card


class RefusedModel(Answer):
    """A bundle that cannot be used, and the reason."""

    name: str
    reason: str


class ModelList(Answer):
    """Models, loaded or not, and refused bundles."""

    default: str = Field(description="The model that answers `/embed` without `model`.")
    models: list[ModelCard]
    refused: list[RefusedModel]


class Health(Answer):
    """Liveness."""

    status: str = Field(examples=["ok"])


class Readiness(Answer):
    """Readiness: a probe passed decoder, queues and models in `probe_ms` milliseconds."""

    status: str = Field(examples=["ready"])
    probe_ms: float
    providers: dict[str, str] | None = Field(
        default=None,
        description="Execution provider by model. Left out where API keys are required.",
    )
    cache: str | None = Field(
        default=None, description="The cache in use. Left out where API keys are required."
    )
    refused: list[RefusedModel] | None = Field(
        default=None, description="Refused bundles. Left out where API keys are required."
    )
