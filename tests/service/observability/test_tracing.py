"""Spans reach the collector as children of the caller's; a missing collector delays no request."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.errors import CannotStart
from service.observability.tracing import open_span_exporter
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
        resources = [resource for request in self.received for resource in request.resource_spans]
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
        (root, *_) = [span for span in _all(collector) if span.name == "POST /embed"]
        assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, CALLER)
        stages = [span for span in _all(collector) if span.parent_span_id == root.span_id]
        header = response.headers["server-timing"]
        assert {span.name for span in stages} == {part.split(";")[0] for part in header.split(", ")}
        for span in stages:
            assert root.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
        by_name = {span.name: span for span in stages}
        in_order = ["upload", "cache", "decode", "queue", "infer", "remember"]
        starts = [by_name[name].start_time_unix_nano for name in in_order]
        assert starts == sorted(starts)
        assert "GET /healthz" not in collector.spans()
        facts = {attribute.key: attribute.value for attribute in root.attributes}
        assert facts["http.route"].string_value == "/embed"
        assert facts["tasteprint.request_id"].string_value == response.headers["x-request-id"]
        (refused,) = (span for span in _all(collector) if span.name == root.name and span != root)
        assert refused.trace_id != root.trace_id
        assert refused.status.code == Status.STATUS_CODE_UNSET  # it is the request's own fault
        errors = {attribute.key: attribute.value.string_value for attribute in refused.attributes}
        assert errors["error.type"] == "not-audio"
    # This service was told to log no requests.
    assert " 200 ms=" not in (tmp_path / "log").read_text()


def _all(collector: Collector) -> list[Span]:
    resources = [resource for request in collector.received for resource in request.resource_spans]
    scopes = [scope for resource in resources for scope in resource.scope_spans]
    return [span for scope in scopes for span in scope.spans]


def test_a_collector_that_hangs_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    write_bundle(tmp_path / "models", "levels")
    settings = {"models_dir": tmp_path / "models", "default_model": "levels", "decode_workers": 1}
    with collecting(hangs=True) as collector:
        with running(tmp_path / "log", **settings, otlp_endpoint=collector.url) as service:
            assert service.http.get("/healthz").status_code == 200
        assert collector.asked.is_set()
    assert "Finished server process" in service.log()
    assert "Traceback" not in service.log()


def test_without_a_collector_no_spans_are_exported() -> None:
    assert open_span_exporter(Settings(), "1") is None


def test_a_missing_extra_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings.model_validate({"otlp_endpoint": "http://127.0.0.1:4318"})
    with pytest.raises(CannotStart, match="not installed") as caught:
        open_span_exporter(settings, "1")
    assert "[otel]" in str(caught.value.remedy)
