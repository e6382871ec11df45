"""Time from the start of `python -m service` to ready, and resident memory."""

from __future__ import annotations

import statistics

from benchmarks.latency import uploads
from benchmarks.load import saturate
from benchmarks.processes import SERVICE, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan

N_STARTS, N_REQUESTS, N_CLIENTS = 5, 150, 8


def measure(plan: Plan) -> Figures:
    starts_s = []
    for _ in range(plan.of(N_STARTS, 1)):
        with serving(*SERVICE) as service:
            starts_s.append(service.ready_s)
            idle = service.rss_mb()
    with serving(*SERVICE, TASTEPRINT_CACHE_ENTRIES="0") as service:
        saturate(service.port, uploads(plan), plan.of(N_REQUESTS, 8), N_CLIENTS)
        loaded = service.rss_mb()
    return {"starts_s": starts_s, "idle_mb": idle, "loaded_mb": loaded}


def table(figures: Figures) -> str:
    starts = ", ".join(f"{seconds:.2f}" for seconds in figures["starts_s"])
    lines = [
        f"Seconds to the first 200 of `/readyz`: {starts}.\n",
        "| resident, MB | service | with decoders |\n|---|---|---|",
    ]
    for name in ("idle", "loaded"):
        alone, together = figures[f"{name}_mb"]
        lines.append(f"| {name} | {alone:.0f} | {together:.0f} |")
    return "\n".join(lines)


def goals(figures: Figures) -> list[Goal]:
    return [Goal("start to ready", statistics.median(figures["starts_s"]), max=3, unit="s")]


START = Benchmark("start", "Start and memory", measure, table, goals)
