"""Documentation page at `/docs`, which renders /openapi.json, and its Content-Security-Policy."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi.responses import HTMLResponse

DOCS = Path(__file__).parents[1] / "web" / "docs.html"


def docs_page() -> HTMLResponse:
    """The page with its headers."""
    text = DOCS.read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": content_security_policy(text),
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(text, headers=headers)


def content_security_policy(page: str) -> str:
    """Policy that allows the page's own scripts and styles, by hash, and same-origin requests."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashes(page, 'script')}",
            f"style-src {_hashes(page, 'style')}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hashes(page: str, tag: str) -> str:
    """Hashes of the inline blocks (Content Security Policy Level 3, section 2.3.1)."""
    blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (hashlib.sha256(block.encode()).digest() for block in blocks)
    return (
        " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    )
