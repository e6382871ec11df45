"""Outermost ASGI middleware: request ID and context, size limits, security headers, shutdown."""

from __future__ import annotations

import asyncio
import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import TasteprintError
from service import problems
from service.errors import QueryTooLong, Stopping, UnknownCoding
from service.observability.context import CURRENT, RequestContext, current
from service.observability.request_recorder import RequestRecorder
from service.schemas import headers

# FastAPI parses each parameter: 64 KB of parameters would block the event loop for 0.1 s.
MAX_QUERY_BYTES = 4 << 10
REQUEST_ID = headers.REQUEST_ID.lower().encode()
VALID_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
NO_SNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")


class RequestMiddleware:
    """The outermost ASGI middleware: opens the request context, and records the ended request.

    Between these it refuses requests beyond its limits, adds the security headers and the request
    ID to every response, and answers 503 where a shutdown cancels the request (uvicorn would answer
    500 as plain text). It buffers no message.

    Parameters
    ----------
    private : forbid caches to store any response; otherwise only responses to POST
    """

    def __init__(self, app: ASGIApp, recorder: RequestRecorder, *, private: bool) -> None:
        self._app, self._recorder, self._private = app, recorder, private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(request_id_of(scope["headers"]))
        token = CURRENT.set(context)
        self._recorder.running.add(context)
        try:
            await self._respond(scope, receive, self._sender(send, scope, context))
        except BaseException:
            # The context stays set: the caller logs the traceback with the request ID.
            self._recorder.record(scope, context)
            raise
        self._recorder.record(scope, context)
        CURRENT.reset(token)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        if error := check_limits(scope):
            await problems.answer(error)(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # Every route that takes GET; the server leaves the body out (RFC 9110, section 9.3.2).
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:  # cancelled at the deadline of a shutdown
            if current().status:
                raise
            error = Stopping("the service shut down before the request completed")
            await problems.answer(error)(scope, receive, send)

    def _sender(self, send: Send, scope: Scope, context: RequestContext) -> Send:
        """`send` that adds headers, and records status and bytes in the context."""
        added = [NO_SNIFF, (REQUEST_ID, context.request_id.encode())]
        if self._private or scope["method"] == "POST":
            added.insert(1, NO_STORE)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                # A copy: the same response may be sent to several requests.
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            else:
                context.sent_bytes += len(message.get("body", b""))
            await send(message)

        return send_with_headers


def request_id_of(request_headers: list[tuple[bytes, bytes]]) -> str:
    """The client's request ID if it is safe in logs and headers, else a new one."""
    for name, value in request_headers:
        if name == REQUEST_ID and VALID_ID.fullmatch(value):
            return value.decode("ascii")
    return secrets.token_hex(16)


def check_limits(scope: Scope) -> TasteprintError | None:
    """The error of a request whose query is too long, or whose transfer coding is not supported."""
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return QueryTooLong(
            f"the query is longer than {MAX_QUERY_BYTES} bytes",
            value=len(scope["query_string"]),
            limit=MAX_QUERY_BYTES,
        )
    for name, value in scope["headers"]:
        # httptools accepts codings that end in `chunked`, but decodes only `chunked`.
        if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            coding = value[:64].decode("latin-1")
            return UnknownCoding(
                f"the transfer coding {coding} is not supported", value=coding, limit="chunked"
            )
    return None
