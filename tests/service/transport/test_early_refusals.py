"""A refusal before the end of the body reaches clients that close the connection afterwards."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.bundles import small_models
from tests.nginx import nginx_running
from tests.running import DEADLINE_S, Service, running, wait_until
from tests.service.test_server import frozen
from tests.sounds import golden, write

ROUNDS = 25
KEY = "a-key-of-the-tests-0123456789"
BODY = bytes(8 << 20)
AUDIO = {"Content-Type": "audio/wav", "X-API-Key": KEY}
# Headers of a request by the status of its refusal; 429 is refused while the service is busy.
REFUSED: dict[int, dict[str, str]] = {
    401: {"Content-Type": "audio/wav"},
    413: AUDIO,
    415: {"Content-Type": "text/plain", "X-API-Key": KEY},
    429: AUDIO,
}
Client = Callable[[str, Mapping[str, str]], tuple[int, bytes]]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an API key that takes one window at a time, and files of 1 MiB."""
    folder = tmp_path_factory.mktemp("refusing")
    limits = {"api_keys": KEY, "max_upload_bytes": 1 << 20, "max_in_flight": 1}
    stays_busy = {"decode_timeout_s": DEADLINE_S, "deadline_s": DEADLINE_S}
    settings = {**small_models(folder), **limits, **stays_busy}
    with running(folder / "log", **settings) as service:
        yield service


@pytest.fixture(scope="module")
def proxy(refusing: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx_running(tmp_path_factory.mktemp("nginx"), refusing.url) as url:
        yield url


def post_by_urllib(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Sends `Connection: close`, and the whole body before it reads the answer."""
    request = urllib.request.Request(f"{url}/embed", BODY, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post_by_http_1_0(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=DEADLINE_S)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    connection.request("POST", "/embed", BODY, dict(headers))
    with connection.getresponse() as response:
        return response.status, response.read()


def post_in_chunks(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """In chunks, so that only the bytes show the length."""
    pieces = (BODY[start : start + 65_536] for start in range(0, len(BODY), 65_536))
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE_S)
    closing = {**headers, "Connection": "close"}
    connection.request("POST", "/embed", pieces, closing, encode_chunked=True)
    with connection.getresponse() as response:
        return response.status, response.read()


@contextmanager
def busy(service: Service, folder: Path, seed: int) -> Iterator[None]:
    """The one window that the service takes is in work meanwhile; a new seed is not cached."""
    clip = write(folder / "clip.wav", golden(2.0, 8_000, 1, seed), 8_000).read_bytes()

    def post() -> httpx.Response:
        url = f"{service.url}/embed"
        return httpx.post(url, content=clip, headers=AUDIO, timeout=DEADLINE_S)

    with ThreadPoolExecutor(1) as clients:
        with frozen(service):
            answer = clients.submit(post)
            wait_until(lambda: post_by_urllib(service.url, AUDIO)[0] == 429, "the service is busy")
            yield
        assert answer.result().status_code == 200


def assert_refused(post: Client, url: str, status: int) -> None:
    for _ in range(ROUNDS):
        answered, body = post(url, REFUSED[status])
        assert (answered, json.loads(body)["status"]) == (status, status)


@pytest.mark.parametrize("post", [post_by_urllib, post_by_http_1_0, post_in_chunks])
@pytest.mark.parametrize("status", [401, 413, 415])
def test_a_refusal_arrives(refusing: Service, post: Client, status: int) -> None:
    assert_refused(post, refusing.url, status)


@pytest.mark.parametrize("status", [401, 413, 415])
def test_a_refusal_arrives_through_nginx(proxy: str, status: int) -> None:
    assert_refused(post_by_urllib, proxy, status)


def test_a_busy_service_says_so(refusing: Service, tmp_path: Path) -> None:
    with busy(refusing, tmp_path, seed=1):
        for post in (post_by_urllib, post_by_http_1_0, post_in_chunks):
            assert_refused(post, refusing.url, 429)


def test_a_busy_service_says_so_through_nginx(
    refusing: Service, proxy: str, tmp_path: Path
) -> None:
    with busy(refusing, tmp_path, seed=2):
        assert_refused(post_by_urllib, proxy, 429)
