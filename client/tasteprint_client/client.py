"""Blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Self, TypeVar

import httpx

from tasteprint_client.answers import (
    Analysis,
    Classification,
    Embedding,
    Listeners,
    Regression,
    Similar,
    TrackPut,
    Vectors,
)
from tasteprint_client.batch import CUT_SHORT, BatchReader, Result, as_parts
from tasteprint_client.errors import ConnectionFailed, TasteprintError
from tasteprint_client.exchange import Flow, Reply, Wait, error_of
from tasteprint_client.files import Source, read_file
from tasteprint_client.flows import (
    Flows,
    Params,
    embed_params,
    put_params,
    similar_params,
    window_params,
)
from tasteprint_client.http import (
    DEFAULT_URL,
    arguments,
    as_failure,
    as_reply,
    checked_url,
    default_headers,
    timeout,
)
from tasteprint_client.retry import Retry

T = TypeVar("T")


class Client:
    """Client of a Tasteprint service; its threads may share it.

    Calls take a path, bytes, or an open binary file. Each is repeated where that helps, see
    `Retry`, and raises what `tasteprint_client.errors` lists.

    Parameters
    ----------
    url : of the service
    api_key : where the service requires one
    space : CF space that embeddings must be of, or its first 12 digits or more; a model of another
        one raises `OtherSpace`
    transport : of httpx, for tests and proxies
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        space: str | None = None,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._flows = Flows(retry or Retry(), space)
        headers = default_headers(api_key)
        self._http = httpx.Client(base_url=checked_url(url), headers=headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def embed(
        self,
        file: Source,
        *,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
        lookup: bool = True,
    ) -> Embedding:
        """The embedding of a song.

        Parameters
        ----------
        model : name of an encoder; the service's default without it
        window : `middle` (default), `start`, `all`, or an offset in seconds
        features, levels : whether to return the penultimate layer, and further outputs
        lookup : ask by the file's SHA-256 first, and upload only what the service has no answer to
        """
        params = embed_params(model, window, features=features, levels=levels)
        return self._run(self._flows.embed(read_file(file), params, lookup=lookup))

    def vectors(
        self,
        file: Source,
        *,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
        lookup: bool = True,
    ) -> Vectors:
        """As `embed`, the vectors alone: a quarter of the bytes."""
        params = embed_params(model, window, features=features, levels=levels)
        return self._run(self._flows.vectors(read_file(file), params, lookup=lookup))

    def cached(
        self,
        sha256: str,
        *,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
    ) -> Embedding | None:
        """The cached answer of the file with that SHA-256; None if there is none."""
        params = embed_params(model, window, features=features, levels=levels)
        return self._run(self._flows.cached(sha256, params))

    def embed_many(
        self,
        files: Iterable[Source],
        *,
        concurrency: int = 8,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
        lookup: bool = True,
    ) -> Iterator[Result]:
        """`embed` of many files, a result as each is done; failures are values.

        Parameters
        ----------
        concurrency : number of requests at a time; as many files are in memory
        """

        def embed(file: Source) -> Result:
            try:
                params = embed_params(model, window, features=features, levels=levels)
                flow = self._flows.embed(read_file(file), params, lookup=lookup)
                return Result(file, self._run(flow))
            except (TasteprintError, OSError) as error:
                return Result(file, error=error)

        sources = iter(files)
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="tasteprint")
        try:
            running: set[Future[Result]] = {
                pool.submit(embed, file) for file in islice(sources, concurrency)
            }
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(embed, file) for file in islice(sources, len(done))}
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)

    def embed_batch(
        self,
        files: Sequence[Source],
        *,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
    ) -> Iterator[Result]:
        """Many files in one request, a result as each is done; failures are values.

        The service takes them as it has room. Nothing is repeated: files without a line have the
        error of the connection.
        """
        params: Params = embed_params(model, window, features=features, levels=levels)
        if self._flows.space:
            params["space"] = self._flows.space
        parts = as_parts([read_file(file) for file in files])
        reader = BatchReader(files)
        total_s = self._flows.retry.total_s
        try:
            with self._http.stream(
                "POST", "/embed/batch", params=params, files=parts, timeout=timeout(total_s)
            ) as response:
                if response.status_code != 200:
                    response.read()
                    raise error_of(as_reply(response))
                reader.request_id = response.headers.get("x-request-id")
                for line in response.iter_lines():
                    if line:
                        yield reader.read(line)
        except httpx.TransportError as error:
            yield from reader.fail_rest(as_failure(error, self._http.base_url))
        yield from reader.fail_rest(ConnectionFailed(CUT_SHORT))

    def classify(
        self,
        task: str,
        file: Source,
        *,
        model: str | None = None,
        window: str | float | None = None,
        threshold: float | None = None,
    ) -> Classification:
        """Labels of a song, such as `classify("genre", "song.mp3")`.

        Parameters
        ----------
        threshold : leave out labels with a lower probability
        """
        params = window_params(model, window)
        if threshold is not None:
            params["threshold"] = str(threshold)
        return self._run(self._flows.classify(task, read_file(file), params))

    def regress(
        self,
        task: str,
        file: Source,
        *,
        model: str | None = None,
        window: str | float | None = None,
    ) -> Regression:
        """Values of a song, such as `regress("emotion", "song.mp3")`."""
        return self._run(self._flows.regress(task, read_file(file), window_params(model, window)))

    def analyze(
        self,
        file: Source,
        *,
        models: Sequence[str] = (),
        window: str | float | None = None,
    ) -> Analysis:
        """Every default model's answer to a song, or those of `models`."""
        flow = self._flows.analyze(read_file(file), models, window_params(None, window))
        return self._run(flow)

    def similar(
        self,
        file: Source,
        *,
        window: str | float | None = None,
        limit: int = 10,
        max_per_artist: int = 0,
        min_cosine: float = -1.0,
        exclude_same_artist: bool = False,
    ) -> Similar:
        """The songs of the service's catalogue nearest to a song; never the song itself.

        Parameters
        ----------
        max_per_artist : 0 for any number
        """
        params = window_params(None, window) | similar_params(
            limit, max_per_artist, min_cosine, exclude_same_artist=exclude_same_artist
        )
        return self._run(self._flows.similar(read_file(file), params))

    def similar_to(
        self,
        track_ids: Sequence[str] = (),
        *,
        sha256: Sequence[str] = (),
        limit: int = 10,
        max_per_artist: int = 0,
        min_cosine: float = -1.0,
        exclude_same_artist: bool = False,
    ) -> Similar:
        """The songs nearest to tracks of the catalogue together, or to files by their digests."""
        params = similar_params(
            limit, max_per_artist, min_cosine, exclude_same_artist=exclude_same_artist
        )
        return self._run(self._flows.similar_to(track_ids, sha256, params))

    def listeners(
        self, file: Source, *, window: str | float | None = None, limit: int = 10
    ) -> Listeners:
        """The users of the service's catalogue most likely to like a song, heard or unheard."""
        params = window_params(None, window) | {"limit": str(limit)}
        return self._run(self._flows.listeners(read_file(file), params))

    def listeners_of(
        self, track_ids: Sequence[str] = (), *, sha256: Sequence[str] = (), limit: int = 10
    ) -> Listeners:
        """The users most likely to like tracks of the catalogue, or files by their digests."""
        return self._run(self._flows.listeners_of(track_ids, sha256, {"limit": str(limit)}))

    def put_track(
        self,
        track_id: str,
        file: Source,
        *,
        title: str | None = None,
        artist: str | None = None,
        window: str | float | None = None,
    ) -> TrackPut:
        """Put a song into the service's catalogue, on its disk; one of the same id is replaced."""
        params = put_params(title, artist, window)
        return self._run(self._flows.put_track(track_id, read_file(file), params))

    def delete_track(self, track_id: str) -> bool:
        """Delete a song from the service's catalogue; False if there was none of that id."""
        return self._run(self._flows.delete_track(track_id))

    def models(self) -> dict[str, Any]:
        """Models with their cards, and refused bundles: `GET /models`."""
        return self._run(self._flows.get("/models"))

    def limits(self) -> dict[str, Any]:
        """Limits of the service: `GET /limits`."""
        return self._run(self._flows.get("/limits"))

    def _run(self, flow: Flow[T]) -> T:
        """Run a flow with blocking calls."""
        reply: Reply | None = None
        failure: ConnectionFailed | None = None
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(reply)
            except StopIteration as end:
                value: T = end.value
                return value
            reply = failure = None
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                continue
            try:
                reply = as_reply(self._http.request(**arguments(step)))
            except httpx.TransportError as error:
                failure = as_failure(error, self._http.base_url)
