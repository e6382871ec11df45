"""Four times the saturated throughput, in an open loop: answers, refusals, latency and memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace

from benchmarks.latency import at_load, saturation, uploads
from benchmarks.load import Seen, arrive, percentiles
from benchmarks.processes import SERVICE, Server, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan

TIMES, LONG_MINUTES = 4, 10
BESIDE_S = 20.0
SAMPLES_EVERY_S = 30.0


def measure(plan: Plan) -> Figures:
    seconds = 3.0 if plan.quick else 60 * plan.minutes
    beside_s = 2.0 if plan.quick else BESIDE_S
    requests = uploads(plan)
    with serving(*SERVICE, TASTEPRINT_CACHE_ENTRIES="0") as service:
        peak_per_s = saturation(plan, service, requests).per_second
        at_80 = arrive(service.port, requests, 0.8 * peak_per_s, beside_s)
        memory = Memory(service, min(SAMPLES_EVERY_S, seconds / 4))
        with memory:
            over = arrive(service.port, requests, TIMES * peak_per_s, seconds)
    return {
        "saturation_per_s": peak_per_s,
        "offered_per_s": TIMES * peak_per_s,
        "seconds": seconds,
        "at_80": at_load(at_80),
        "accepted": at_load(over) | {"per_second": over.per_second},
        "statuses": {str(status): n for status, n in Counter(statuses(over)).items()},
        "refused": refused(over),
        "rss_mb": memory.samples,
    }


def statuses(seen: Seen) -> list[int]:
    return [outcome.status for outcome in seen.outcomes]


def refused(seen: Seen) -> Figures:
    """The 429 answers: time since the request was sent whole, and whether Retry-After is set."""
    busy = [outcome for outcome in seen.outcomes if outcome.status == 429]
    return {
        "share": len(busy) / len(seen.outcomes),
        "with_retry_after": sum(outcome.retry_after.isdecimal() for outcome in busy),
        "count": len(busy),
        "since_sent_ms": percentiles([outcome.since_sent_ms for outcome in busy]),
        "since_due_ms": percentiles([outcome.latency_ms for outcome in busy]),
        "within_100_ms": sum(outcome.since_sent_ms <= 100 for outcome in busy) / max(1, len(busy)),
    }


class Memory:
    """Samples the resident memory of the service and of all its processes at intervals."""

    def __init__(self, service: Server, every_s: float) -> None:
        self._service, self._every_s = service, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._began = time.monotonic()
        self.samples: list[Figures] = []

    def __enter__(self) -> None:
        self._sample()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        alone, together = self._service.rss_mb()
        self.samples.append(
            {"at_s": time.monotonic() - self._began, "service": alone, "with_decoders": together}
        )


def table(figures: Figures) -> str:
    busy, accepted, at_80 = figures["refused"], figures["accepted"], figures["at_80"]
    lines = [
        f"{offered(figures)}\n",
        "| | p50, ms | p95, ms | p99, ms | max, ms |\n|---|---|---|---|---|",
        _row("429, since the request was sent", busy["since_sent_ms"]),
        _row("429, since the request was due", busy["since_due_ms"]),
        _row("200, since the request was due", accepted["latency_ms"]),
        _row("200 at 80 % load, since the request was due", at_80["latency_ms"]),
        f"\n{busy['share']:.0%} were refused, {busy['with_retry_after']} of {busy['count']} with "
        f"Retry-After. At 80 % load {at_80['failed']} of {at_80['asked']} were not answered.\n",
        memory_table(figures),
    ]
    return "\n".join(lines)


def offered(figures: Figures) -> str:
    accepted = figures["accepted"]
    statuses = ", ".join(f"{count} × {status}" for status, count in figures["statuses"].items())
    return (
        f"{figures['offered_per_s']:.0f} requests/s offered for {figures['seconds']:.0f} s to a "
        f"service that saturates at {figures['saturation_per_s']:.1f}: {statuses} "
        "(0: connection broken). "
        f"{accepted['per_second']:.1f} requests/s were answered 200. The clients used "
        f"{accepted['client_cpu']:.2f} of a core and sent at most "
        f"{accepted['latest_request_ms']:.0f} ms late."
    )


def memory_table(figures: Figures) -> str:
    header = "| after, s | service, MB resident | with decoders, MB |\n|---|---|---|"
    samples = [
        f"| {sample['at_s']:.0f} | {sample['service']:.0f} | {sample['with_decoders']:.0f} |"
        for sample in figures["rss_mb"]
    ]
    return "\n".join([header, *samples])


def _row(what: str, ms: dict[str, float]) -> str:
    cells = " | ".join(f"{ms.get(name, 0.0):.0f}" for name in ("p50", "p95", "p99", "max"))
    return f"| {what} | {cells} |"


def goals(figures: Figures) -> list[Goal]:
    busy = figures["refused"]
    slowdown = figures["accepted"]["latency_ms"]["p99"] / figures["at_80"]["latency_ms"]["p99"]
    retry_after = busy["with_retry_after"] / max(1, busy["count"])
    return [
        Goal("4 × load: 429, p99 since sent", busy["since_sent_ms"]["p99"], max=100, unit="ms"),
        Goal("4 × load: share of 429 with Retry-After", retry_after, min=1),
        Goal("4 × load: 200, p99 ÷ p99 at 80 % load", slowdown, max=3),
        answers_goal(figures),
        memory_goal(figures),
    ]


def answers_goal(figures: Figures) -> Goal:
    """Every upload is valid, so any other status is a fault of the service."""
    others = sum(n for status, n in figures["statuses"].items() if status not in {"200", "429"})
    title = f"4 × load for {figures['seconds']:.0f} s: answers other than 200 and 429"
    return Goal(title, others, max=0)


def memory_goal(figures: Figures) -> Goal:
    # Relative to the first sample under load, and without the last one, taken after the load.
    samples = [sample["with_decoders"] for sample in figures["rss_mb"]]
    title = f"4 × load for {figures['seconds']:.0f} s: max memory ÷ first sample under load"
    return Goal(title, max(samples[1:-1]) / samples[1], max=1.05)


def measure_long(plan: Plan) -> Figures:
    return measure(replace(plan, minutes=LONG_MINUTES))


def long_table(figures: Figures) -> str:
    return f"{offered(figures)}\n\n{memory_table(figures)}"


def long_goals(figures: Figures) -> list[Goal]:
    return [answers_goal(figures), memory_goal(figures)]


OVERLOAD_LONG = Benchmark(
    "overload-10min",
    "Ten minutes of overload",
    measure_long,
    long_table,
    long_goals,
    when_named=True,
)
OVERLOAD = Benchmark(
    "overload", "Overload: four times the saturated throughput", measure, table, goals
)
