"""The documentation as a site: `make docs` gathers the pages, builds them and checks every link.

    python -m docs.site --out build/docs

MkDocs builds from one folder, and these pages link to files all over the repository: pages of other
folders become pages of the site, and other files are copied beside them. A link that leads nowhere,
a page that is not in the navigation, or a file of another host fails the build.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs import reference_page, site_links

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "mkdocs.yml"
ICON = ROOT / "service" / "web" / "page" / "icon.svg"
# Pages that are not in docs/, and their names in the site.
ELSEWHERE = {
    "client/README.md": "client.md",
    "examples/recommender/README.md": "recommender.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def pages(root: Path = ROOT) -> dict[Path, str]:
    """File of each page -> its name in the site."""
    docs = root / "docs"
    own = {path: path.relative_to(docs).as_posix() for path in sorted(docs.rglob("*.md"))}
    return own | {root / path: name for path, name in ELSEWHERE.items()}


def gather(folder: Path, root: Path = ROOT) -> None:
    """Write the pages into a folder, with links as the site has them, and what they link to.

    Raises
    ------
    FileNotFoundError
        If a link leads to no file of the repository; it names page and link.
    """
    names = pages(root)
    # The front page of the repository is README.md, that of the site index.md.
    names[root / "README.md"] = "index.md"
    for path, name in names.items():
        if path.name == "README.md" and path.parent == root:
            continue
        text = LINK.sub(rewrite(path, names, folder, root), path.read_text())
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def rewrite(
    path: Path, names: Mapping[Path, str], folder: Path, root: Path
) -> Callable[[re.Match[str]], str]:
    """Replaces a link of a page: to the name of a page, else to a copy of the file."""

    def of(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(path.parent / found[2]))
        if not target.exists():
            raise FileNotFoundError(f"{path.relative_to(root)} links to {found[2]}: no such file")
        name = names.get(target) or copy(target, folder, root)
        link = Path(os.path.relpath(name, Path(names[path]).parent)).as_posix()
        return f"{found[1]}{link}{found[3] or ''})"

    return of


def copy(target: Path, folder: Path, root: Path) -> str:
    """Copy a file that a page links to, or of a folder the names in it; its path in the site."""
    below = target.relative_to(root)
    name = below.relative_to("docs") if below.parts[0] == "docs" else Path("files", below)
    if target.is_dir():
        name = name / "files.txt"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        (folder / name).write_text("".join(f"{path.name}\n" for path in sorted(target.iterdir())))
    else:
        shutil.copyfile(target, folder / name)
    return name.as_posix()


def add_generated(folder: Path) -> None:
    """Add the page of the routes, the OpenAPI document that it is made from, and the icon."""
    api = reference_page.document()
    shutil.copyfile(ICON, folder / ICON.name)
    (folder / "reference.md").write_text(reference_page.page(api))
    (folder / "openapi.json").write_text(json.dumps(api, indent=1) + "\n")


def build(folder: Path, html: Path) -> None:
    """Build the gathered pages by MkDocs, strictly.

    Raises
    ------
    subprocess.CalledProcessError
        If there is a warning.
    """
    config = folder.parent / "mkdocs.yml"
    places = f"docs_dir: {folder}\nsite_dir: {html}\n"
    config.write_text(CONFIG.read_text() + places)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--config-file"]
    # Material's advertisement of its successor.
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    subprocess.run([*command, str(config)], check=True, env=env)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the site, made anew")
    out = parser.parse_args().out.resolve()
    source, html = out / "pages", out / "html"
    shutil.rmtree(out, ignore_errors=True)
    source.mkdir(parents=True)
    gather(source)
    add_generated(source)
    build(source, html)
    if wrong := site_links.check(html):
        sys.exit("\n".join(wrong))
    print(f"{html / 'index.html'}: {len(list(html.rglob('*.html')))} pages")


if __name__ == "__main__":
    main()
