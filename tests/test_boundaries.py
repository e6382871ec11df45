"""Imports run training → models ← service, and nothing else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": {"models"},
    "service": {"service", "models"},
    "training": {"training", "models"},
}
# What a distribution is imported as, where that differs from its name.
MODULES = {
    "fastapi": {"fastapi", "starlette"},
    "onnxruntime_gpu": {"onnxruntime"},
    "opentelemetry_sdk": {"opentelemetry"},
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


def declared() -> set[str]:
    """Modules of the distributions that pyproject.toml installs for the service, and for traces."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["otel"]
    names = (re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines)
    return {module for name in names for module in MODULES.get(name, {name})}


@pytest.mark.parametrize("program", ["models", "service"])
def test_what_serves_imports_only_declared_dependencies(program: str) -> None:
    may = {"models", "service"} | declared() | sys.stdlib_module_names
    for path in sorted((ROOT / program).rglob("*.py")):
        assert imported(path) <= may, path


def test_importing_the_service_does_no_work_and_loads_no_torch() -> None:
    code = (
        "import service.__main__, service.app, sys, threading; "
        "assert not {'torch', 'torchaudio', 'training'} & set(sys.modules); "
        "assert 'opentelemetry.exporter' not in sys.modules; "
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
