"""Answers of the service, their vectors as NumPy arrays.

Fields have the names of the HTTP API. Fields that this version does not know are left out, so that
a newer service can add some.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tasteprint_client.errors import MixedSpaces, Problem

Vector = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """The model that answered.

    Attributes
    ----------
    digest : SHA-256 of the model's card
    space : CF space of its embeddings, 64 hexadecimal digits; None of a model that predicts no CF
        embedding
    """

    name: str
    digest: str
    precision: str
    version: str = ""
    space: str | None = None


@dataclass(frozen=True)
class Patches:
    """Parts of each window that were heard: starts from the window's, and length, in seconds."""

    starts: list[float]
    seconds: float


@dataclass(frozen=True)
class Window:
    """Windows of the audio that were heard: starts and length in seconds."""

    starts: list[float]
    seconds: float
    how: str
    patches: Patches | None = None


@dataclass(frozen=True)
class Audio:
    """The file: duration in seconds, sample rate in Hz, and notes where it states otherwise."""

    sha256: str
    duration: float
    codec: str
    rate: int
    channels: int
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Embedding:
    """Predicted CF vector of a song.

    Attributes
    ----------
    embedding : float32, shape (40,) of a CF model
    features : float32, penultimate layer; None where it was left out
    levels : further outputs by name, where asked for
    cached : whether the answer was not computed for this request
    """

    model: Model
    embedding: Vector
    features: Vector | None
    levels: dict[str, Vector]
    window: Window
    audio: Audio
    cached: bool
    request_id: str | None = None

    def cosine(self, other: Embedding) -> float:
        """Cosine with another song's embedding, from -1 to 1.

        Raises
        ------
        MixedSpaces
            Of vectors of two CF spaces; without a space, of two models.
        """
        own, others = _comparable(self.model), _comparable(other.model)
        if own != others:
            raise MixedSpaces(own, others)
        first, second = self.embedding.astype(np.float64), other.embedding.astype(np.float64)
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors alone, as bytes of the service: the fastest answer.

    Attributes
    ----------
    outputs : float32 vectors by name: `embedding`, `features`, then levels
    sha256 : of the file
    """

    model: Model
    outputs: dict[str, Vector]
    sha256: str
    cached: bool
    request_id: str | None = None


@dataclass(frozen=True)
class Label:
    label: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """Labels of a classifier, most probable first.

    Attributes
    ----------
    multilabel : several labels may hold; else the probabilities sum to 1
    groups : probability of each group of labels, where the model has groups
    """

    model: Model
    labels: list[Label]
    multilabel: bool
    window: Window
    audio: Audio
    cached: bool
    groups: dict[str, float] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True)
class Regression:
    """A number for each target of a regressor."""

    model: Model
    values: dict[str, float]
    window: Window
    audio: Audio
    cached: bool
    request_id: str | None = None


@dataclass(frozen=True)
class Analysed:
    """One model's part of an analysis: what its kind answers, or its problem."""

    model: Model
    kind: str
    task: str
    labels: list[Label] | None = None
    multilabel: bool | None = None
    groups: dict[str, float] | None = None
    values: dict[str, float] | None = None
    embedding: list[float] | None = None
    features: list[float] | None = None
    cached: bool | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Analysis:
    """Every model's answer to one file, by the model's name."""

    audio: Audio
    window: Window
    models: dict[str, Analysed]
    request_id: str | None = None


@dataclass(frozen=True)
class Hit:
    """A song of the service's catalogue, near to what was asked for.

    Attributes
    ----------
    cosine : of the centred vectors, from -1 to 1
    rank : 1 for the nearest of the catalogue, whatever was left out
    percentile : share of the catalogue that is less near, from 0 to 100
    """

    track_id: str
    cosine: float
    rank: int
    percentile: float
    title: str | None = None
    artist: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """The catalogue that was asked: number of tracks and users, and the model of its vectors.

    Attributes
    ----------
    users : None where it has no user factors
    precision : of the graph that made the vectors; None where no graph did
    """

    tracks: int
    model: str
    digest: str
    space: str | None = None
    users: int | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Similar:
    """The nearest songs first; `model` and `audio` are those of an upload."""

    catalogue: Catalogue
    hits: list[Hit]
    model: Model | None = None
    audio: Audio | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Listener:
    """A user of the catalogue's CF space.

    Attributes
    ----------
    score : to be compared with those of other users for the same song
    rank : 1 for the user who is most likely to like it
    percentile : share of the users who are less likely to, from 0 to 100
    """

    user_id: str
    score: float
    rank: int
    percentile: float


@dataclass(frozen=True)
class Listeners:
    """The likeliest listeners first; `model` and `audio` are those of an upload."""

    catalogue: Catalogue
    listeners: list[Listener]
    model: Model | None = None
    audio: Audio | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class TrackPut:
    """A song that is in the catalogue now; `replaced`: in place of another one of its id."""

    track_id: str
    replaced: bool
    catalogue: Catalogue
    model: Model
    audio: Audio
    cached: bool
    request_id: str | None = None


def build(kind: type[T], content: dict[str, Any], **more: Any) -> T:
    """An answer of that dataclass; nested objects become their dataclasses."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in content.items() if name in known} | more
    return kind(**{name: _nested(name, value) for name, value in given.items()})


def _nested(name: str, value: Any) -> Any:
    if isinstance(value, dict) and name in NESTED:
        return build(NESTED[name], value)
    if name in LISTS and isinstance(value, list):
        return [build(LISTS[name], item) for item in value]
    return value


NESTED: dict[str, Any] = {
    "model": Model,
    "window": Window,
    "patches": Patches,
    "audio": Audio,
    "problem": Problem,
    "catalogue": Catalogue,
}
LISTS: dict[str, Any] = {"labels": Label, "hits": Hit, "listeners": Listener}


def build_embedding(content: dict[str, Any], request_id: str | None = None) -> Embedding:
    """An answer of `/embed`; JSON has every digit of a float32."""
    features = content.get("features")
    return build(
        Embedding,
        content,
        embedding=np.array(content["embedding"], np.float32),
        features=None if features is None else np.array(features, np.float32),
        levels={
            name: np.array(vector, np.float32)
            for name, vector in (content.get("levels") or {}).items()
        },
        request_id=request_id,
    )


def build_analysis(content: dict[str, Any], request_id: str | None = None) -> Analysis:
    models = {name: build(Analysed, model) for name, model in content["models"].items()}
    return build(Analysis, content, models=models, request_id=request_id)


def _comparable(model: Model) -> str:
    """What another vector must equal to be compared."""
    if model.space:
        return f"the CF space {model.space[:12]}"
    return f"the model {model.name} ({model.digest[:12]})"
