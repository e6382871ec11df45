"""Prometheus metrics: counters and histograms, exposed at `GET /metrics`."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar, get_args

import onnxruntime as ort
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from service.observability.context import RequestContext
from service.observability.events import CacheFailure, CacheResult, EventListener, ExitCause

# From a cache lookup to the longest that a stage may take by default.
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
WINDOWS = (1, 2, 4, 8, 16, 32, 64)


T = TypeVar("T", Counter, Histogram)


class LabelCache(dict[tuple[str, ...], T]):
    """Cache of series by labels: the library's `labels()` costs more than `inc()`."""

    def __init__(self, family: T) -> None:
        super().__init__()
        self._family: T = family

    def __missing__(self, labels: tuple[str, ...]) -> T:
        series: T = self._family.labels(*labels)
        self[labels] = series
        return series


class Metrics(EventListener):
    """Prometheus metrics of one application, in a separate registry.

    Attributes
    ----------
    running : contexts of the requests in progress
    """

    def __init__(self, version: str) -> None:
        self.running: set[RequestContext] = set()
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = LabelCache(
            Counter(
                "tasteprint_requests",
                "Requests by route, outcome, and the reason of a refusal.",
                ["route", "outcome", "reason"],
                registry=registry,
            )
        )
        self._request_seconds = LabelCache(
            Histogram(
                "tasteprint_request_seconds",
                "Duration of a request, from its headers to the end of the response.",
                ["route"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._stage_seconds = LabelCache(
            Histogram(
                "tasteprint_stage_seconds",
                "Duration of each stage of a request, as in the Server-Timing header.",
                ["stage"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._answers = LabelCache(
            Counter(
                "tasteprint_answers",
                "Model results by outcome: computed, cached, refused or failed.",
                ["model", "outcome", "reason"],
                registry=registry,
            )
        )
        self._batch_windows = Histogram(
            "tasteprint_batch_windows",
            "Batch size of a model's runs, in windows.",
            ["model"],
            buckets=WINDOWS,
            registry=registry,
        )
        self._lookups = LabelCache(
            Counter(
                "tasteprint_cache_lookups",
                "Cache lookups by result.",
                ["result"],
                registry=registry,
            )
        )
        self._cache_errors = Counter(
            "tasteprint_cache_errors",
            "Failed cache operations by cause; requests are answered without the cache.",
            ["cause"],
            registry=registry,
        )
        self._decoder_exits = Counter(
            "tasteprint_decoder_deaths",
            "Decoder processes that exited and were replaced, by cause.",
            ["cause"],
            registry=registry,
        )
        self._ready = Gauge(
            "tasteprint_start_to_ready_seconds",
            "Time from the start of the process until it accepted requests.",
            registry=registry,
        )
        build = Info(
            "tasteprint_build", "Versions of service, Python and onnxruntime.", registry=registry
        )
        build.info(
            {
                "version": version,
                "python": platform.python_version(),
                "onnxruntime": ort.__version__,
            }
        )
        self._from_zero()

    def _from_zero(self) -> None:
        """Initialise series of known labels to zero, so that `rate()` sees the first event."""
        for result in get_args(CacheResult):
            self._lookups[(result,)].inc(0)
        for failure in get_args(CacheFailure):
            self._cache_errors.labels(failure)
        for cause in get_args(ExitCause):
            self._decoder_exits.labels(cause)

    def watch(self, queues: Collector) -> None:
        """Read the queues at each scrape."""
        self._registry.register(queues)

    def ready(self) -> None:
        self._ready.set(process_age_s())

    def request(
        self, route: str, outcome: str, reason: str, context: RequestContext, seconds: float
    ) -> None:
        """Count an ended request."""
        self._requests[route, outcome, reason].inc()
        self._request_seconds[(route,)].observe(seconds)
        for timer in context.timers:
            for stage, ms in timer.stages_ms.items():
                self._stage_seconds[(stage,)].observe(ms / 1e3)
        for model in context.models:
            self._answers[model.model, model.outcome, model.reason].inc()

    def model_loaded(self, model: str) -> None:
        """Initialise the model's series to zero."""
        self._batch_windows.labels(model)

    def batch(self, model: str, windows: int) -> None:
        self._batch_windows.labels(model).observe(windows)

    def cache(self, result: CacheResult) -> None:
        self._lookups[(result,)].inc()

    def cache_failed(self, cause: CacheFailure) -> None:
        self._cache_errors.labels(cause).inc()

    def decoder_exited(self, cause: ExitCause) -> None:
        self._decoder_exits.labels(cause).inc()

    def collect(self) -> Iterable[Metric]:
        """Every metric without its `_created` series, which would double the size of a scrape."""
        for metric in self._registry.collect():
            metric.samples = [
                sample for sample in metric.samples if not sample.name.endswith("_created")
            ]
            yield metric

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The body of a scrape and its media type, negotiated by the header `Accept`."""
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # `Accept` has an invalid version
            encode, media_type = choose_encoder("")
        return encode(self), media_type


# `starttime`, field 22 of /proc/<pid>/stat, counted after the name in brackets (proc(5)).
START_TIME = 19


def process_age_s() -> float:
    """Age of the process in seconds, to 10 ms; its CPU time where there is no /proc."""
    if sys.platform != "linux":
        return time.process_time()
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
    started_s = int(after_name.split()[START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
