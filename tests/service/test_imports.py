"""The service imports the models and its own dependencies: never training, never torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import service
from tests.running import ROOT

# What a distribution is imported as, where that differs from its name.
MODULES = {"python_multipart": {"python_multipart"}, "fastapi": {"fastapi", "starlette"}}
MODULES |= {"onnxruntime_gpu": {"onnxruntime"}}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def allowed() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {"models", "service"} | set(sys.stdlib_module_names)
    for requirement in project["dependencies"]:
        name = re.split(r"[^\w-]", requirement)[0].replace("-", "_").lower()
        found |= MODULES.get(name, {name})
    return found


def test_only_models_and_declared_dependencies() -> None:
    may = allowed()
    assert "torch" not in may
    folder = Path(service.__file__).parent
    for path in sorted(folder.glob("**/*.py")):
        assert set(imported(path)) <= may, path.name


def test_importing_does_no_work_and_loads_no_torch() -> None:
    code = (
        "import service.__main__, sys, threading; "
        "assert not {'torch', 'training', 'torchaudio'} & set(sys.modules); "
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
