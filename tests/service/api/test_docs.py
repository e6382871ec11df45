"""Browser security: only the page's own script runs, and no response is sniffed as another type."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from tests.running import Service

SHORT = {"script-src": "script", "style-src": "style"}


class Blocks(HTMLParser):
    """Inline scripts and styles of a page, and the attributes that would run or style something."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = ""
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.inside in self.texts:
            self.texts[self.inside].append(data)
            self.inside = ""


def policy(header: str) -> dict[str, list[str]]:
    parts = (part.split() for part in header.split(";"))
    return {name: values for name, *values in parts}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_only_what_is_written_in_the_page_runs(service: Service, path: str) -> None:
    page = service.http.get(path)
    allowed = policy(page.headers["content-security-policy"])
    assert "unsafe" not in page.headers["content-security-policy"]
    assert allowed["default-src"] == allowed["frame-ancestors"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    blocks = Blocks()
    blocks.feed(page.text)
    assert not blocks.inline  # no hash would let these through
    for directive, tag in SHORT.items():
        digests = [hashlib.sha256(text.encode()).digest() for text in blocks.texts[tag]]
        assert digests
        expected = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
        assert allowed[directive] == expected


def test_the_page_forbids_framing_and_sends_no_referrer(service: Service) -> None:
    headers = service.http.get("/docs").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


def test_every_answer_says_that_its_type_is_its_type(service: Service) -> None:
    for path in ("/", "/openapi.json", "/models", "/healthz", "/readyz", "/nowhere", "/embed"):
        assert service.http.get(path).headers["x-content-type-options"] == "nosniff", path


def test_no_cache_keeps_the_answer_to_a_post(service: Service) -> None:
    for response in (service.embed(b""), service.http.post("/nowhere"), service.embed(b"words")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
