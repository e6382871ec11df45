"""Both clients behind one call, so that every test holds for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from tasteprint_client import AsyncClient, Client

Call = Callable[[Any], Any]


class Either:
    """Runs calls of one of the clients, a new one each time.

    Parameters
    ----------
    settings : of the client
    """

    def __init__(self, kind: type[Client] | type[AsyncClient], url: str, **settings: Any) -> None:
        self.kind, self.url, self.settings = kind, url, settings

    def __call__(self, call: Call) -> Any:
        """What a call returns; all results of one that iterates, in a list."""
        if self.kind is Client:
            with Client(self.url, **self.settings) as client:
                answer = call(client)
                return list(answer) if isinstance(answer, Iterator) else answer
        return asyncio.run(self._await(call))

    async def _await(self, call: Call) -> Any:
        async with AsyncClient(self.url, **self.settings) as client:
            answer = call(client)
            if isinstance(answer, AsyncIterator):
                return [result async for result in answer]
            return await answer if inspect.isawaitable(answer) else answer
