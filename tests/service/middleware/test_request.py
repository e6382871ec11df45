"""Request middleware: an ID on every response, also after a bug, and no delayed message."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.middleware.request import request_id_of
from service.observability.context import RequestContext, current
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.bundles import write_bundle
from tests.running import Service
from tests.service.scrapes import read

NEW_ID = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/embed", 405),
        ("POST", "/embed", 400),
    ],
)
def test_every_answer_has_the_id_that_its_request_brought(
    service: Service, method: str, path: str, status: int
) -> None:
    response = service.http.request(method, path, headers={"X-Request-ID": "my.own-id_7"})
    assert response.status_code == status
    assert response.headers.get_list("x-request-id") == ["my.own-id_7"]


def test_a_request_without_an_id_gets_a_new_one(service: Service) -> None:
    ids = [service.http.get("/healthz").headers["x-request-id"] for _ in range(3)]
    assert all(NEW_ID.fullmatch(request_id) for request_id in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 129, b"caf\xe9", b"a\nb", b"a;b"])
def test_an_invalid_id_is_replaced(given: bytes) -> None:
    assert NEW_ID.fullmatch(request_id_of([(b"x-request-id", given)]))


def test_the_longest_valid_id_is_kept() -> None:
    assert request_id_of([(b"host", b"h"), (b"x-request-id", b"x" * 128)]) == "x" * 128


def test_a_bug_is_answered_with_the_id_and_counted_as_failed(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    app = create_app(Settings(models_dir=tmp_path))

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("on cue")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
            return await http.get("/bug", headers={"X-Request-ID": "a-bug"})

    response = asyncio.run(ask())
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "a-bug"
    metrics: Metrics = app.state.metrics
    found = read(metrics.exposition("")[0].decode())
    labels = {"route": "/bug", "outcome": "failed", "reason": "bug"}
    assert found.value("tasteprint_requests_total", **labels) == 1
    assert found.value("tasteprint_requests_running") == 0


def test_a_context_outside_of_a_request_is_discarded() -> None:
    current().problem = "urn:tasteprint:busy"
    assert current().problem == ""


@pytest.mark.parametrize(
    ("status", "problem", "outcome", "reason"),
    [
        (200, "", "answered", "none"),
        (429, "urn:tasteprint:busy", "refused", "busy"),
        (401, "about:blank", "refused", "unauthorized"),
        (503, "urn:tasteprint:decoder-lost", "failed", "decoder-lost"),
        (499, "", "left", "client-left"),
        (0, "", "left", "client-left"),
        (599, "", "failed", "status-599"),
        (501, "urn:tasteprint:unknown-coding", "refused", "unknown-coding"),
    ],
)
def test_an_outcome_has_a_reason(status: int, problem: str, outcome: str, reason: str) -> None:
    context = RequestContext("x", status=status, problem=problem)
    assert (context.outcome, context.reason) == (outcome, reason)
