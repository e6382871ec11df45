"""Imports run training → models ← service, and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": {"models"},
    "service": {"service", "models"},
    "training": {"training", "models"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("program", MAY_IMPORT)
def test_a_program_imports_only_what_it_may(program: str) -> None:
    ours = {"models", "service", "training", "tests", "benchmarks"}
    for path in sorted((ROOT / program).rglob("*.py")):
        assert imported(path) & ours <= MAY_IMPORT[program], path


@pytest.mark.parametrize("program", ["models", "service"])
def test_nothing_that_serves_names_a_training_library(program: str) -> None:
    for path in sorted((ROOT / program).rglob("*.py")):
        assert not imported(path) & {"torch", "torchaudio", "lightning", "implicit", "pandas"}, path


def test_the_service_starts_without_torch() -> None:
    code = "import service.__main__, service.app, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr
