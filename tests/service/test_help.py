"""`tasteprint-serve --help` lists every setting, and imports neither FastAPI nor ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from service.settings import Settings
from tests.running import ROOT

HEAVY = {"av", "fastapi", "numpy", "onnxruntime", "redis", "uvicorn"}
RUN = """
import json, sys
from service.__main__ import main
sys.argv[0] = "tasteprint-serve"
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_setting_with_default_and_meaning(option: str) -> None:
    done = run(option)
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    for name, field in Settings.model_fields.items():
        assert f"TASTEPRINT_{name.upper()}=" in words
        assert (field.description or "missing").replace("`", "") in words
    assert "TASTEPRINT_PORT=8000 Port to listen on" in words
    assert "TASTEPRINT_REDIS_URL= Cache in" in words
    assert not HEAVY.intersection(json.loads(done.stderr))


def test_other_arguments_are_refused_before_anything_is_imported() -> None:
    done = run("--port", "8080")
    assert done.returncode == 1
    modules, message = done.stderr.splitlines()
    assert "takes no arguments" in message
    assert "--help" in message
    assert not HEAVY.intersection(json.loads(modules))
