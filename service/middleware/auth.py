"""API key authentication, CORS, and the start-up check of the bind address.

Requests without a key are refused before their bodies are read.
"""

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
from service.client_remedies import AGENTS, ANY, ClientRemedies, of_headers
from service.errors import CannotStart, NoKey, Unauthorized, WrongKey, type_of
from service.observability.context import current
from service.schemas import headers
from service.settings import Settings

# Load balancers call these paths without a key.
ALWAYS_OPEN = frozenset({"/healthz", "/readyz"})
OPENAPI = frozenset({"/openapi.json"})
METRICS = frozenset({"/metrics"})
CHALLENGE = 'Bearer realm="tasteprint"'
POLICY_VIOLATION = 1008  # of RFC 6455


class ApiKeyMiddleware:
    """ASGI middleware that answers 401 to requests without one of the API keys.

    Every path except the open ones requires a key, also paths that do not exist: without a key a
    client cannot find out which paths exist.
    """

    def __init__(self, app: ASGIApp, keys: Digests, open_paths: frozenset[str]) -> None:
        self._app, self._keys, self._open = app, keys, open_paths
        # Built once: a refusal must cost the service less than the client.
        clients = [ANY, *AGENTS.values()]
        self._no_key = {client: _refusal(no_key(client)) for client in clients}
        self._wrong_key = _refusal(WrongKey("the API key is not one of this service's keys"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        keys = keys_of(scope["headers"])
        if any(holds(self._keys, key) for key in keys):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            current().problem = type_of((WrongKey if keys else NoKey).__name__)
            client = of_headers(scope["headers"])
            await (self._wrong_key if keys else self._no_key[client])(scope, receive, send)


def keys_of(request_headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """The keys of a request: the first `Authorization: Bearer` and the first `X-API-Key`."""
    keys: dict[bytes, bytes] = {}
    for name, value in request_headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            keys.setdefault(name, value[7:].strip())
        elif name == b"x-api-key":
            keys.setdefault(name, value.strip())
    return list(keys.values())


def no_key(client: ClientRemedies) -> NoKey:
    remedy = f"{NoKey.remedy}: {client.key}"
    return NoKey("the request has no API key", remedy=remedy)


def _refusal(error: Unauthorized) -> Response:
    response = problems.answer(error)
    response.headers[headers.WWW_AUTHENTICATE] = CHALLENGE
    return response


def install(app: FastAPI, settings: Settings, pages: frozenset[str]) -> frozenset[str] | None:
    """Add the middleware for API keys and for CORS, where the settings enable them.

    Parameters
    ----------
    pages : paths of the pages and their files

    Returns
    -------
    The paths that require no key; None where no path requires one.

    Raises
    ------
    CannotStart
    """
    keys = read_keys(settings)
    if keys:
        app.add_middleware(ApiKeyMiddleware, keys=keys, open_paths=open_paths(settings, pages))
    if keys and "*" in settings.cors_origins:
        raise CannotStart(
            "TASTEPRINT_CORS_ORIGINS=* would let every page use the API keys of its visitors",
            value="*",
            remedy="name the origins: TASTEPRINT_CORS_ORIGINS=https://app.example.org",
        )
    if settings.cors_origins:
        # Outside the key check: a preflight has no key, and pages may read a 401.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "X-API-Key", headers.REQUEST_ID),
            expose_headers=headers.EXPOSED,
        )
    return open_paths(settings, pages) if keys else None


def open_paths(settings: Settings, pages: frozenset[str]) -> frozenset[str]:
    """The paths that require no key."""
    docs = frozenset() if settings.guard_docs else pages | OPENAPI
    metrics = frozenset() if settings.guard_metrics else METRICS
    return ALWAYS_OPEN | docs | metrics


def read_keys(settings: Settings) -> Digests:
    """Digests of the keys of `TASTEPRINT_API_KEYS` and `TASTEPRINT_API_KEYS_FILE`.

    Raises
    ------
    CannotStart
        If the file cannot be read or has no valid keys.
    """
    path = settings.api_keys_file
    if path is None:
        return settings.api_keys
    try:
        return tuple(dict.fromkeys(settings.api_keys + parse_file(path)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, UnicodeDecodeError):  # its message shows a byte of the file
            reason = "it is not a text file"
        raise CannotStart(
            f"TASTEPRINT_API_KEYS_FILE: {path}: {reason}", remedy="put one key on each line"
        ) from None


def check_exposure(server_socket: socket.socket, settings: Settings) -> None:
    """Check that the bound address is not reachable by other machines without keys by accident.

    Raises
    ------
    CannotStart
        If other machines can reach the address, no API keys are set, and
        `TASTEPRINT_ALLOW_ANYONE` is not set; the socket is closed.
    """
    host = server_socket.getsockname()[0]
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
            "TASTEPRINT_HOST=127.0.0.1, or TASTEPRINT_ALLOW_ANYONE=true to serve without keys",
        )
    except CannotStart:
        server_socket.close()
        raise


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
