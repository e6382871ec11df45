"""Each call of the service as a `Flow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from tasteprint_client.answers import (
    Analysis,
    Classification,
    Embedding,
    Listeners,
    Model,
    Regression,
    Similar,
    TrackPut,
    Vector,
    Vectors,
    build,
    build_analysis,
    build_embedding,
)
from tasteprint_client.errors import BadAnswer, NotFound
from tasteprint_client.exchange import Deadline, Flow, Reply, Request, exchange
from tasteprint_client.files import AudioFile
from tasteprint_client.retry import Retry

T = TypeVar("T")
OCTETS = "application/octet-stream"
# A smaller file is sent as quickly as it is asked for.
MIN_LOOKUP_BYTES = 1 << 16
UNKNOWN_TRACK = "urn:tasteprint:unknown-track"
Params = dict[str, str]


@dataclass(frozen=True)
class Flows:
    """What a client's calls have in common.

    Attributes
    ----------
    space : CF space that embeddings must be of; None for any
    """

    retry: Retry = field(default_factory=Retry)
    space: str | None = None

    def embed(self, file: AudioFile, params: Params, *, lookup: bool) -> Flow[Embedding]:
        reply = yield from self._embed(file, params, {}, lookup=lookup)
        return _read(reply, lambda: build_embedding(reply.json(), reply.request_id))

    def vectors(self, file: AudioFile, params: Params, *, lookup: bool) -> Flow[Vectors]:
        reply = yield from self._embed(file, params, {"accept": OCTETS}, lookup=lookup)
        return _read(reply, lambda: _read_vectors(reply))

    def _embed(
        self, file: AudioFile, params: Params, headers: dict[str, str], *, lookup: bool
    ) -> Flow[Reply]:
        """The cached answer by the file's digest, else that to an upload."""
        deadline = Deadline(self.retry.total_s)
        if self.space:
            params = params | {"space": self.space}
        if lookup and len(file.content) >= MIN_LOOKUP_BYTES:
            ask = Request("GET", f"/embeddings/{file.sha256}", params, headers)
            reply = yield from exchange(ask, self.retry, deadline, accept=(200, 404))
            if reply.status == 200:
                return reply
        return (yield from exchange(_upload("/embed", file, params, headers), self.retry, deadline))

    def cached(self, sha256: str, params: Params) -> Flow[Embedding | None]:
        if self.space:
            params = params | {"space": self.space}
        ask = Request("GET", f"/embeddings/{quote(sha256, safe='')}", params)
        reply = yield from self._exchange(ask, accept=(200, 404))
        if reply.status == 404:
            return None
        return _read(reply, lambda: build_embedding(reply.json(), reply.request_id))

    def classify(self, task: str, file: AudioFile, params: Params) -> Flow[Classification]:
        path = f"/classify/{quote(task, safe='')}"
        reply = yield from self._exchange(_upload(path, file, params))
        return _read(
            reply, lambda: build(Classification, reply.json(), request_id=reply.request_id)
        )

    def regress(self, task: str, file: AudioFile, params: Params) -> Flow[Regression]:
        path = f"/regress/{quote(task, safe='')}"
        reply = yield from self._exchange(_upload(path, file, params))
        return _read(reply, lambda: build(Regression, reply.json(), request_id=reply.request_id))

    def analyze(self, file: AudioFile, models: Sequence[str], params: Params) -> Flow[Analysis]:
        if models:
            params = params | {"models": ",".join(models)}
        reply = yield from self._exchange(_upload("/analyze", file, params))
        return _read(reply, lambda: build_analysis(reply.json(), reply.request_id))

    def similar(self, file: AudioFile, params: Params) -> Flow[Similar]:
        reply = yield from self._exchange(_upload("/similar", file, params))
        return _read(reply, lambda: build(Similar, reply.json(), request_id=reply.request_id))

    def similar_to(
        self, track_ids: Sequence[str], sha256: Sequence[str], params: Params
    ) -> Flow[Similar]:
        request = Request("GET", "/similar", (*params.items(), *_seeds(track_ids, sha256)))
        reply = yield from self._exchange(request)
        return _read(reply, lambda: build(Similar, reply.json(), request_id=reply.request_id))

    def listeners(self, file: AudioFile, params: Params) -> Flow[Listeners]:
        reply = yield from self._exchange(_upload("/listeners", file, params))
        return _read(reply, lambda: build(Listeners, reply.json(), request_id=reply.request_id))

    def listeners_of(
        self, track_ids: Sequence[str], sha256: Sequence[str], params: Params
    ) -> Flow[Listeners]:
        request = Request("GET", "/listeners", (*params.items(), *_seeds(track_ids, sha256)))
        reply = yield from self._exchange(request)
        return _read(reply, lambda: build(Listeners, reply.json(), request_id=reply.request_id))

    def put_track(self, track_id: str, file: AudioFile, params: Params) -> Flow[TrackPut]:
        request = replace(_upload(_track_path(track_id), file, params), method="PUT")
        reply = yield from self._exchange(request, accept=(200, 201))
        return _read(reply, lambda: build(TrackPut, reply.json(), request_id=reply.request_id))

    def delete_track(self, track_id: str) -> Flow[bool]:
        try:
            yield from self._exchange(Request("DELETE", _track_path(track_id)))
        except NotFound as error:
            if error.type != UNKNOWN_TRACK:
                raise
            return False
        return True

    def get(self, path: str) -> Flow[dict[str, Any]]:
        reply = yield from self._exchange(Request("GET", path))
        return reply.json()

    def _exchange(self, request: Request, accept: tuple[int, ...] = (200,)) -> Flow[Reply]:
        return exchange(request, self.retry, Deadline(self.retry.total_s), accept)


