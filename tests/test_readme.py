"""README and docs are true: commands, answers, settings, links and figures match the code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from benchmarks import patch_choice
from benchmarks.draw import DOCS as BENCHMARKS_PAGE
from benchmarks.draw import docs as benchmarks_page
from benchmarks.draw import readme
from docs import models_page, musicnn_page, settings_table
from docs.figures import new_song
from models.bundle import read
from service.settings import Settings
from tests.running import ROOT, Service, running
from training.cli.main import app
from training.leaderboard import page as leaderboard_page
from training.leaderboard.figures import Figures
from training.leaderboard.picture import draw as draw_leaderboard

README = (ROOT / "README.md").read_text()
FRONT = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
OUTSIDE = [*FRONT, "client/README.md", "examples/recommender/README.md"]
PAGES = {
    path: path.read_text()
    for path in [*(ROOT / name for name in OUTSIDE), *(ROOT / "docs").glob("*.md")]
}
URL = "http://127.0.0.1:8000"
MAX_LINES = 200
# Float32 answers differ in the last digits between CPUs; MusiCNN's power passes float16, where a
# value at a border is rounded to either side.
TOLERANCE, HEAD_TOLERANCE = 1e-6, 2e-5


def page(name: str) -> str:
    return PAGES[ROOT / "docs" / name]


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[str]:
    return [line for block in code_blocks(text, "sh") for line in block.splitlines()]


def examples(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Each curl command of an example file, with the JSON answer shown after it."""
    pattern = r"^```sh\n(curl -F file=@examples[^\n]*)\n```\n\n```json\n(.*?)^```"
    found = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return [(command, json.loads(lengthen(answer))) for command, answer in found]


def lengthen(shown: str) -> str:
    """The JSON of a shortened answer: `[1, 2, … 38 more]` becomes `[1, 2, {"more": 38}]`."""
    return re.sub(r"… (\d+) more", r'{"more": \1}', shown)


def parts(shown: list[Any]) -> tuple[list[Any], int]:
    """The numbers that a list shows, and the length of the whole list."""
    *start, last = shown
    return (start, len(start) + last["more"]) if isinstance(last, dict) else (shown, len(shown))


