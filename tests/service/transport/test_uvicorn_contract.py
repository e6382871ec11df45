"""Contract with uvicorn: it holds for the installed version, and without it the service answers."""

from __future__ import annotations

import hashlib
import inspect
import logging
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.settings import Settings
from service.transport import uvicorn_contract
from service.transport.uvicorn_contract import (
    CYCLE_ATTRIBUTES,
    FLOW_ATTRIBUTES,
    PROTOCOL_ATTRIBUTES,
    TESTED_VERSIONS,
    find_violations,
    http_protocol,
)
from tests.running import ROOT, Service, running
from tests.sounds import golden, write

# Runs the service with a contract that the installed uvicorn breaks.
BROKEN_CONTRACT = """
from service.transport import uvicorn_contract
uvicorn_contract.FLOW_ATTRIBUTES += ("drain_by_magic",)
from service.__main__ import main
main()
"""


def installed() -> str:
    return f"uvicorn {version('uvicorn')} with httptools {version('httptools')}"


def test_the_installed_uvicorn_keeps_the_contract() -> None:
    violations = find_violations()
    assert not violations, (
        f"service/transport/uvicorn_protocol.py does not work with {installed()}: "
        + "; ".join(violations)
    )


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("startup", ["self", "sockets"]),
        ("handle_exit", ["self", "sig", "frame"]),
        ("on_tick", ["self", "counter"]),
    ],
)
def test_the_overridden_methods_of_the_server_exist(method: str, parameters: list[str]) -> None:
    found = list(inspect.signature(getattr(uvicorn.Server, method)).parameters)
    assert found == parameters, f"uvicorn.Server.{method} of {installed()} takes {found}"


def test_the_used_attributes_of_the_server_exist() -> None:
    server = uvicorn.Server(uvicorn.Config("app"))
    for name in ("started", "force_exit", "should_exit"):
        assert hasattr(server, name), f"uvicorn.Server of {installed()} has no attribute `{name}`"


def test_pyproject_pins_the_tested_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert TESTED_VERSIONS in project["dependencies"]


def test_every_attribute_that_the_protocol_uses_is_in_the_contract() -> None:
    from service.transport.uvicorn_protocol import BoundedHttpProtocol

    names = {*PROTOCOL_ATTRIBUTES, *CYCLE_ATTRIBUTES, *FLOW_ATTRIBUTES}
    functions = filter(inspect.isfunction, vars(BoundedHttpProtocol).values())
    used = {name for function in functions for name in function.__code__.co_names}
    protocol = uvicorn_contract._StubConnection().protocol
    uvicorns = {*dir(protocol), *dir(protocol.cycle), *dir(protocol.flow)}
    assert (used & uvicorns) - {"__init__"} <= names


@pytest.mark.parametrize(
    ("attributes", "owner"),
    [
        ("PROTOCOL_ATTRIBUTES", "HttpToolsProtocol"),
        ("CYCLE_ATTRIBUTES", "RequestResponseCycle"),
        ("FLOW_ATTRIBUTES", "FlowControl"),
    ],
)
def test_a_missing_attribute_is_named_and_the_service_falls_back(
    attributes: str,
    owner: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(uvicorn_contract, attributes, ("gone",))
    with caplog.at_level(logging.WARNING, "tasteprint"):
        assert http_protocol(Settings()) == "auto"
    (record,) = caplog.records
    assert f"{owner} has no attribute `gone`" in record.getMessage()
    assert f"uvicorn {version('uvicorn')}" in record.getMessage()


def test_a_module_that_has_moved_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
    (violation,) = find_violations()
    assert "httptools_impl" in violation


def test_a_body_that_is_stored_otherwise_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    monkeypatch.setattr(HttpToolsProtocol, "on_body", lambda protocol, body: None)
    assert "`on_body` does not append to `cycle.body`" in find_violations()


def test_a_real_service_answers_alike_by_the_fallback(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write(tmp_path / "x.wav", golden(6.0, seed=81)).read_bytes()  # several ASGI messages
    expected = service.embedding(content)
    assert "uvicorn's own protocol" not in service.log()
    popen = subprocess.Popen

    def popen_with_broken_contract(_: object, **options: Any) -> subprocess.Popen[bytes]:
        return popen([sys.executable, "-c", BROKEN_CONTRACT], **options)

    monkeypatch.setattr(subprocess, "Popen", popen_with_broken_contract)
    with running(tmp_path / "log", decode_workers=1) as fallback:
        log = fallback.log()
        assert log.count("FlowControl has no attribute `drain_by_magic`") == 1
        assert f"uvicorn {version('uvicorn')}" in log
        assert "Not limited are" in log
        answer = fallback.embedding(content)
        raw = fallback.http.post("/embed", content=content, headers={"Content-Type": "audio/wav"})
        assert fallback.held_bytes() == 0
    assert answer == expected
    assert raw.json()["audio"]["sha256"] == hashlib.sha256(content).hexdigest()
