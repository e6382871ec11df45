"""Spans reach a collector, below the caller's; without one, or with a dead one, nobody notices."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.errors import CannotStart
from service.observability.tracing import open_traces
from service.settings import Settings
from tests.bundles import write_bundle
from tests.running import DEADLINE_S, running
from tests.sounds import golden, write

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """An OTLP collector that keeps what it gets, or where it hangs, never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.received: list[ExportTraceServiceRequest] = []
        self.asked, self.goes_on = threading.Event(), threading.Event()
        if not hangs:
            self.goes_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> dict[str, Span]:
        """By name."""
        resources = [each for request in self.received for each in request.resource_spans]
        scopes = [scope for resource in resources for scope in resource.scope_spans]
        return {span.name: span for scope in scopes for span in scope.spans}


class Taker(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.set()
        if self.path == "/v1/traces" and self.server.goes_on.wait(DEADLINE_S):
            self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[Collector]:
    with Collector(hangs=hangs) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.goes_on.set()
            collector.shutdown()
            thread.join(DEADLINE_S)


def test_a_request_is_a_span_below_its_callers_and_each_stage_one_below_that(
    tmp_path: Path,
) -> None:
    write_bundle(tmp_path / "models", "levels")
    settings = {"models_dir": tmp_path / "models", "default_model": "levels", "decode_workers": 1}
    clip = write(tmp_path / "a.wav", golden(2.0, 8_000, 1, seed=120), 8_000)
    with collecting() as collector:
        traced = {"otlp_endpoint": collector.url, "access_log": False}
        with running(tmp_path / "log", **settings, **traced) as service:
            service.http.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
            response = service.embed(clip)
            service.http.headers["traceparent"] = f"00-{TRACE}-{CALLER}-00"  # not sampled
            service.http.get("/healthz")
            del service.http.headers["traceparent"]
            service.embed(b"These are words.\n" * 100)
        (root, *_) = [each for each in _all(collector) if each.name == "POST /embed"]
        assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, CALLER)
        stages = [each for each in _all(collector) if each.parent_span_id == root.span_id]
        header = response.headers["server-timing"]
        assert {each.name for each in stages} == {part.split(";")[0] for part in header.split(", ")}
        for each in stages:
            assert root.start_time_unix_nano <= each.start_time_unix_nano
            assert each.end_time_unix_nano <= root.end_time_unix_nano
        by_name = {each.name: each for each in stages}
        in_order = ["upload", "cache", "decode", "queue", "infer", "remember"]
        starts = [by_name[name].start_time_unix_nano for name in in_order]
        assert starts == sorted(starts)
        assert "GET /healthz" not in collector.spans()
        facts = {each.key: each.value for each in root.attributes}
        assert facts["http.route"].string_value == "/embed"
        assert facts["tasteprint.request_id"].string_value == response.headers["x-request-id"]
        (refused,) = (each for each in _all(collector) if each.name == root.name and each != root)
        assert refused.trace_id != root.trace_id
        assert refused.status.code == Status.STATUS_CODE_UNSET  # it is the request's own fault
        errors = {each.key: each.value.string_value for each in refused.attributes}
        assert errors["error.type"] == "not-audio"
    # This service was told to log no requests.
    assert " 200 ms=" not in (tmp_path / "log").read_text()


def _all(collector: Collector) -> list[Span]:
    resources = [each for request in collector.received for each in request.resource_spans]
    return [span for each in resources for scope in each.scope_spans for span in scope.spans]


def test_a_collector_that_hangs_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    write_bundle(tmp_path / "models", "levels")
    settings = {"models_dir": tmp_path / "models", "default_model": "levels", "decode_workers": 1}
    with collecting(hangs=True) as collector:
        with running(tmp_path / "log", **settings, otlp_endpoint=collector.url) as service:
            assert service.http.get("/healthz").status_code == 200
            asked_to_end = time.monotonic()
        assert time.monotonic() - asked_to_end < 6
        assert collector.asked.is_set()
    assert "Finished server process" in service.log()
    assert "Traceback" not in service.log()


def test_without_a_collector_there_are_no_traces() -> None:
    assert open_traces(Settings(), "1") is None


def test_an_extra_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings.model_validate({"otlp_endpoint": "http://127.0.0.1:4318"})
    with pytest.raises(CannotStart, match="not installed") as caught:
        open_traces(settings, "1")
    assert "[otel]" in str(caught.value.remedy)
