"""What both clients tell httpx."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from tasteprint_client.errors import ConnectionFailed
from tasteprint_client.exchange import Reply, Request

CONNECT_TIMEOUT_S = 10.0
DEFAULT_URL = "http://127.0.0.1:8000"


def checked_url(url: str) -> httpx.URL:
    """The address of a service.

    Raises
    ------
    ValueError
        If the address is none of HTTP.
    """
    checked = httpx.URL(url)
    if checked.scheme not in {"http", "https"} or not checked.host:
        raise ValueError(f"{url!r} is no address of a service, such as {DEFAULT_URL}")
    return checked


def default_headers(api_key: str | None) -> dict[str, str]:
    try:
        own = version("tasteprint-client")
    except PackageNotFoundError:  # run from the folder, not installed
        own = "0"
    headers = {"user-agent": f"tasteprint-client/{own} python-httpx/{httpx.__version__}"}
    return headers | ({"authorization": f"Bearer {api_key}"} if api_key else {})


def arguments(request: Request) -> dict[str, Any]:
    """Keyword arguments of `httpx.Client.request`."""
    return {
        "method": request.method,
        "url": request.path,
        "params": request.params,
        "headers": request.headers,
        "content": request.content,
        "timeout": timeout(request.timeout_s),
    }


def timeout(total_s: float) -> httpx.Timeout:
    return httpx.Timeout(total_s, connect=min(total_s, CONNECT_TIMEOUT_S))


def as_reply(response: httpx.Response) -> Reply:
    headers: Mapping[str, str] = response.headers  # their names in lower case
    return Reply(response.status_code, headers, response.content)


def as_failure(error: httpx.TransportError, url: httpx.URL) -> ConnectionFailed:
    """`ConnectionFailed` that says what to look at."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return ConnectionFailed(f"no service at {url}: {reason}; is it running?")
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailed(f"{url} did not answer in time: {type(error).__name__}")
    return ConnectionFailed(f"the connection to {url} broke: {reason}")
