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

from models.audio.window_choice import WindowChoice
from models.catalogue import BadCatalogue
from models.errors import TasteprintError
from models.spark import MissingSpark
from service.api.openapi import leaves
from service.cli.errors import BadArgument
from service.errors import type_of
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

# Title and artist of 500 characters each may also be longer than any query.
[[operations]]
include-path = "/catalogue/{track_id}"
checks.negative_data_rejection.expected-statuses = ["4xx", "5xx"]
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
    (window,) = (parameter["schema"] for parameter in parameters if parameter["name"] == "window")
    for text in ("middle", "start", "all", "0", "12.5", "999999.999999", "-30", "1:02:03.5"):
        assert re.search(window["pattern"], text)
        WindowChoice.parse(text)
    for text in ("", "end", "--1", "1.", ".5", "1e3", "1234567", "middle ", "12.5s", "1:5"):
        assert not re.search(window["pattern"], text)
        with pytest.raises(ValueError, match="window must be"):
            WindowChoice.parse(text)


def types(document: dict[str, Any], path: str, status: int) -> set[str]:
    operations = document["paths"][path].values()
    return {name for operation in operations for name in types_of(operation, status)}


def types_of(operation: dict[str, Any], status: int) -> set[str]:
    if str(status) not in operation["responses"]:
        return set()
    schema = operation["responses"][str(status)]["content"]["application/problem+json"]["schema"]
    allowed = schema["properties"]["type"]["enum"]
    return {name.removeprefix("urn:tasteprint:") for name in allowed}


def test_each_problem_answer_names_its_types(document: dict[str, Any]) -> None:
    assert types(document, "/embed", 413) == {"upload-too-large"}
    assert types(document, "/embed", 415) == {"not-audio", "unsupported-body", "unsupported-codec"}
    assert types(document, "/embed", 504) == {"deadline-exceeded"}
    assert types(document, "/embed", 500) == {"inference-failed", "bug"}
    assert types(document, "/classify/{task}", 404) >= {"unknown-task", "unknown-model"}
    assert types(document, "/regress/{task}", 422) - types(document, "/embed", 422) == {
        "wrong-model"
    }
    for path in ("/embed", "/embed/batch", "/embeddings/{sha256}"):
        assert types(document, path, 409) == {"other-space"}
    loading = {"model-refused", "stopping", "unavailable"}
    assert types(document, "/embed/batch", 503) == loading


def test_no_error_is_left_out_of_the_document(document: dict[str, Any]) -> None:
    """What no route answers is refused before there is one, or keeps the service from starting."""
    named = {
        problem_type
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for status in operation["responses"]
        if "application/problem+json" in operation["responses"][status]["content"]
        for problem_type in types(document, path, int(status))
    }
    before = {"head-too-large", "unknown-coding", "no-key", "wrong-key"}
    before |= {"malformed-request"}
    starting = {"bundle-error", "cannot-start"}
    offline = {
        type_of(kind.__name__).removeprefix("urn:tasteprint:")
        for kind in (BadArgument, BadCatalogue, MissingSpark)
    }
    tree = {
        type_of(kind.__name__).removeprefix("urn:tasteprint:") for kind in leaves(TasteprintError)
    }
    assert tree - named == before | starting | offline
    assert named - tree == {"unavailable", "bug", "about:blank"}


def test_a_form_is_documented_as_one_file_and_nothing_else(document: dict[str, Any]) -> None:
    content = document["paths"]["/embed"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    assert form["required"] == list(form["properties"]) == ["file"]
    assert form["additionalProperties"] is False
