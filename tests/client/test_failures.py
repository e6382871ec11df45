"""Clients of a full service, of one that dies, and of one behind nginx."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from tasteprint_client import (
    AudioRefused,
    BadAnswer,
    Client,
    ConnectionFailed,
    Result,
    Retry,
)

from tests.bundles import small_models
from tests.client.either import Either
from tests.nginx import nginx_running
from tests.redis_server import free_port
from tests.running import DEADLINE_S, running
from tests.sounds import golden, write

Make = Callable[..., Either]
PATIENT = Retry(total_s=DEADLINE_S, first_s=0.05, max_s=0.5)
N_SONGS = 24


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Songs of a second each, all different."""
    folder = tmp_path_factory.mktemp("songs")
    sound = golden(1 + N_SONGS / 100, 16_000, 1)
    return [
        write(folder / f"{index:02}.wav", sound[160 * index :][:16_000], 16_000)
        for index in range(N_SONGS)
    ]


def names(results: list[Result]) -> list[str]:
    """Names of the files with an embedding, in order; fails with the first error."""
    for result in results:
        assert result.embedding is not None, result.error
    return sorted(Path(str(result.file)).name for result in results)


def test_every_song_is_embedded_by_a_service_that_is_full(
    client_of: Make, tmp_path: Path, songs: list[Path]
) -> None:
    with running(tmp_path / "log", max_in_flight=1, **small_models(tmp_path)) as full:
        results = client_of(full.url, retry=PATIENT)(
            lambda client: client.embed_many(songs, concurrency=12)
        )
        assert names(results) == [song.name for song in songs]
        metrics = full.http.get("/metrics").text
        assert 'reason="busy"' in metrics  # else nothing was shown


@pytest.mark.parametrize("is_proxied", [False, True], ids=["direct", "nginx"])
def test_every_song_is_embedded_though_the_service_dies_halfway(
    client_of: Make, tmp_path: Path, songs: list[Path], is_proxied: bool
) -> None:
    settings: dict[str, Any] = {"port": free_port(), **small_models(tmp_path)}
    url = f"http://127.0.0.1:{settings['port']}"
    half_done, is_dead = threading.Event(), threading.Event()

    def paths() -> Iterator[Path]:
        for index, song in enumerate(songs):
            if index == N_SONGS // 2:
                half_done.set()
                assert is_dead.wait(DEADLINE_S)
            yield song

    def embed(url: str) -> list[Result]:
        ask = client_of(url, retry=PATIENT)
        results: list[Result] = ask(lambda client: client.embed_many(paths(), concurrency=4))
        return results

    front = nginx_running(tmp_path, url) if is_proxied else nullcontext(url)
    with front as asked, ThreadPoolExecutor(1) as pool:
        with running(tmp_path / "first", **settings) as first:
            results = pool.submit(embed, asked)
            assert half_done.wait(DEADLINE_S)
            first.process.kill()
            first.process.wait(DEADLINE_S)
        is_dead.set()
        with running(tmp_path / "second", **settings):
            assert names(results.result(DEADLINE_S)) == [song.name for song in songs]


def test_a_dead_service_is_named(client_of: Make, tmp_path: Path, songs: list[Path]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    hasty = Retry(total_s=0.3, first_s=0.05)
    with pytest.raises(ConnectionFailed, match=f"no service at {url}.*attempts"):
        client_of(url, retry=hasty)(lambda client: client.embed(songs[0]))
    with nginx_running(tmp_path, url) as proxy, pytest.raises(BadAnswer, match="502"):
        client_of(proxy, retry=hasty)(lambda client: client.embed(songs[0]))


def test_a_missing_file_is_a_result_too(client_of: Make, tmp_path: Path, songs: list[Path]) -> None:
    files = [songs[0], tmp_path / "gone.mp3", b"no audio"]
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        results = client_of(service.url)(lambda client: client.embed_many(files))
    errors = {id(result.file): result.error for result in results}
    assert errors[id(files[0])] is None
    assert isinstance(errors[id(files[1])], FileNotFoundError)
    assert isinstance(errors[id(files[2])], AudioRefused)


def test_files_without_a_line_of_a_batch_have_the_error_of_the_connection(
    tmp_path: Path, songs: list[Path]
) -> None:
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        lines = service.http.post(
            "/embed/batch", files=[("file", (song.name, song.read_bytes())) for song in songs[:2]]
        ).text.splitlines()

    class Cut(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield f"{lines[0]}\n".encode()
            raise httpx.ReadError("connection reset")

    cut = httpx.MockTransport(lambda request: httpx.Response(200, stream=Cut()))
    with Client("http://cut", transport=cut) as client:
        first, second = client.embed_batch(songs[:2])
    assert first.embedding is not None
    assert isinstance(second.error, ConnectionFailed)
    assert {first.file, second.file} == set(songs[:2])


def test_results_that_nobody_takes_end_the_work(tmp_path: Path, songs: list[Path]) -> None:
    with (
        running(tmp_path / "log", **small_models(tmp_path)) as service,
        Client(service.url) as client,
    ):
        taken = []
        for result in client.embed_many(songs, concurrency=2):
            taken.append(result)
            if len(taken) == 3:
                break
    assert len(taken) == 3


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost", "ftp://host", ""])
def test_an_address_without_http_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        Client(url)
