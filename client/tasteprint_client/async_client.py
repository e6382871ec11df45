"""Client for asyncio: the calls of `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
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
from tasteprint_client.files import AudioFile, Source, read_file
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


class AsyncClient:
    """Client of a Tasteprint service for asyncio: calls and parameters as of `Client`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        space: str | None = None,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._flows = Flows(retry or Retry(), space)
        headers = default_headers(api_key)
        self._http = httpx.AsyncClient(
            base_url=checked_url(url), headers=headers, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def embed(
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
        return await self._run(self._flows.embed(await _read(file), params, lookup=lookup))

    async def vectors(
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
        return await self._run(self._flows.vectors(await _read(file), params, lookup=lookup))

    async def cached(
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
        return await self._run(self._flows.cached(sha256, params))

    async def embed_many(
        self,
        files: Iterable[Source],
        *,
        concurrency: int = 8,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
        lookup: bool = True,
    ) -> AsyncIterator[Result]:
        """`embed` of many files, a result as each is done; failures are values.

        Parameters
        ----------
        concurrency : number of requests at a time; as many files are in memory
        """

        async def embed(file: Source) -> Result:
            try:
                params = embed_params(model, window, features=features, levels=levels)
                flow = self._flows.embed(await _read(file), params, lookup=lookup)
                return Result(file, await self._run(flow))
            except (TasteprintError, OSError) as error:
                return Result(file, error=error)

        sources = iter(files)
        running = {asyncio.create_task(embed(file)) for file in islice(sources, concurrency)}
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running |= {asyncio.create_task(embed(file)) for file in islice(sources, len(done))}
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()

    async def embed_batch(
        self,
        files: Sequence[Source],
        *,
        model: str | None = None,
        window: str | float | None = None,
        features: bool = True,
        levels: bool = False,
    ) -> AsyncIterator[Result]:
        """Many files in one request, a result as each is done; failures are values.

        The service takes them as it has room. Nothing is repeated: files without a line have the
        error of the connection.
        """
        params: Params = embed_params(model, window, features=features, levels=levels)
        if self._flows.space:
            params["space"] = self._flows.space
        parts = as_parts([await _read(file) for file in files])
        reader = BatchReader(files)
        total_s = self._flows.retry.total_s
        try:
            async with self._http.stream(
                "POST", "/embed/batch", params=params, files=parts, timeout=timeout(total_s)
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise error_of(as_reply(response))
                reader.request_id = response.headers.get("x-request-id")
                async for line in response.aiter_lines():
                    if line:
                        yield reader.read(line)
        except httpx.TransportError as error:
            for result in reader.fail_rest(as_failure(error, self._http.base_url)):
                yield result
        for result in reader.fail_rest(ConnectionFailed(CUT_SHORT)):
            yield result

    async def classify(
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
        return await self._run(self._flows.classify(task, await _read(file), params))

    async def regress(
        self,
        task: str,
        file: Source,
        *,
        model: str | None = None,
        window: str | float | None = None,
    ) -> Regression:
        """Values of a song, such as `regress("emotion", "song.mp3")`."""
        return await self._run(
            self._flows.regress(task, await _read(file), window_params(model, window))
        )

    async def analyze(
        self,
        file: Source,
        *,
        models: Sequence[str] = (),
        window: str | float | None = None,
    ) -> Analysis:
        """Every default model's answer to a song, or those of `models`."""
        flow = self._flows.analyze(await _read(file), models, window_params(None, window))
        return await self._run(flow)

    async def similar(
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
        return await self._run(self._flows.similar(await _read(file), params))

    async def similar_to(
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
        return await self._run(self._flows.similar_to(track_ids, sha256, params))

    async def listeners(
        self, file: Source, *, window: str | float | None = None, limit: int = 10
    ) -> Listeners:
        """The users of the service's catalogue most likely to like a song, heard or unheard."""
        params = window_params(None, window) | {"limit": str(limit)}
        return await self._run(self._flows.listeners(await _read(file), params))

    async def listeners_of(
        self, track_ids: Sequence[str] = (), *, sha256: Sequence[str] = (), limit: int = 10
    ) -> Listeners:
        """The users most likely to like tracks of the catalogue, or files by their digests."""
        return await self._run(self._flows.listeners_of(track_ids, sha256, {"limit": str(limit)}))

    async def put_track(
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
        return await self._run(self._flows.put_track(track_id, await _read(file), params))

    async def delete_track(self, track_id: str) -> bool:
        """Delete a song from the service's catalogue; False if there was none of that id."""
        return await self._run(self._flows.delete_track(track_id))

    async def models(self) -> dict[str, Any]:
        """Models with their cards, and refused bundles: `GET /models`."""
        return await self._run(self._flows.get("/models"))

    async def limits(self) -> dict[str, Any]:
        """Limits of the service: `GET /limits`."""
        return await self._run(self._flows.get("/limits"))

    async def _run(self, flow: Flow[T]) -> T:
        """Run a flow, awaiting each step."""
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
                await asyncio.sleep(step.seconds)
                continue
            try:
                reply = as_reply(await self._http.request(**arguments(step)))
            except httpx.TransportError as error:
                failure = as_failure(error, self._http.base_url)


async def _read(source: Source) -> AudioFile:
    """Read a file in a thread: a disk may be slow."""
    return await asyncio.to_thread(read_file, source)
