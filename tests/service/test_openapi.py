"""The service does what its OpenAPI document says; schemathesis asks all that the document allows.

And much that it does not: other methods, types, parameters and values, each with all of its checks.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.window import WindowChoice
from tests.running import ROOT, Service

OPTIONS = (
    *("--seed", "0", "--generation-deterministic", "--max-examples", "5"),
    *("--continue-on-failure", "--warnings", "off", "--no-color", "--output-truncate", "true"),
)
# To a form a part is a file, whatever type of JSON was meant by its text.
CONFIG = """
[[operations]]
include-path = "/embed/batch"
checks.negative_data_rejection.enabled = false
"""
HOOKS = "tests.service.openapi_hooks"


def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", *OPTIONS],
        env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,  # it keeps files where it runs
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    assert len(set(tested.groups())) == 1
    assert "Traceback" not in service.log()


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.http.get("/openapi.json").json()
    return found


def test_the_window_that_is_documented_is_the_one_that_is_read(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/embed"]["post"]["parameters"]
    (window,) = (each["schema"] for each in parameters if each["name"] == "window")
    for text in ("middle", "start", "all", "0", "12.5", "999999.999999"):
        assert re.search(window["pattern"], text)
        WindowChoice.parse(text)
    for text in ("", "end", "-1", "1.", ".5", "1e3", "1234567", "middle ", "12.5s"):
        assert not re.search(window["pattern"], text)
        with pytest.raises(ValueError, match="window must be"):
            WindowChoice.parse(text)


def test_a_form_is_documented_as_one_file_and_nothing_else(document: dict[str, Any]) -> None:
    content = document["paths"]["/embed"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    assert form["required"] == list(form["properties"]) == ["file"]
    assert form["additionalProperties"] is False
