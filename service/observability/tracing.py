"""OpenTelemetry traces: a span per request and per stage. The SDK is imported only if enabled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import CannotStart
from service.observability.context import RequestContext
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "tasteprint"
PATH = "/v1/traces"  # of OTLP over HTTP, appended to the collector's address
EXPORT_TIMEOUT_S = 5.0
# How long a collector that hangs may delay the shutdown.
CLOSE_TIMEOUT_S = 2.0


def open_span_exporter(settings: Settings, version: str) -> SpanExporter | None:
    """Span exporter to the collector of the settings; None without a collector.

    Raises
    ------
    CannotStart
        If the extra `otel` is not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        provider = _provider(str(settings.otlp_endpoint), version)
    except ImportError as error:
        raise CannotStart(
            "TASTEPRINT_OTLP_ENDPOINT is set and OpenTelemetry's SDK is not installed",
            value=str(error.name),
            remedy="pip install -e '.[otel]' beside the code, or unset TASTEPRINT_OTLP_ENDPOINT",
        ) from error
    return SpanExporter(provider, version)


def _provider(endpoint: str, version: str) -> TracerProvider:
    """Tracer provider that exports spans in batches from its own thread, and drops unsent spans.

    Headers, certificates and sampling are set by the standard `OTEL_*` variables.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": SERVICE, "service.version": version})
    # Not the global provider, through which other libraries would export their own spans.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(
        endpoint=endpoint.rstrip("/").removesuffix(PATH) + PATH, timeout=EXPORT_TIMEOUT_S
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class SpanExporter:
    """Span exporter: makes the spans of an ended request from the stage timings of its context."""

    def __init__(self, provider: TracerProvider, version: str) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE, version)
        self._propagator = TraceContextTextMapPropagator()

    def request(self, name: str, context: RequestContext, scope: Scope, ended_s: float) -> None:
        """Export the span of an ended request, child of its `traceparent`, and a span per stage."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        epoch_ns = time.time_ns() - _ns(time.perf_counter())
        span = self._tracer.start_span(
            name,
            context=self._parent(scope),
            kind=SpanKind.SERVER,
            attributes=_attributes(name, context),
            start_time=epoch_ns + _ns(context.started_s),
        )
        if context.outcome == "failed":
            span.set_status(StatusCode.ERROR, context.reason)
        parent = set_span_in_context(span)
        for timer in context.timers:
            for stage, ms in timer.stages_ms.items():
                end_ns = epoch_ns + _ns(timer.ended_s[stage])
                child = self._tracer.start_span(stage, parent, start_time=end_ns - _ns(ms / 1e3))
                child.end(end_ns)
        span.end(epoch_ns + _ns(ended_s))

    def _parent(self, scope: Scope) -> Context:
        return self._propagator.extract(Headers(scope=scope))

    async def close(self) -> None:
        """Export the remaining spans; wait at most 2 s for a collector that does not answer."""
        done, loop = asyncio.Event(), asyncio.get_running_loop()

        def shutdown() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(done.set)

        # A daemon thread, since closing the event loop would wait for an executor's threads.
        threading.Thread(target=shutdown, daemon=True, name="traces-end").start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), CLOSE_TIMEOUT_S)


def _attributes(name: str, context: RequestContext) -> dict[str, str | int | bool | list[str]]:
    """Attributes by OpenTelemetry's semantic conventions for HTTP, and the service's own."""
    method, _, route = name.partition(" ")
    attributes: dict[str, str | int | bool | list[str]] = {
        "http.request.method": method,
        "http.response.status_code": context.status,
        "http.request.body.size": context.received_bytes,
        "http.response.body.size": context.sent_bytes,
        "tasteprint.request_id": context.request_id,
    }
    if route.startswith("/"):
        attributes["http.route"] = route
    if context.outcome != "answered":
        attributes["error.type"] = context.reason
    if context.models:
        attributes["tasteprint.models"] = [model.model for model in context.models]
        attributes["tasteprint.cached"] = bool(context.cached)
    return attributes


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
