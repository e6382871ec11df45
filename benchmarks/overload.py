"""Four times the load that the service can carry, in an open loop: what is refused, and how."""

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
        most = saturation(plan, service, requests).per_second
        at_80 = arrive(service.port, requests, 0.8 * most, beside_s)
        memory = Memory(service, min(SAMPLES_EVERY_S, seconds / 4))
        with memory:
            over = arrive(service.port, requests, TIMES * most, seconds)
    return {
        "saturation_per_s": most,
        "offered_per_s": TIMES * most,
        "seconds": seconds,
        "at_80": at_load(at_80),
        "accepted": at_load(over) | {"per_second": over.per_second},
        "statuses": {str(status): n for status, n in Counter(statuses(over)).items()},
        "refused": refused(over),
        "rss_mb": memory.samples,
    }


def statuses(seen: Seen) -> list[int]:
    return [each.status for each in seen.outcomes]


def refused(seen: Seen) -> Figures:
    """The 429s: how soon after their request was sent whole, and do they say when to come again."""
    busy = [each for each in seen.outcomes if each.status == 429]
    return {
        "share": len(busy) / len(seen.outcomes),
        "with_retry_after": sum(each.retry_after.isdecimal() for each in busy),
        "count": len(busy),
        "since_sent_ms": percentiles([each.since_sent_ms for each in busy]),
        "since_due_ms": percentiles([each.latency_ms for each in busy]),
        "within_100_ms": sum(each.since_sent_ms <= 100 for each in busy) / max(1, len(busy)),
    }


class Memory:
    """Resident megabytes of the service and of all its processes, every so often."""

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
    late, accepted, at_80 = figures["refused"], figures["accepted"], figures["at_80"]
    lines = [
        f"{offered(figures)}\n",
        "| | p50, ms | p95, ms | p99, ms | longest, ms |\n|---|---|---|---|---|",
        _row("429, since it was sent whole", late["since_sent_ms"]),
        _row("429, since it was due", late["since_due_ms"]),
        _row("answered, since it was due", accepted["latency_ms"]),
        _row("answered at 80 % load, since it was due", at_80["latency_ms"]),
        f"\n{late['share']:.0%} were refused, {late['with_retry_after']} of {late['count']} with "
        f"Retry-After. At 80 % load {at_80['failed']} of {at_80['asked']} were not answered.\n",
        memory_table(figures),
    ]
    return "\n".join(lines)


def offered(figures: Figures) -> str:
    accepted = figures["accepted"]
    statuses = ", ".join(f"{count} × {status}" for status, count in figures["statuses"].items())
    return (
        f"{figures['offered_per_s']:.0f} requests/s offered for {figures['seconds']:.0f} s, where "
        f"{figures['saturation_per_s']:.1f} can be carried: {statuses} (0 is a broken connection). "
        f"{accepted['per_second']:.1f} a second were answered. The clients took "
        f"{accepted['client_cpu']:.2f} of a core; their latest request was "
        f"{accepted['latest_request_ms']:.0f} ms late."
    )


def memory_table(figures: Figures) -> str:
    header = "| after, s | service, MB resident | with decoders, MB |\n|---|---|---|"
    samples = [
        f"| {each['at_s']:.0f} | {each['service']:.0f} | {each['with_decoders']:.0f} |"
        for each in figures["rss_mb"]
    ]
    return "\n".join([header, *samples])


def _row(what: str, ms: dict[str, float]) -> str:
    cells = " | ".join(f"{ms.get(name, 0.0):.0f}" for name in ("p50", "p95", "p99", "max"))
    return f"| {what} | {cells} |"


def goals(figures: Figures) -> list[Goal]:
    late = figures["refused"]
    beside = figures["accepted"]["latency_ms"]["p99"] / figures["at_80"]["latency_ms"]["p99"]
    said = late["with_retry_after"] / max(1, late["count"])
    return [
        Goal("4 × load: 429, p99 since sent", late["since_sent_ms"]["p99"], most=100, unit="ms"),
        Goal("4 × load: 429s with Retry-After", said, least=1),
        Goal("4 × load: accepted, p99 ÷ that at 80 % load", beside, most=3),
        answers_goal(figures),
        memory_goal(figures),
    ]


def answers_goal(figures: Figures) -> Goal:
    """Every upload is good: whatever else it is answered is the service's fault."""
    others = sum(n for status, n in figures["statuses"].items() if status not in {"200", "429"})
    what = f"4 × load for {figures['seconds']:.0f} s: answers other than 200 and 429"
    return Goal(what, others, most=0)


def memory_goal(figures: Figures) -> Goal:
    # From the first sample under load on: before it nothing was worked on yet at that width.
    samples = [each["with_decoders"] for each in figures["rss_mb"]]
    # The last one is of after it.
    what = f"4 × load for {figures['seconds']:.0f} s: most memory ÷ at the first sample"
    return Goal(what, max(samples[1:-1]) / samples[1], most=1.05)


def measure_long(plan: Plan) -> Figures:
    return measure(replace(plan, minutes=LONG_MINUTES))


def long_table(figures: Figures) -> str:
    return f"{offered(figures)}\n\n{memory_table(figures)}"


def long_goals(figures: Figures) -> list[Goal]:
    return [answers_goal(figures), memory_goal(figures)]


OVERLOAD_LONG = Benchmark(
    "overload-10min", "Ten minutes of it", measure_long, long_table, long_goals, when_named=True
)
OVERLOAD = Benchmark("overload", "Four times the load it can carry", measure, table, goals)
