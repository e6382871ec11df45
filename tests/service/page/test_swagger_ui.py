"""Swagger UI at `/docs` works in a real browser, from our own files and under its policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import MODELS_DIR
from tests.browser import Tab
from tests.running import Service

OPERATION = "#operations-audio-embed_embed_post"
RESPONSE = "document.querySelector('.live-responses-table tbody .response-col_status')"


@pytest.fixture
def reference(tab: Tab, service: Service) -> Tab:
    tab.open(service.url + "/docs")
    tab.wait_for("document.querySelectorAll('.opblock').length > 10")
    return tab


def test_every_route_is_listed(reference: Tab, service: Service) -> None:
    paths: list[str] = reference.evaluate(
        "[...document.querySelectorAll('.opblock-summary-path')].map(node => node.dataset.path)"
    )
    assert set(paths) == set(service.http.get("/openapi.json").json()["paths"])


def test_nothing_comes_from_elsewhere(reference: Tab, service: Service) -> None:
    urls = [url for url in reference.requested() if not url.startswith("data:")]
    assert len(urls) >= 4
    assert all(url.startswith(service.url) for url in urls), urls


def test_a_request_can_be_tried(reference: Tab, short_clip: Path) -> None:
    """An upload by the form of the reference, answered by the service."""
    reference.click(f"{OPERATION} .opblock-summary-control")
    reference.wait_for(f"document.querySelector('{OPERATION} .try-out__btn')")
    reference.click(f"{OPERATION} .try-out__btn")
    reference.wait_for(f"document.querySelector('{OPERATION} input[type=file]')")
    reference.choose_file(f"{OPERATION} input[type=file]", short_clip)
    reference.click(f"{OPERATION} .execute")
    reference.wait_for(RESPONSE)
    assert reference.evaluate(f"{RESPONSE}.innerText").startswith("200")
    body = reference.text(".live-responses-table tbody .response-col_description")
    assert '"embedding": [' in body
    assert (MODELS_DIR / "cf-estimator").name in body
