"""API keys: 401 without a key and no information; with a key, the service works as without keys."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service import api_keys
from service.__main__ import listen
from service.app import create_app
from service.errors import CannotStart
from service.middleware.auth import (
    CHALLENGE,
    METRICS,
    ApiKeyMiddleware,
    check_exposure,
    is_loopback,
    open_paths,
)
from service.settings import Settings
from tests.bundles import write_bundle
from tests.running import DEADLINE_S, Service, exit_status, launch, running
from tests.service.test_api_keys import FIRST, SECOND, settings

ORIGIN = "https://app.example.org"
# In the order of RFC 9110: what a browser asks before it sends a key to another origin.
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guarded") / "models"
    folder.mkdir()
    write_bundle(folder, "levels")
    return folder


@pytest.fixture(scope="module")
def guarded(models_dir: Path) -> Iterator[Service]:
    """A service with two keys, which pages of one other origin may use."""
    given = {
        "models_dir": models_dir,
        "default_model": "levels",
        "decode_workers": 1,
    }
    output = models_dir.parent / "log"
    with running(output, api_keys=f"{FIRST},{SECOND}", cors_origins=ORIGIN, **given) as service:
        yield service


def assert_refused(response: httpx.Response, kind: str) -> None:
    assert response.status_code == 401, response.text
    assert response.headers["www-authenticate"] == CHALLENGE
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["type"] == f"urn:tasteprint:{kind}"
    assert "X-API-Key" in response.json()["remedy"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/embed"),
        ("POST", "/analyze"),
        ("POST", "/classify/genre"),
        ("POST", "/regress/emotion"),
        ("GET", "/models"),
        ("GET", "/models/levels"),
        ("GET", "/models/nothing"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("DELETE", "/models"),
        ("OPTIONS", "/models"),
        ("GET", "/healthz/"),
        ("GET", "/%2Fhealthz"),
        ("GET", "/healthz%2F..%2Fmodels"),
        ("GET", "/models?window=nonsense"),
    ],
)
def test_without_a_key_every_path_is_refused_alike(
    guarded: Service, method: str, path: str
) -> None:
    response = guarded.http.request(method, path)
    assert_refused(response, "no-key")
    assert response.json() == guarded.http.get("/other").json()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {FIRST}"},
        {"Authorization": f"bearer  {SECOND}"},
        {"X-API-Key": FIRST},
        {"X-API-Key": SECOND, "Authorization": "Basic dXNlcjpwYXNz"},  # of a proxy in front
    ],
)
def test_either_key_opens_in_either_header(
    guarded: Service, short_clip: Path, headers: dict[str, str]
) -> None:
    assert guarded.http.get("/models", headers=headers).status_code == 200
    assert guarded.http.get("/nowhere", headers=headers).status_code == 404
    files = {"file": short_clip.read_bytes()}
    response = guarded.http.post("/embed", files=files, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {FIRST[:-1]}"},
        {"Authorization": f"Bearer {FIRST}x"},
        {"Authorization": f"Bearer {FIRST.upper()}"},
        {"Authorization": f"Bearer {FIRST},{SECOND}"},
        {"Authorization": f"Bearer {api_keys.digest(FIRST.encode()).hex()}"},
        {"Authorization": "Bearer"},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {FIRST}"},
    ],
)
def test_a_wrong_key_is_refused(guarded: Service, headers: dict[str, str]) -> None:

    kind = "no-key" if headers == {"Authorization": "Bearer"} else "wrong-key"
    assert_refused(guarded.http.get("/models", headers=headers), kind)


def test_it_is_refused_before_the_body_is_read(guarded: Service) -> None:
    """Asked whether it may go on, a client without a key gets its answer, and sends nothing."""
    where = urlsplit(guarded.url)
    with socket.create_connection((where.hostname, where.port), timeout=DEADLINE_S) as client:
        client.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
            b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 401 ")


def test_health_and_docs_ask_for_no_key(guarded: Service) -> None:
    pages = ("/", "/docs", "/openapi.json", "/web/main.js", "/web/swagger-ui-bundle.js")
    for path in ("/healthz", "/readyz", *pages):
        assert guarded.http.get(path).status_code == 200, path


def test_docs_and_metrics_are_guarded_or_not_as_told() -> None:
    probes = {"/healthz", "/readyz"}
    pages = frozenset({"/", "/docs", "/web/page.css"})
    assert open_paths(Settings(), pages) == probes | pages | {"/openapi.json"}
    assert open_paths(Settings(guard_docs=True), pages) == probes
    unguarded = Settings(guard_docs=True, guard_metrics=False)
    assert open_paths(unguarded, pages) == probes | METRICS


def test_guarded_docs_are_refused_like_the_rest(tmp_path: Path, models_dir: Path) -> None:
    given = {"models_dir": models_dir, "decode_workers": 1, "guard_docs": True}
    with running(tmp_path / "log", api_keys=FIRST, **given) as service:
        for path in ("/", "/docs", "/openapi.json", "/web/main.js"):
            assert_refused(service.http.get(path), "no-key")
            headers = {"X-API-Key": FIRST}
            assert service.http.get(path, headers=headers).status_code == 200


def test_the_log_shows_no_key(guarded: Service) -> None:
    guarded.http.get("/models", headers={"X-API-Key": FIRST})
    guarded.http.get("/models", headers={"Authorization": f"Bearer {FIRST}-wrong"})
    assert "/models" in guarded.log()
    assert FIRST not in guarded.log()
    assert api_keys.digest(FIRST.encode()).hex() not in guarded.log()


def test_openapi_states_the_keys_if_any_are_set(guarded: Service, service: Service) -> None:
    api = guarded.http.get("/openapi.json").json()
    assert api["security"] == [{"bearer": []}, {"key": []}]
    schemes = api["components"]["securitySchemes"]
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
    assert schemes["key"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert "401" in api["paths"]["/embed"]["post"]["responses"]
    assert api["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in service.http.get("/openapi.json").json()


def test_a_preflight_needs_no_key_and_its_request_does(guarded: Service, short_clip: Path) -> None:
    allowed = guarded.http.options("/embed", headers=PREFLIGHT)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    page = {"Origin": ORIGIN}
    for _ in range(2):  # the refusal is made once and sent to each: nothing adds up on it
        refused = guarded.http.get("/models", headers=page)
        assert_refused(refused, "no-key")
        assert refused.headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert refused.headers.get_list("vary") == ["Origin"]
    answer = guarded.http.get("/models", headers=page | {"Authorization": f"Bearer {FIRST}"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


# Response headers that every page may read (Fetch standard, CORS-safelisted response-header name),
# and those that only the browser itself or caches need.
READABLE = {"cache-control", "content-length", "content-type"}
NOT_FOR_PAGES = {"date", "vary", "x-content-type-options"}


@pytest.mark.parametrize("accept", ["application/json", "application/octet-stream"])
def test_every_header_of_an_embedding_is_exposed_to_pages(
    guarded: Service, short_clip: Path, accept: str
) -> None:
    sent = {"Origin": ORIGIN, "X-API-Key": FIRST, "Accept": accept}
    files = {"file": short_clip.read_bytes()}
    response = guarded.http.post("/embed", files=files, headers=sent)
    assert response.status_code == 200, response.text
    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    received = {name for name in response.headers if not name.startswith("access-control-")}
    assert "x-request-id" in received
    assert ("tasteprint-precision" in received) == (accept == "application/octet-stream")
    assert received - READABLE - NOT_FOR_PAGES <= set(exposed)


@pytest.mark.parametrize("origin", ["https://evil.example.org", f"{ORIGIN}.evil.org", "null"])
def test_other_origins_are_not_let_in(guarded: Service, origin: str) -> None:
    preflight = guarded.http.options("/embed", headers=PREFLIGHT | {"Origin": origin})
    assert preflight.status_code == 400
    headers = {"Origin": origin, "X-API-Key": FIRST}
    for answer in (preflight, guarded.http.get("/models", headers=headers)):
        assert "access-control-allow-origin" not in answer.headers


def test_cors_is_off_by_default(service: Service) -> None:
    preflight = service.http.options("/embed", headers=PREFLIGHT)
    answer = service.http.get("/models", headers={"Origin": ORIGIN})
    for response in (preflight, answer):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_every_origin_and_keys_do_not_go_together(models_dir: Path) -> None:
    given = settings(models_dir=models_dir, api_keys=FIRST, cors_origins="*")
    with pytest.raises(CannotStart, match="CORS_ORIGINS") as refused:
        create_app(given)
    assert "name the origins" in refused.value.remedy


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://*.org", "null"])
def test_an_invalid_origin_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ValueError, match="is not a valid origin"):
        settings(cors_origins=f"{ORIGIN}, {origin}")


def test_a_websocket_without_a_key_is_closed() -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it got in")

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)

    middleware = ApiKeyMiddleware(app, api_keys.parse([FIRST]), frozenset())
    asyncio.run(middleware({"type": "websocket", "path": "/x", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def own_address() -> str:
    """An address of this machine that others may reach; none is asked for anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address: str = probe.getsockname()[0]
        return address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_loopback_needs_no_key_whatever_it_is_called(host: str) -> None:
    with listen(host, 0) as listener:
        check_exposure(listener, Settings())
        assert listener.fileno() >= 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "own"])
