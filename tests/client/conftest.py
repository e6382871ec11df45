"""A fixture that makes either client: the blocking one and that of asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tasteprint_client import AsyncClient, Client

from tests.client.either import Either


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "asyncio"])
def client_of(request: pytest.FixtureRequest) -> Callable[..., Either]:
    """Makes either client of a service by its URL."""

    def make(url: str, **settings: Any) -> Either:
        return Either(request.param, url, **settings)

    return make