def assert_shows(shown: Any, answer: Any, tolerance: float) -> None:
    """`shown` is `answer`, its numbers within the tolerance, its lists perhaps shortened."""
    if isinstance(shown, dict):
        assert isinstance(answer, dict)
        assert list(shown) == list(answer)
        for name, value in shown.items():
            assert_shows(value, answer[name], tolerance)
    elif isinstance(shown, list):
        more = 0
        if shown and isinstance(shown[-1], dict) and list(shown[-1]) == ["more"]:
            *shown, last = shown
            more = last["more"]
        assert len(answer) == len(shown) + more
        for value, whole in zip(shown, answer, strict=False):
            assert_shows(value, whole, tolerance)
    elif isinstance(shown, float):
        assert answer == pytest.approx(shown, abs=tolerance)
    else:
        assert answer == shown


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, with the graphs that the answers were taken from."""
    output = tmp_path_factory.mktemp("readme") / "service.log"
    with running(output, precision="float32", cache_entries=0, infer_timeout_s=60) as service:
        yield service


@pytest.mark.parametrize(
    ("text", "count"), [(README, 1), (page("api.md"), 4)], ids=["README", "api"]
)
def test_requests_get_the_answers_shown(in_float32: Service, text: str, count: int) -> None:
    shown = examples(text)
    assert len(shown) == count
    for command, answer in shown:
        found = re.fullmatch(rf"curl -F file=@(\S+) '?{re.escape(URL)}(/[^\s']+)'?", command)
        assert found, command
        files = {"file": (found[1], (ROOT / found[1]).read_bytes())}
        response = in_float32.http.post(found[2], files=files)
        assert response.status_code == 200, response.text
        is_head = not found[2].startswith("/embed")
        tolerance = HEAD_TOLERANCE if is_head else TOLERANCE
        assert_shows(answer, response.json(), tolerance)


def test_the_readme_shortens_the_full_answer_of_the_api_page() -> None:
    (_, short), (_, full) = examples(README)[0], examples(page("api.md"))[0]
    for name in ("embedding", "features"):
        start, length = parts(short.pop(name))
        longer, whole = parts(full.pop(name))
        assert start == longer[: len(start)]
        assert length == whole
    assert short == full


def test_the_problems_are_the_ones_shown(in_float32: Service) -> None:
    problems = [
        json.loads(block) for block in code_blocks(page("api.md"), "json") if '"remedy"' in block
    ]
    queries: list[dict[str, str]] = [{"model": "musicnn-msd", "space": "0123456789ab"}, {}]
    for shown, query in zip(problems, queries, strict=True):
        response = in_float32.embed(b"These are words.\n" * 100, **query)
        assert response.json() == shown
        assert response.status_code == shown["status"]


@pytest.mark.parametrize("name", ["README.md", "docs/api.md", "docs/index.md"])
def test_python_snippets_run_as_pasted(in_float32: Service, name: str) -> None:
    snippets = code_blocks(PAGES[ROOT / name], "python")
    assert snippets
    for snippet in snippets:
        assert URL in snippet
        program = snippet.replace(URL, in_float32.url)
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_commands_of_getting_started_are_answered(in_float32: Service) -> None:
    commands = [line for line in shell_lines(page("index.md")) if line.startswith("curl")]
    assert len(commands) == 3
    for command in commands:
        found = re.fullmatch(rf"curl -F file=@(\S+) {re.escape(URL)}(/\S+)", command)
        assert found, command
        assert in_float32.answer(found[2], ROOT / found[1])["audio"]["codec"] == "mp3"


def test_the_batch_command_answers_a_line_for_each_file(in_float32: Service) -> None:
    (command,) = [line for line in shell_lines(page("api.md")) if "/embed/batch" in line]
    names = re.findall(r"file=@(\S+)", command)
    files = [("file", (name, (ROOT / name).read_bytes())) for name in names]
    response = in_float32.http.post("/embed/batch?features=false", files=files)
    lines = sorted(
        (json.loads(line) for line in response.text.splitlines()), key=lambda line: line["index"]
    )
    assert [line["file"] for line in lines] == names
    assert len(lines[0]["answer"]["embedding"]) == 40
    assert lines[1]["problem"]["type"] == "urn:tasteprint:not-audio"


def test_the_headers_of_vectors_are_the_ones_shown(in_float32: Service) -> None:
    audio = (ROOT / "examples" / "chords.mp3").read_bytes()
    headers = {"Accept": "application/octet-stream", "Content-Type": "audio/mpeg"}
    response = in_float32.http.post("/embed", content=audio, headers=headers)
    sent = {name for name in response.headers if name.startswith("tasteprint-")}
    section = page("api.md").partition("## Vectors as bytes")[2].partition("\n## ")[0]
    shown = {name.lower() for name in re.findall(r"`(Tasteprint-\w+)`", section)}
    has_space = read(ROOT / "models" / "cf-estimator").card.space is not None
    assert sent == shown - (set() if has_space else {"tasteprint-space"})
    assert len(response.content) == 4 * (40 + 200)


def test_the_settings_page_is_drawn_from_the_settings() -> None:
    assert settings_table.page() == page("settings.md"), "run python -m docs.settings_table"
    assert page("settings.md").count("\n| `TASTEPRINT_") == len(Settings.model_fields)


def test_the_models_page_is_drawn_from_the_cards() -> None:
    assert models_page.page() == page("models.md"), "run python -m docs.models_page"


def test_the_patches_of_musicnn_are_drawn_from_the_measured_figures() -> None:
    assert musicnn_page.page() == page("musicnn.md"), "run python -m docs.musicnn_page"
    n_rows = len(json.loads(patch_choice.RESULT.read_text())["rows"])
    assert len(re.findall(r"^\| \**\d+ × [\d.]+ s", page("musicnn.md"), re.M)) == n_rows


def test_the_agreement_of_musicnn_is_drawn_from_its_graph() -> None:
    assert musicnn_page.precision_page() == page("precision.md"), "run python -m docs.musicnn_page"
    agreement = read(ROOT / "models" / "musicnn-msd").card.graph("int8").agreement
    assert agreement
    drawn = page("precision.md").partition(musicnn_page.BEGIN)[2].partition(musicnn_page.END)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", drawn, re.M)) == agreement.outputs.keys()


def test_the_leaderboard_is_drawn_from_its_figures() -> None:
    path = ROOT / "docs" / "leaderboard.md"
    figures = Figures.load(path.with_suffix("") / leaderboard_page.FIGURES)
    command = "run tasteprint-train leaderboard --page docs/leaderboard.md"
    assert leaderboard_page.redraw(path, figures) == page("leaderboard.md"), command
    picture = path.with_suffix("") / leaderboard_page.PICTURE
    assert picture.read_text() == draw_leaderboard(figures), command


def test_every_setting_named_exists() -> None:
    known = {f"TASTEPRINT_{name.upper()}" for name in Settings.model_fields}
    for path, text in PAGES.items():
        assert set(re.findall(r"\bTASTEPRINT_[A-Z_]+\b", text)) <= known, path


def test_training_commands_take_the_options_shown() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = [shlex.split(line) for line in shell_lines(page("training.md"))]
    shown = [words for words in lines if words and words[0] == "tasteprint-train"]
    assert {words[1] for words in shown} == set(commands) - {"render"}
    for _, name, *words in shown:
        options = {option for part in commands[name].params for option in part.opts}
        assert {word for word in words if word.startswith("--")} <= options
        parts = [part for part in commands[name].params if part.required]
        required = {part.opts[0] for part in parts if part.param_type_name == "option"}
        assert required <= set(words)


def test_options_in_the_text_exist() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {
        option for command in commands.values() for part in command.params for option in part.opts
    }
    for name in ("training.md", "transfer.md", "precision.md", "cf-estimator.md", "musicnn.md"):
        for shown in re.findall(r"`(--[a-z-]+)[^`]*`", page(name)):
            assert shown in options | {"--help"}, (name, shown)


def test_benchmark_figures_are_the_measured_ones() -> None:
    assert readme() == README, "run python -m benchmarks --draw"
    assert benchmarks_page() == BENCHMARKS_PAGE.read_text(), "run python -m benchmarks --draw"


def test_the_figure_is_drawn_from_its_data() -> None:
    figures = json.loads(new_song.RESULT.read_text())
    assert new_song.draw(figures) == new_song.PICTURE.read_text()
    tenth = figures["top_percent"].index(10)
    for method in figures["methods"].values():
        found = f"{method['found'][tenth]:.0%}".replace("%", " %")
        assert found in page("cf-estimator.md")
        assert found in README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_anchors_resolve(path: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)\s]+)\)", PAGES[path]):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(PAGES[file]), link


def test_every_page_is_linked_from_the_readme_or_the_front_page_of_the_site() -> None:
    fronts = (ROOT / "README.md", ROOT / "docs" / "index.md")
    linked = {
        (front.parent / link.partition("#")[0]).resolve()
        for front in fronts
        for link in re.findall(r"\]\((?!http)([^)\s]+)\)", PAGES[front])
    }
    assert PAGES.keys() - {*fronts} <= linked


def test_make_targets_named_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for path, text in PAGES.items():
        code = [
            *re.findall(r"`([^`\n]+)`", text),
            *shell_lines(text),
            *re.findall(r"^    (.*)$", text, re.M),
        ]
        for line in code:
            assert set(re.findall(r"\bmake ([a-z][a-z-]*)", line)) <= targets, (path, line)


def test_routes_named_exist(in_float32: Service) -> None:
    known = {*in_float32.http.get("/openapi.json").json()["paths"], "/models/cf-estimator"}
    known |= {"/", "/docs"}
    for name in ("README.md", "docs/api.md"):
        text = PAGES[ROOT / name]
        routes = re.findall(r"(?:GET|POST) (/[\w/{}-]*)", text)
        assert routes
        for route in routes:
            assert route in known, (name, route)


def test_test_files_named_exist() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    named = re.findall(r"`((?:tests/[\w/]*)?test_\w+(?:\.py)?)`", page("reliability.md"))
    assert len(named) > 40
    for name in named:
        ending = name if name.endswith(".py") else f"/{name}.py"
        assert any(f"/{file}".endswith(ending) for file in files), name
