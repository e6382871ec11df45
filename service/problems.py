"""Problem details: every error as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from models.errors import TasteprintError
from service.client_remedies import remedies_of
from service.errors import (
    RETRY_AFTER_S,
    InvalidParameter,
    ModelRefused,
    Stopping,
    UnknownCoding,
    UnknownParameter,
    status_of,
    type_of,
)
from service.observability.context import CLIENT_DISCONNECTED, current
from service.schemas.headers import RETRY_AFTER
from service.schemas.responses import Problem

MEDIA_TYPE = "application/problem+json"
# Types of errors outside the tree: the framework's errors, and unexpected exceptions.
NO_TYPE, BUG = "about:blank", "urn:tasteprint:bug"

log = logging.getLogger("tasteprint")


def install(app: FastAPI) -> None:
    """Handle every exception, including the framework's, with a problem response."""
    app.add_exception_handler(TasteprintError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


def describe(error: TasteprintError) -> Problem:
    """The problem details of an error; also logs errors that are faults of the service."""
    status = status_of(error)
    if status >= 500 and not isinstance(
        error, Stopping | UnknownCoding
    ):  # not faults of the service
        log.error("%s: %s", type(error).__name__, error)
    return Problem(
        type=type_of(type(error).__name__),
        title=error.title,
        status=status,
        detail=error.detail,
        value=error.value,
        limit=error.limit,
        remedy=error.remedy or None,
    )


def answer(error: TasteprintError) -> Response:
    """The problem response of an error."""
    problem = describe(error)
    # A refused model is refused after any number of seconds.
    wait_s = None if isinstance(error, ModelRefused) else RETRY_AFTER_S.get(problem.status)
    return _send(problem, {RETRY_AFTER: str(wait_s)} if wait_s else {})


def _send(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    current().problem = problem.type
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers, MEDIA_TYPE)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TasteprintError)
    return answer(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(_query_error(error.errors(), _known_parameters(request)))


def _known_parameters(request: Request) -> str:
    schema = request.app.openapi()["paths"].get(_documented_path(request), {})
    operation = schema.get(request.method.lower(), {})
    parameters = operation.get("parameters", [])
    names = (parameter["name"] for parameter in parameters if parameter["in"] == "query")
    return ", ".join(names) or "none"


def _query_error(errors: Sequence[Any], known: str) -> TasteprintError:
    first = errors[0]
    name, given = str(first["loc"][-1])[:64], str(first.get("input"))[:64]
    if first["type"] == "extra_forbidden":
        return UnknownParameter(
            f"there is no query parameter {name!r}",
            value=name,
            limit=known,
            remedy=f"the route takes: {known}",
        )
    reason = str(first["msg"]).removeprefix("Value error, ")
    return InvalidParameter(f"{name}: {reason}", value=given, remedy="see /docs")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _answer_other_method(request, (error.headers or {}).get("Allow", ""))
    title = HTTPStatus(error.status_code).phrase
    remedy = "see /docs for the routes" if error.status_code == HTTPStatus.NOT_FOUND else None
    detail = f"{request.method} {request.url.path}: {error.detail}"
    problem = Problem(
        type=NO_TYPE, title=title, status=error.status_code, detail=detail, remedy=remedy
    )
    return _send(problem, dict(error.headers or {}))


def _answer_other_method(request: Request, allowed: str) -> Response:
    """405, with the methods that the path takes; a route that takes GET takes HEAD too.

    Parameters
    ----------
    allowed : of the first route of the path
    """
    methods = _documented_methods(request) or [allowed]
    if "GET" in methods:
        methods.insert(methods.index("GET") + 1, "HEAD")
    allowed = next((method for method in ("POST", "PUT") if method in methods), methods[0])
    remedy = f"send {allowed} {request.url.path}"
    if allowed == "POST":
        remedy += f": {remedies_of(request).file}; a page to try it is at /"
    status = HTTPStatus.METHOD_NOT_ALLOWED
    problem = Problem(
        type=NO_TYPE,
        title=status.phrase,
        status=status,
        detail=f"{request.url.path} takes {' and '.join(methods)}, not {request.method}",
        value=request.method,
        limit=", ".join(methods),
        remedy=remedy,
    )
    return _send(problem, {"Allow": ", ".join(methods)})


def _documented_methods(request: Request) -> list[str]:
    """Methods of all routes of the path; none of a path that is not in the OpenAPI document."""
    operations = request.app.openapi()["paths"].get(_documented_path(request), {})
    return [method.upper() for method in sorted(operations)]


def _documented_path(request: Request) -> str:
    """The route's path in the OpenAPI document: `/catalogue/{track_id}`, without `:path`."""
    return getattr(request.scope.get("route"), "path_format", "")


async def _on_disconnect(request: Request, error: Exception) -> Response:
    log.debug("client disconnected during its upload")
    return Response(status_code=CLIENT_DISCONNECTED)


async def _on_bug(request: Request, error: Exception) -> Response:
    # Starlette raises the exception again, and uvicorn logs it with its traceback.
    problem = Problem(
        type=BUG,
        title="Internal error",
        status=500,
        detail="an unexpected error occurred in the service",
        remedy="report it with the service's log of this request",
    )
    return _send(problem)
