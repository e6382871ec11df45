"""The site is built strictly, with a reference of the routes; a dead link fails it."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from docs import reference_page, site, site_links
from tests.running import ROOT

CONFIG = (
    "site_name: x\ntheme: {name: material, font: false}\nplugins: []\nvalidation: {anchors: warn}\n"
)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    (out / "pages").mkdir()
    site.gather(out / "pages")
    site.add_generated(out / "pages")
    site.build(out / "pages", out / "html")
    return out / "html"


def test_the_site_is_built_and_every_link_leads_somewhere(html: Path) -> None:
    assert site_links.check(html) == []
    for name in site.pages().values():
        assert (html / name).with_suffix(".html").exists(), name
    # What pages link to beside pages.
    assert (html / "files/models/cf-estimator/card.json").read_bytes() == (
        ROOT / "models/cf-estimator/card.json"
    ).read_bytes()


def test_the_reference_has_every_route_with_its_parameters_and_problems(html: Path) -> None:
    api = reference_page.document()
    page = reference_page.page(api)
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            section = page.partition(f"## {method.upper()} {path}\n")[2].partition("\n## ")[0]
            for parameter in operation.get("parameters", []):
                assert f"| `{parameter['name']}` | {parameter['in']} |" in section
            for status in operation["responses"]:
                assert f"\n| {status} |" in section
    embed = page.partition("## POST /embed\n")[2].partition("\n## ")[0]
    assert "[Embedding](#embedding)" in embed
    assert "`not-audio`" in embed
    text = (html / "reference.html").read_text()
    assert 'id="embedding"' in text


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two pages, the first of which a test writes."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "pages").mkdir()
    (tmp_path / "docs" / "second.md").write_text("# Two\n\n[back](index.md#one)\n")
    (tmp_path / "mkdocs.yml").write_text(CONFIG)
    monkeypatch.setattr(site, "ELSEWHERE", {})
    monkeypatch.setattr(site, "CONFIG", tmp_path / "mkdocs.yml")
    return tmp_path


@pytest.mark.parametrize("link", ["[x](gone.md)", "![x](gone.svg)", "[x](../gone.csv)"])
def test_a_link_to_no_file_is_refused_by_page_and_name(root: Path, link: str) -> None:
    (root / "docs" / "index.md").write_text(f"# One\n\n{link}\n")
    with pytest.raises(FileNotFoundError, match=r"docs/index.md links to .*gone.*: no such file"):
        site.gather(root / "pages", root)


@pytest.mark.parametrize(
    ("link", "succeeds"), [("#gone", False), ("second.md#gone", False), ("second.md#two", True)]
)
def test_a_link_to_no_anchor_fails_the_build(root: Path, link: str, succeeds: bool) -> None:
    (root / "docs" / "index.md").write_text(f"# One\n\n[x]({link})\n")
    site.gather(root / "pages", root)
    with nullcontext() if succeeds else pytest.raises(subprocess.CalledProcessError):
        site.build(root / "pages", root / "html")


def test_links_out_of_docs_lead_to_pages_of_the_site_or_to_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"client/README.md": "client.md", "CONTRIBUTING.md": "contributing.md"}
    monkeypatch.setattr(site, "ELSEWHERE", elsewhere)
    root, pages = tmp_path / "root", tmp_path / "pages"
    for name in ("docs/part", "client", "data"):
        (root / name).mkdir(parents=True)
    pages.mkdir()
    (root / "CONTRIBUTING.md").write_text("See [one](docs/one.md).")
    (root / "client/README.md").write_text("Up: [one](../docs/one.md#top), [front](../README.md)")
    (root / "data/x.json").write_text("{}")
    (root / "README.md").write_text("front")
    (root / "docs/one.md").write_text("[c](../client/README.md) [x](../data/x.json) [d](../data)")
    (root / "docs/part/two.md").write_text("[one](../one.md) [out](https://example.org/y.md)")
    site.gather(pages, root)
    assert (pages / "one.md").read_text() == (
        "[c](client.md) [x](files/data/x.json) [d](files/data/files.txt)"
    )
    assert (pages / "client.md").read_text() == "Up: [one](one.md#top), [front](index.md)"
    assert (pages / "part/two.md").read_text() == "[one](../one.md) [out](https://example.org/y.md)"
    assert (pages / "contributing.md").read_text() == "See [one](one.md)."
    assert (pages / "files/data/x.json").read_text() == "{}"
    assert (pages / "files/data/files.txt").read_text() == "x.json\n"


def test_what_a_built_page_lacks_or_fetches_from_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a id="here"></a><a href="b.html#there"></a><a href="b.html#gone"></a>'
        '<a href="c.html"></a><a href="https://example.org/"></a><img src="picture.svg">'
        '<script src="https://cdn.example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="a.html#here"></a>')
    assert site_links.check(tmp_path) == [
        "a.html: fetches https://cdn.example.org/x.js from another host",
        "a.html: links to b.html#gone: no such anchor",
        "a.html: links to c.html, which is not there",
        "a.html: links to picture.svg, which is not there",
    ]
