"""Access: who may use the service, and from where; refused before anything of the body is read."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.api_keys import Digests, holds, parse_file
from service.errors import CannotStart, NoKey, Unauthorized, WrongKey, type_of
from service.observability.context import current
from service.settings import Settings

# A load balancer asks these, and has no key.
ALWAYS_OPEN = frozenset({"/healthz", "/readyz"})
DOCS = frozenset({"/", "/docs", "/openapi.json"})
METRICS = frozenset({"/metrics"})
CHALLENGE = 'Bearer realm="tasteprint"'
EXPOSED = (
    *("Retry-After", "Server-Timing", "WWW-Authenticate", "X-Request-ID"),
    *(f"Tasteprint-{name}" for name in ("Outputs", "Model", "Digest", "Audio", "Cached")),
)
POLICY_VIOLATION = 1008  # of RFC 6455


class Guard:
    """ASGI middleware: a request without one of the keys gets 401, whatever it asks for.

    Every path but those that are open asks for a key, also those that do not exist: nobody learns
    without a key what there is.
    """

    def __init__(self, app: ASGIApp, keys: Digests, open_paths: frozenset[str]) -> None:
        self._app, self._keys, self._open = app, keys, open_paths
        # Made once: refusing costs less than being asked.
        self._no_key = _refusal(NoKey("the request has no API key"))
        self._wrong_key = _refusal(WrongKey("the API key is none of this service's"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        given = given_keys(scope["headers"])
        if any(holds(self._keys, key) for key in given):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            current().problem = type_of((WrongKey if given else NoKey).__name__)
            await (self._wrong_key if given else self._no_key)(scope, receive, send)


def given_keys(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """What a request gives as `Authorization: Bearer` and as `X-API-Key`: one of each at most."""
    given: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            given.setdefault(name, value[7:].strip())
        elif name == b"x-api-key":
            given.setdefault(name, value.strip())
    return list(given.values())


def _refusal(error: Unauthorized) -> Response:
    answer = problems.answer(error)
    answer.headers["WWW-Authenticate"] = CHALLENGE
    return answer


def install(app: FastAPI, settings: Settings) -> frozenset[str] | None:
    """Ask for keys where there are any, and let other origins' pages in where they are named.

    Returns
    -------
    The paths that ask for no key; None where no path does.

    Raises
    ------
    CannotStart
    """
    keys = read_keys(settings)
    if keys:
        app.add_middleware(Guard, keys=keys, open_paths=open_paths(settings))
    if keys and "*" in settings.cors_origins:
        raise CannotStart(
            "TASTEPRINT_CORS_ORIGINS=* lets every page use the keys that its visitor has",
            value="*",
            remedy="name the origins: TASTEPRINT_CORS_ORIGINS=https://app.example.org",
        )
    if settings.cors_origins:
        # Around the guard: a preflight brings no key, and a page may read why it was refused.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-API-Key", "X-Request-ID"),
            expose_headers=EXPOSED,
        )
    return open_paths(settings) if keys else None


def open_paths(settings: Settings) -> frozenset[str]:
    """The paths that ask for no key."""
    docs = frozenset() if settings.guard_docs else DOCS
    metrics = frozenset() if settings.guard_metrics else METRICS
    return ALWAYS_OPEN | docs | metrics


def read_keys(settings: Settings) -> Digests:
    """The keys of `TASTEPRINT_API_KEYS` and of `TASTEPRINT_API_KEYS_FILE`; empty without either.

    Raises
    ------
    CannotStart
        Where the file cannot be read or holds no good keys.
    """
    path = settings.api_keys_file
    if path is None:
        return settings.api_keys
    try:
        return tuple(dict.fromkeys(settings.api_keys + parse_file(path)))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, UnicodeDecodeError):  # its message shows the byte
            why = "it is no text"
        raise CannotStart(
            f"TASTEPRINT_API_KEYS_FILE: {path}: {why}", remedy="put one key on each line"
        ) from None


def check_exposure(listener: socket.socket, settings: Settings) -> None:
    """Hold the address that is really bound, whatever name it had, against who may use it.

    Raises
    ------
    CannotStart
        Where other machines can reach it without a key and nobody has said that they may; the
        listener is closed then.
    """
    host = listener.getsockname()[0]
    if is_loopback(host) or settings.allow_anyone:
        return
    try:
        if read_keys(settings):
            return
        raise CannotStart(
            f"other machines can reach {host}, and no API keys are set",
            value=host,
            limit="loopback",
            remedy="set TASTEPRINT_API_KEYS or TASTEPRINT_API_KEYS_FILE, or "
            "TASTEPRINT_HOST=127.0.0.1, or TASTEPRINT_ALLOW_ANYONE=true to serve whoever comes",
        )
    except CannotStart:
        listener.close()
        raise


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches that address."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
