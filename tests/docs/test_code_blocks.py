"""Code blocks of the docs run as pasted; one that does not says why, in a comment before it.

A block of `sh` or `python` is run here, or by a test that `RUN_BY` names, or a comment says why
not: `<!-- not run: why -->` before the block, `<!-- not run, sh of this page: why -->` for a page.
Lines that start the service are left out where a service of the test answers.
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import httpx
import pytest

from tests.redis_server import free_port
from tests.running import DEADLINE_S, ROOT, running, wait_until
from tests.sounds import golden, write

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
WHOLE_PAGE = re.compile(r"^<!-- not run, (sh|python) of this page: [^\n]{10,} -->$", re.MULTILINE)
OUTSIDE = ("README.md", "CONTRIBUTING.md", "client/README.md", "examples/recommender/README.md")
PAGES = [*OUTSIDE, *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
VECTORS = "tests.docs.test_vectors"
# Page and language → the test, or its fixture, that runs the blocks.
RUN_BY = {
    ("README.md", "sh"): "tests.test_readme.test_requests_get_the_answers_shown",
    ("README.md", "python"): "tests.test_readme.test_python_snippets_run_as_pasted",
    ("docs/api.md", "python"): "tests.test_readme.test_python_snippets_run_as_pasted",
    ("docs/index.md", "python"): "tests.test_readme.test_python_snippets_run_as_pasted",
    ("docs/vectors.md", "sh"): f"{VECTORS}.folder",
    ("docs/vectors.md", "python"): (
        f"{VECTORS}.test_the_code_about_vectors_runs_from_top_to_bottom"
    ),
    ("docs/gorse.md", "python"): (
        f"{VECTORS}.test_the_items_for_gorse_have_unit_vectors_and_ids_without_slashes"
    ),
    ("docs/cli.md", "python"): f"{VECTORS}.test_the_code_about_tables_runs",
}
RUN_HERE = [
    ("docs/index.md", "sh"),
    ("docs/api.md", "sh"),
    ("docs/cli.md", "sh"),
    ("docs/catalogue.md", "sh"),
    ("docs/musicnn.md", "sh"),
    ("client/README.md", "python"),
    ("examples/recommender/README.md", "sh"),
]
STARTS_SERVICE = {"make serve", "tasteprint serve"}
SERVICE_URL, RECOMMENDER = "http://127.0.0.1:8000", "localhost:8001"
REFUSED = "\n\nis refused"  # what follows a block whose request the service refuses
CURL_REFUSED = 22  # exit status of curl --fail, where the answer is an error
N_ARTISTS = 50


@dataclass(frozen=True)
class Block:
    """A code block of a page; `is_left_out` where the page says why it is not run."""

    language: str
    code: str
    is_left_out: bool
    is_refused: bool


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    left_out = set(WHOLE_PAGE.findall(text))
    return [
        Block(
            found["language"],
            found["code"],
            bool(found["why"]) or found["language"] in left_out,
            text[found.end() :].startswith(REFUSED),
        )
        for found in FENCE.finditer(text)
    ]


def script(path: Path, command: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with everything that the blocks name."""
    folder = tmp_path_factory.mktemp("pasted")
    for name in (".venv/bin/tasteprint", "bin/tasteprint"):
        script(folder / name, f"{sys.executable} -m service.cli.main")
    script(folder / "bin/curl", f"{shutil.which('curl')} --fail-with-body --silent --show-error")
    for name in ("examples", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "models").mkdir()
    for bundle in (ROOT / "models").glob("*/card.json"):
        (folder / "models" / bundle.parent.name).symlink_to(bundle.parent)
    own = folder / "models" / "cf-estimator"  # whose catalogue a block makes anew
    own.unlink()
    shutil.copytree(ROOT / "models" / "cf-estimator", own)
    shutil.copy(own / "catalogue.parquet", folder / "grown.parquet")
    names = ("song.mp3", "upload.mp3", "songs/album/song.mp3", "songs/b.mp3", "recordings/c.mp3")
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, golden(4.0, 44_100, 1, seed=seed))
    (folder / "tracks.csv").write_text("track_id,title,artist\nalbum/song,A,B\nb,C,D\n")
    with (own / "factors" / "items.csv").open() as file:
        items = [row["item_id"] for row in csv.DictReader(file)][:N_ARTISTS]
    lines = [f"artist:{item},Artist {item}" for item in items]
    (folder / "artists.csv").write_text("\n".join(["track_id,artist", *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def urls(folder: Path) -> Iterator[dict[str, str]]:
    """Address in the docs → where a service, and a recommender beside it, listen."""
    settings = {"precision": "float32", "infer_timeout_s": DEADLINE_S, "deadline_s": DEADLINE_S}
    own = {"catalogue": folder / "grown.parquet", "catalogue_writable": True}
    with ExitStack() as stack:
        service = stack.enter_context(running(folder / "log", **settings, **own))
        port = free_port()
        environment = environment_of(folder) | {
            "RECOMMENDER_PORT": str(port),
            "RECOMMENDER_SERVICE_URL": service.url,
        }
        command = [sys.executable, "-m", "examples.recommender"]
        output = stack.enter_context((folder / "recommender.log").open("wb"))
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
        stack.callback(process.wait, DEADLINE_S)
        stack.callback(process.terminate)
        recommender = f"127.0.0.1:{port}"
        wait_until(lambda: is_up(f"http://{recommender}/openapi.json"), "the recommender listens")
        yield {SERVICE_URL: service.url, RECOMMENDER: recommender}


def is_up(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def environment_of(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}/bin:/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT}/client"}


def as_run(block: Block, urls: dict[str, str]) -> str:
    """The code with the addresses of the test, without the lines that start a service."""
    lines = block.code.splitlines()
    code = "\n".join(line for line in lines if line.strip() not in STARTS_SERVICE)
    for shown, url in urls.items():
        code = code.replace(shown, url)
    return code.replace("Client()", f'Client("{urls[SERVICE_URL]}")')


@pytest.mark.parametrize(("page", "language"), RUN_HERE)
def test_blocks_run_as_pasted(folder: Path, urls: dict[str, str], page: str, language: str) -> None:
    """In the order of the page, in one working directory."""
    run = [block for block in blocks(page) if block.language == language and not block.is_left_out]
    assert run
    interpreter = {"sh": ["sh", "-e", "-c"], "python": [sys.executable, "-c"]}[language]
    for block in run:
        done = subprocess.run(
            [*interpreter, as_run(block, urls)],
            cwd=folder,
            env=environment_of(folder),
            capture_output=True,
            text=True,
            timeout=4 * DEADLINE_S,
        )
        expected = CURL_REFUSED if block.is_refused else 0
        assert done.returncode == expected, f"{block.code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_a_block_is_run_or_the_page_says_why_not(page: str) -> None:
    for block in blocks(page):
        is_run = (page, block.language) in RUN_HERE or (page, block.language) in RUN_BY
        assert is_run or block.is_left_out, block.code


def test_the_tests_that_are_said_to_run_blocks_exist() -> None:
    for (page, language), name in RUN_BY.items():
        module, _, test = name.rpartition(".")
        assert hasattr(import_module(module), test)
        assert [block for block in blocks(page) if block.language == language]
