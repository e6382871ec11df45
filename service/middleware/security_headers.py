"""Headers that every answer has, whoever made it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")


class SecureHeaders:
    """ASGI middleware: no answer is taken for another type; what is private is kept by no cache.

    Parameters
    ----------
    private : whether all answers are somebody's own, and not only those to a POST
    """

    def __init__(self, app: ASGIApp, *, private: bool) -> None:
        self._app, self._private = app, private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        private = self._private or scope["method"] == "POST"
        added = (NO_SNIFF, NO_STORE) if private else (NO_SNIFF,)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A new list: the answer may be one that is sent again.
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
