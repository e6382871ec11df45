"""The README is true: its commands exist, its answers are the code's, no setting is left out."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from typer.main import get_command

from benchmarks.draw import DOCS, docs, readme
from service.settings import Settings
from tests.running import ROOT, Service
from training.cli.main import app

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
JSON = [json.loads(text) for kind, text in BLOCKS if kind == "json"]
SHELL = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def shape(value: Any) -> Any:
    """Names and types of an answer, without its values."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [len(value), shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def rounded(value: Any) -> Any:
    """The same answer, its numbers to three places: they differ in the last between machines."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return pytest.approx(value, abs=1e-3) if isinstance(value, float) else value


def test_the_requests_get_the_answers_that_are_shown(service: Service) -> None:
    commands = [line for line in SHELL if line.startswith("curl -F file=@examples")]
    assert len(commands) == 2
    for command, shown in zip(commands, JSON, strict=False):
        found = re.search(r"file=@(\S+) http://127\.0\.0\.1:8000(/\S+)$", command)
        assert found
        answer = service.answer(found[2], ROOT / found[1])
        assert shape(answer) == shape(shown)
        # It may have been asked before by another test, and the machine chooses the precision.
        said = {"cached": False, "model": answer["model"] | {"precision": "float32"}}
        assert answer | said == rounded(shown)


def test_the_problem_is_the_one_that_is_shown(service: Service) -> None:
    response = service.embed(b"These are words.\n" * 100)
    assert response.json() == JSON[2]
    assert response.status_code == JSON[2]["status"]


def test_every_setting_is_there_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `TASTEPRINT_{name.upper()}` \| (.*?) \| (.*?) \|$", README, re.M)
        assert row, name
        assert row[2] == field.description
    assert README.count("| `TASTEPRINT_") == len(Settings.model_fields)


def test_every_training_command_takes_the_options_that_are_shown() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    shown = [shlex.split(line) for line in SHELL if line.startswith("tasteprint-train")]
    assert {words[1] for words in shown} == set(commands) - {"render"}
    for _, name, *words in shown:
        known = {option for part in commands[name].params for option in part.opts}
        assert {word for word in words if word.startswith("--")} <= known
        parts = [part for part in commands[name].params if part.required]
        required = {part.opts[0] for part in parts if part.param_type_name == "option"}
        assert required <= set(words)


def test_the_benchmarks_are_the_ones_that_were_measured() -> None:
    assert readme() == README
    assert docs() == DOCS.read_text()


def test_every_make_target_and_file_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets
    for link in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / link).exists(), link
    for route in re.findall(r"`(?:GET|POST) (/[\w/-]*)", README):
        files = ("api/audio.py", "api/operations.py", "app.py")
        source = "".join((ROOT / "service" / name).read_text() for name in files)
        assert f'"{route}' in source or route.startswith("/models/"), route
