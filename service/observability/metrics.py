"""Metrics: what is counted and measured, in Prometheus's format at `GET /metrics`."""

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

from service.observability.context import Seen
from service.observability.events import CacheFailure, CacheResult, Death, Observer
from service.pipeline.gauges import Depths
from service.pipeline.pipeline import Pipeline

# From a cached answer's lookup to the longest that a stage may take by default.
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
WINDOWS = (1, 2, 4, 8, 16, 32, 64)


T = TypeVar("T", Counter, Histogram)


class Kept(dict[tuple[str, ...], T]):
    """A family's series by their labels: to find one here takes less than to count."""

    def __init__(self, family: T) -> None:
        super().__init__()
        self._family: T = family

    def __missing__(self, labels: tuple[str, ...]) -> T:
        series: T = self._family.labels(*labels)
        self[labels] = series
        return series


class Metrics(Observer):
    """One application's own, in a registry of their own.

    Attributes
    ----------
    running : the requests that are under way
    """

    def __init__(self, version: str) -> None:
        self.running: set[Seen] = set()
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Kept(
            Counter(
                "tasteprint_requests",
                "Requests by route, outcome, and the reason of a refusal.",
                ["route", "outcome", "reason"],
                registry=registry,
            )
        )
        self._request_seconds = Kept(
            Histogram(
                "tasteprint_request_seconds",
                "From a request's header to the end of its answer.",
                ["route"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._stage_seconds = Kept(
            Histogram(
                "tasteprint_stage_seconds",
                "A request's time in each stage, as its Server-Timing header states it.",
                ["stage"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._answers = Kept(
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
        self._lookups = Kept(
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
        """Series whose labels are known beforehand: a rate needs the zero before the first one."""
        for result in get_args(CacheResult):
            self._lookups[(result,)].inc(0)
        for why in get_args(CacheFailure):
            self._cache_errors.labels(why)
        for cause in get_args(Death):
            self._deaths.labels(cause)

    def watch(self, pipeline: Pipeline) -> None:
        """State the pipeline's models, and read its queues at each scrape."""
        self._registry.register(Depths(pipeline, self.running))
        for name in pipeline.models.loaded:
            self._batch_windows.labels(name)

    def ready(self) -> None:
        self._ready.set(process_age_s())

    def request(self, route: str, seen: Seen, seconds: float) -> None:
        """A request has ended."""
        self._requests[route, seen.outcome, seen.reason].inc()
        self._request_seconds[(route,)].observe(seconds)
        for timing in seen.timings:
            for stage, ms in timing.stages_ms.items():
                self._stage_seconds[(stage,)].observe(ms / 1e3)
        for each in seen.answers:
            self._answers[each.model, each.outcome, each.reason].inc()

    def batch(self, model: str, windows: int) -> None:
        self._batch_windows.labels(model).observe(windows)

    def cache(self, result: CacheResult) -> None:
        self._lookups[(result,)].inc()

    def cache_failed(self, why: CacheFailure) -> None:
        self._cache_errors.labels(why).inc()

    def decoder_died(self, cause: Death) -> None:
        self._deaths.labels(cause).inc()

    def collect(self) -> Iterable[Metric]:
        """Everything but the `_created` series, which double a scrape and which nobody asks for."""
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """A scrape and its media type: the one that the header `accept` asks for."""
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, media_type = choose_encoder("")
        return encode(self), media_type


# Of /proc/<pid>/stat behind the name in brackets: `starttime`, field 22 (proc(5)).
START_TIME = 19


def process_age_s() -> float:
    """Seconds since the process began, to 10 ms; of its CPU time where there is no /proc."""
    if sys.platform != "linux":
        return time.process_time()
    behind_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
    started_s = int(behind_name.split()[START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
