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
from service.observability.events import CacheFailure, CacheResult, Death, EventListener

# From a cached answer's lookup to the longest that a stage may take by default.
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
WINDOWS = (1, 2, 4, 8, 16, 32, 64)


T = TypeVar("T", Counter, Histogram)


class SeriesByLabels(dict[tuple[str, ...], T]):
    """Series of a metric family by labels: the library's `labels()` costs more than `inc()`."""

    def __init__(self, family: T) -> None:
        super().__init__()
        self._family: T = family

    def __missing__(self, labels: tuple[str, ...]) -> T:
        series: T = self._family.labels(*labels)
        self[labels] = series
        return series


class Metrics(EventListener):
    """The metrics of one application, in a registry of its own.

    Attributes
    ----------
    running : contexts of the requests under way
    """

    def __init__(self, version: str) -> None:
        self.running: set[RequestContext] = set()
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = SeriesByLabels(
            Counter(
                "tasteprint_requests",
                "Requests by route, outcome, and the reason of a refusal.",
                ["route", "outcome", "reason"],
                registry=registry,
            )
        )
        self._request_seconds = SeriesByLabels(
            Histogram(
                "tasteprint_request_seconds",
                "From a request's header to the end of its answer.",
                ["route"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._stage_seconds = SeriesByLabels(
            Histogram(
                "tasteprint_stage_seconds",
                "A request's time in each stage, as its Server-Timing header states it.",
                ["stage"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._answers = SeriesByLabels(
            Counter(
                "tasteprint_answers",
                "What each model did for a request: computed, cached, refused or failed.",
                ["model", "outcome", "reason"],
                registry=registry,
            )
        )
        self._batch_windows = Histogram(
            "tasteprint_batch_windows",
            "Windows in a run of a model.",
            ["model"],
            buckets=WINDOWS,
            registry=registry,
        )
        self._lookups = SeriesByLabels(
            Counter("tasteprint_cache_lookups", "Answers looked up.", ["result"], registry=registry)
        )
        self._cache_errors = Counter(
            "tasteprint_cache_errors",
            "What the cache could not do; nobody's request failed of it.",
            ["cause"],
            registry=registry,
        )
        self._deaths = Counter(
            "tasteprint_decoder_deaths",
            "Decoder processes that ended and were replaced.",
            ["cause"],
            registry=registry,
        )
        self._ready = Gauge(
            "tasteprint_start_to_ready_seconds",
            "From the process's start until it took requests.",
            registry=registry,
        )
        build = Info("tasteprint_build", "What runs.", registry=registry)
        build.info(
            {
                "version": version,
                "python": platform.python_version(),
                "onnxruntime": ort.__version__,
            }
        )
        self._from_zero()

    def _from_zero(self) -> None:
        """Start series of known labels at zero: the rate of a first event needs the zero before."""
        for result in get_args(CacheResult):
            self._lookups[(result,)].inc(0)
        for why in get_args(CacheFailure):
            self._cache_errors.labels(why)
        for cause in get_args(Death):
            self._deaths.labels(cause)

    def watch(self, models: Iterable[str], queues: Collector) -> None:
        """Read the queues at each scrape; the models' series begin at zero."""
        self._registry.register(queues)
        for name in models:
            self._batch_windows.labels(name)

    def ready(self) -> None:
        self._ready.set(process_age_s())

    def request(
        self, route: str, outcome: str, reason: str, context: RequestContext, seconds: float
    ) -> None:
        """Count a request that has ended."""
        self._requests[route, outcome, reason].inc()
        self._request_seconds[(route,)].observe(seconds)
        for timer in context.timers:
            for stage, ms in timer.stages_ms.items():
                self._stage_seconds[(stage,)].observe(ms / 1e3)
        for model in context.models:
            self._answers[model.model, model.outcome, model.reason].inc()

    def batch(self, model: str, windows: int) -> None:
        self._batch_windows.labels(model).observe(windows)

    def cache(self, result: CacheResult) -> None:
        self._lookups[(result,)].inc()

    def cache_failed(self, why: CacheFailure) -> None:
        self._cache_errors.labels(why).inc()

    def decoder_died(self, cause: Death) -> None:
        self._deaths.labels(cause).inc()

    def collect(self) -> Iterable[Metric]:
        """Every metric without its `_created` series, which would double the size of a scrape."""
        for metric in self._registry.collect():
            metric.samples = [
                sample for sample in metric.samples if not sample.name.endswith("_created")
            ]
            yield metric

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The body of a scrape and its media type, by the request's header `Accept`."""
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # `Accept` names a version that is no version
            encode, media_type = choose_encoder("")
        return encode(self), media_type


# `starttime`, field 22 of /proc/<pid>/stat, counted behind the name in brackets (proc(5)).
START_TIME = 19


def process_age_s() -> float:
    """Seconds since the process began, to 10 ms; of its CPU time where there is no /proc."""
    if sys.platform != "linux":
        return time.process_time()
    behind_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
    started_s = int(behind_name.split()[START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