def test_beyond_loopback_it_does_not_listen_without_keys(host: str) -> None:
    bound = own_address() if host == "own" else host
    with listen(bound, 0) as listener:
        with pytest.raises(CannotStart, match="no API keys are set") as refused:
            check_exposure(listener, Settings())
        assert listener.fileno() == -1
    for way in ("TASTEPRINT_API_KEYS", "127.0.0.1", "TASTEPRINT_ALLOW_ANYONE=true"):
        assert way in refused.value.remedy


@pytest.mark.parametrize("given", [{"api_keys": FIRST}, {"allow_anyone": True}])
def test_beyond_loopback_it_listens_with_keys_or_when_told_so(given: dict[str, object]) -> None:
    with listen("0.0.0.0", 0) as listener:
        check_exposure(listener, settings(**given))
        assert listener.fileno() >= 0


def test_addresses_of_version_4_in_version_6_are_what_they_hold() -> None:
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:192.0.2.1")
    assert not is_loopback("fe80::1%lo")


def test_a_refusal_to_listen_is_reported_at_startup(tmp_path: Path) -> None:
    process = launch(tmp_path / "log", host="0.0.0.0")
    assert exit_status(process, tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert "other machines can reach 0.0.0.0, and no API keys are set" in log
    assert "TASTEPRINT_ALLOW_ANYONE=true" in log
    assert "Traceback" not in log
