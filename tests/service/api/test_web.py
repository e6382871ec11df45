"""Headers of the pages and their files: what a browser may run, load, frame and keep."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from service.api.web import PREFIX, read_web_files
from tests.running import Service

FILES = {path: file for path, file in read_web_files().items() if path.startswith(f"/{PREFIX}/")}


class Inline(HTMLParser):
    """Texts of the inline scripts and styles of a page, and attributes that would run or style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside = ""
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.attributes += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.inside in self.texts and data.strip():
            self.texts[self.inside].append(data)


def policy(service: Service, path: str) -> dict[str, list[str]]:
    header = service.http.get(path).headers["content-security-policy"]
    parts = (part.split() for part in header.split(";"))
    return {name: values for name, *values in parts}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_only_what_is_served_here(service: Service, path: str) -> None:
    allowed = policy(service, path)
    assert allowed["default-src"] == allowed["frame-ancestors"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    values = [value for values in allowed.values() for value in values]
    assert not [value for value in values if "unsafe" in value or "//" in value]
    assert not re.findall(r"https?://|//cdn|@import", service.http.get(path).text)


def test_the_page_has_no_inline_script_or_style(service: Service) -> None:
    inline = Inline(service.http.get("/").text)
    assert inline.texts == {"script": [], "style": []}
    assert not inline.attributes
    assert policy(service, "/")["script-src"] == policy(service, "/")["style-src"] == ["'self'"]


def test_of_swagger_ui_the_one_inline_script_is_allowed_by_its_hash(service: Service) -> None:
    inline = Inline(service.http.get("/docs").text)
    digests = [hashlib.sha256(text.encode()).digest() for text in inline.texts["script"]]
    hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert len(hashes) == 1
    assert policy(service, "/docs")["script-src"] == ["'self'", *hashes]
    assert not inline.texts["style"]
    assert not inline.attributes


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_forbids_framing_and_sends_no_referrer(service: Service, path: str) -> None:
    headers = service.http.get(path).headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_the_browser_has_is_not_sent_again(service: Service, path: str) -> None:
    first = service.http.get(path)
    assert first.content == FILES[path].content
    again = service.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = service.http.get(path, headers={"If-None-Match": '"another"'})
    assert other.status_code == 200


def test_there_is_no_other_file(service: Service) -> None:
    for path in ("/web/", "/web/index.html", "/web/docs", "/web/..%2fapp.py", "/web/redoc.js"):
        assert service.http.get(path).status_code == 404, path


def test_every_file_that_the_page_names_is_served(service: Service) -> None:
    named = set(re.findall(r'"(web/[\w.-]+)"', service.http.get("/").text))
    for path, file in FILES.items():
        if path.endswith(".js") and "swagger" not in path:
            imports = re.findall(r'from "\./([\w.-]+)"', file.content.decode())
            named |= {f"{PREFIX}/{name}" for name in imports}
    assert {f"/{name}" for name in named} == {path for path in FILES if "swagger" not in path}


def test_every_answer_says_that_its_type_is_its_type(service: Service) -> None:
    paths = ("/", "/openapi.json", "/models", "/healthz", "/readyz", "/nowhere", "/embed", *FILES)
    for path in paths:
        assert service.http.get(path).headers["x-content-type-options"] == "nosniff", path


def test_no_cache_keeps_the_answer_to_a_post(service: Service) -> None:
    for response in (service.embed(b""), service.http.post("/nowhere"), service.embed(b"words")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
