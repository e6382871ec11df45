"""`tasteprint models`, and what the command line imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles import write_bundle
from tests.running import ROOT
from tests.service.cli.conftest import Run


def test_models_are_listed_with_their_space(run: Run) -> None:
    result = run("models", "list", "--models-dir", ROOT / "models")
    card = json.loads((ROOT / "models" / "cf-estimator" / "card.json").read_text())
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("cf-estimator ")]
    assert card["version"] in line
    assert card["space"][:12] in line


def test_a_card_is_shown_as_json(run: Run) -> None:
    assert json.loads(run("models", "show", "levels").stdout)["name"] == "levels"
    unknown = run("models", "show", "nonesuch")
    assert unknown.exit_code == 1
    assert "nonesuch" in unknown.stderr
    assert "give one of these names (allowed: levels)" in unknown.stderr.replace("\n", " ")


def test_a_bundle_that_was_changed_is_found(run: Run, tmp_path: Path) -> None:
    assert run("models", "verify").exit_code == 0
    bundle = write_bundle(tmp_path / "models", "changed")
    graph = bundle.folder / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    result = run("models", "verify")
    assert result.exit_code == 1
    assert "levels: good (float32)" in result.stdout
    assert "changed: " in result.stdout
    assert run("models", "verify", "levels").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "needless"),
    [
        (["--help"], {"onnxruntime", "fastapi", "pyarrow", "torch"}),
        (
            ["embed", "examples/chords.mp3", "--out", "x", "--url", "http://127.0.0.1:9"],
            {"onnxruntime", "fastapi", "starlette", "torch", "av"},
        ),
    ],
)
def test_what_is_not_needed_is_not_imported(arguments: list[str], needless: set[str]) -> None:
    program = (
        "import sys, atexit; import tasteprint_client\n"
        "tasteprint_client.AsyncClient.models = lambda self: sys.exit(9)\n"
        "atexit.register(lambda: print('imported', *sorted(sys.modules)))\n"
        f"sys.argv = ['tasteprint', *{arguments!r}]\n"
        "from service.cli.main import main; main()"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("imported ")]
    assert not needless & set(line.split())
