"""Check of a built site: every link and file leads somewhere, and nothing is of another host."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Elements that a browser fetches by itself, with the attribute that says what.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Anchors of a page, its links, and what it makes a browser fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "__top"}
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif (name := FETCHED.get(tag)) and given.get(name):
            self.fetched.append(given[name])


def check(site: Path) -> list[str]:
    """What is wrong with a built site, a line each; empty where nothing is."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {what}"
        for path, page in pages.items()
        if path.name != "404.html"  # served for any address, so its links are absolute
        for what in _wrong(path, page, pages)
    ]


def _wrong(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for link in page.fetched:
        if urlsplit(link).netloc:
            yield f"fetches {link} from another host"
    for link in [*page.links, *page.fetched]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        file = target / "index.html" if target.is_dir() else target
        if not file.exists():
            yield f"links to {link}, which is not there"
        elif parts.fragment and unquote(parts.fragment) not in pages.get(file, _ANY).anchors:
            yield f"links to {link}: no such anchor"


class _Anything(Page):
    """A file that is no page of the site, such as a picture: its anchors are its own matter."""

    def __init__(self) -> None:
        super().__init__("")
        self.anchors = _All()


class _All(set[str]):
    def __contains__(self, anchor: object) -> bool:
        return True


_ANY = _Anything()