def embed_params(
    model: str | None, window: str | float | None, *, features: bool, levels: bool
) -> Params:
    params = window_params(model, window)
    if not features:
        params["features"] = "false"
    if levels:
        params["levels"] = "true"
    return params


def window_params(model: str | None, window: str | float | None) -> Params:
    """Parameters that were given; the service knows the others' defaults."""
    params = {"model": model, "window": None if window is None else str(window)}
    return {name: value for name, value in params.items() if value is not None}


def similar_params(
    limit: int, max_per_artist: int, min_cosine: float, *, exclude_same_artist: bool
) -> Params:
    return {
        "limit": str(limit),
        "max_per_artist": str(max_per_artist),
        "min_cosine": str(min_cosine),
        "exclude_same_artist": str(exclude_same_artist).lower(),
    }


def put_params(title: str | None, artist: str | None, window: str | float | None) -> Params:
    given = {"title": title, "artist": artist}
    return window_params(None, window) | {
        name: value for name, value in given.items() if value is not None
    }


def _seeds(track_ids: Sequence[str], sha256: Sequence[str]) -> list[tuple[str, str]]:
    return [("track_id", value) for value in track_ids] + [("sha256", value) for value in sha256]


def _track_path(track_id: str) -> str:
    return f"/catalogue/{quote(track_id, safe='')}"


def _upload(
    path: str, file: AudioFile, params: Params, headers: dict[str, str] | None = None
) -> Request:
    return Request(
        "POST", path, params, {"content-type": OCTETS} | (headers or {}), content=file.content
    )


def _read(reply: Reply, read: Callable[[], T]) -> T:
    """What `read` makes of a reply.

    Raises
    ------
    BadAnswer
        If fields are missing.
    """
    try:
        return read()
    except (KeyError, TypeError, ValueError) as error:
        text = f"the answer is not what the route answers: {type(error).__name__}: {error}"
        raise BadAnswer(text, reply.status, reply.request_id) from error


def _read_vectors(reply: Reply) -> Vectors:
    """Little-endian float32, one output after the other, as the headers describe them."""
    headers = reply.headers
    values = np.frombuffer(reply.content, "<f4").astype(np.float32)
    outputs: dict[str, Vector] = {}
    start = 0
    for part in headers["tasteprint-outputs"].split(", "):
        name, _, length = part.rpartition("=")
        outputs[name] = values[start : start + int(length)]
        start += int(length)
    if start != values.size:
        raise ValueError(f"{values.size} numbers, where the headers state {start}")
    model = Model(
        name=headers["tasteprint-model"],
        digest=headers["tasteprint-digest"],
        precision=headers["tasteprint-precision"],
        space=headers.get("tasteprint-space"),
    )
    cached = headers["tasteprint-cached"] == "true"
    return Vectors(model, outputs, headers["tasteprint-audio"], cached, reply.request_id)
