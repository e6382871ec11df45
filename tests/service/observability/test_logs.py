"""Every log line has the configured format, and the ID of its request."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from service.observability.context import CURRENT, RequestContext
from service.observability.logs import JsonFormatter, TextFormatter
from tests.running import Service, wait_until
from tests.sounds import golden, write


def lines_of(service: Service, request_id: str) -> list[dict[str, Any]]:
    """What the JSON log says of a request, once its own line is there."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in service.log().splitlines()]
        return [line for line in lines if line.get("request_id") == request_id]

    wait_until(lambda: any("route" in line for line in found()), "the request's line")
    return found()


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "tasteprint", "levelname": "INFO", "msg": message, **extra}
    )


def test_every_line_is_json_uvicorns_and_the_banner_too(watched: Service) -> None:
    lines = [json.loads(line) for line in watched.log().splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    assert {"uvicorn.error", "tasteprint", "tasteprint.access"} <= {
        line["logger"] for line in lines
    }
    assert any("Tasteprint listens on" in line["message"] for line in lines)


def test_a_request_is_one_line_that_says_what_came_of_it(watched: Service, tmp_path: Path) -> None:
    clip = write(tmp_path / "a.wav", golden(2.0, 8_000, 1, seed=110), 8_000)
    response = watched.embed(clip)
    lines = lines_of(watched, response.headers["x-request-id"])
    (line,) = (line for line in lines if "route" in line)
    assert line["ms"] > 0
    assert line["bytes"] > clip.stat().st_size  # with multipart around it
    assert line["sent_bytes"] == len(response.content)
    expected = {"method": "POST", "route": "/embed", "status": 200, "client": "127.0.0.1"}
    assert line.items() >= (expected | {"cached": False}).items()
    assert line["models"] == ["levels"]


def test_every_line_of_a_request_has_its_id(watched: Service, tmp_path: Path) -> None:
    clip = write(tmp_path / "a.wav", golden(2.0, 8_000, 1, seed=111), 8_000)
    watched.http.headers["X-Request-ID"] = "followed"
    try:
        watched.embed(clip)
    finally:
        del watched.http.headers["X-Request-ID"]
    first_words = {line["message"].split()[0] for line in lines_of(watched, "followed")}
    assert first_words == {"computed", "POST"}  # the computation is a task of its own


def test_a_refusal_says_its_problem(watched: Service) -> None:
    response = watched.embed(b"These are words.\n" * 100)
    line = lines_of(watched, response.headers["x-request-id"])[-1]
    assert (line["status"], line["problem"]) == (415, "not-audio")


def test_text_is_a_line_with_names_and_values(service: Service) -> None:
    service.http.get("/models/nobody", headers={"X-Request-ID": "in-text"})
    wait_until(lambda: "request_id=in-text" in service.log(), "the request's line")
    (line,) = (line for line in service.log().splitlines() if "in-text" in line)
    assert " INFO GET /models/{name} 404 ms=" in line
    assert " client=127.0.0.1 problem=unknown-model request_id=in-text" in line


def test_a_path_cannot_make_a_line_of_its_own(service: Service) -> None:
    service.http.get("/x%0aINFO%20forged", headers={"X-Request-ID": "a-forger"})
    wait_until(lambda: "request_id=a-forger" in service.log(), "the request's line")
    assert not [line for line in service.log().splitlines() if line.startswith("INFO forged")]
    assert r'path="/x\nINFO forged"' in service.log()


def test_a_message_of_two_lines_is_one() -> None:
    assert TextFormatter().format(record("one\ntwo\n")).endswith(r" INFO one\ntwo")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        (None, "null"),
        (1.5, "1.5"),
    ],
)
def test_a_value_that_could_be_misread_is_quoted(value: object, shown: str) -> None:
    line = TextFormatter().format(record("said", fields={"name": value}))
    assert line.endswith(f" said name={shown}")


def test_a_traceback_stays_with_its_line_and_its_request() -> None:
    before = CURRENT.set(RequestContext("the-id"))
    try:
        raise ValueError("on cue")
    except ValueError:
        line = json.loads(JsonFormatter().format(record("failed", exc_info=sys.exc_info())))
    finally:
        CURRENT.reset(before)
    assert line["request_id"] == "the-id"
    assert line["exception"].endswith("ValueError: on cue")
