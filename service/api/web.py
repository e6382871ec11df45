"""The page at `/` and Swagger UI at `/docs`: their files, and their Content-Security-Policies.

Every file is served from here, so that both work offline; addresses are relative, so that both work
below a path of a proxy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PREFIX = "web"
INDEX = "index.html"
SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
# The page runs and styles nothing but its own files. It plays what its user chose: blob.
PAGE_SOURCES = {
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "media-src": "blob:",
}
# Swagger UI's style sheet has its icons in it.
SWAGGER_SOURCES = {"style-src": "'self'", "img-src": "'self' data:"}


class WebFile:
    """A file in memory with its entity tag, so that a browser downloads it once."""

    def __init__(
        self, content: bytes, suffix: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.content, self._media_type = content, MEDIA_TYPES[suffix]
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        self.headers = {"Cache-Control": "no-cache", "ETag": etag, **(headers or {})}

    def response(self, request: Request) -> Response:
        """The file, or 304 where the browser has it."""
        if self.headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=self.headers)
        return Response(self.content, headers=self.headers, media_type=self._media_type)


def read_web_files() -> dict[str, WebFile]:
    """Every file by its path: `/`, `/docs`, and those that the two pages name."""
    page = resources.files("service") / "web" / "page"
    swagger = resources.files("fastapi_offline") / "static"
    files = {f"/{PREFIX}/{file.name}": _read(file) for file in page.iterdir()}
    index = files.pop(f"/{PREFIX}/{INDEX}").content
    return {
        "/": WebFile(index, "html", _page_headers(PAGE_SOURCES)),
        "/docs": _swagger_ui(),
        **files,
        **{f"/{PREFIX}/{name}": _read(swagger / name) for name in SWAGGER_FILES},
    }


def _read(file: Traversable) -> WebFile:
    return WebFile(file.read_bytes(), file.name.rpartition(".")[2])


def _swagger_ui() -> WebFile:
    """FastAPI's own page of Swagger UI, with our files in the place of those of a CDN."""
    script, style = (f"{PREFIX}/{name}" for name in SWAGGER_FILES)
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Tasteprint API",
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=f"{PREFIX}/icon.svg",
    ).body
    content = bytes(page)
    sources = {**SWAGGER_SOURCES, "script-src": f"'self' {_script_hashes(content)}"}
    return WebFile(content, "html", _page_headers(sources))


def _page_headers(sources: Mapping[str, str]) -> dict[str, str]:
    """Headers of a page that loads these sources, sends requests here alone, and is in no frame."""
    policy = {
        "default-src": "'none'",
        **sources,
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }


def _script_hashes(page: bytes) -> str:
    """Hashes of the inline scripts of a page (Content Security Policy Level 3, section 2.3.1)."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def web_router(files: Mapping[str, WebFile]) -> APIRouter:
    """Routes of the pages, and one for all of their files, as metrics count by route."""
    router = APIRouter()

    async def serve(request: Request) -> Response:
        file = files.get(request.scope["path"])
        if file is None:
            raise HTTPException(404)
        return file.response(request)

    for path in ("/", "/docs", f"/{PREFIX}/{{name}}"):
        router.add_api_route(path, serve, include_in_schema=False)
    return router
