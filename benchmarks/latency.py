"""Latency at 50 % and 80 % of what the service can carry: an open loop of 30 s clips."""

from __future__ import annotations

import re

from benchmarks.load import Seen, arrive, saturate
from benchmarks.processes import SERVICE, Server, serving
from benchmarks.result import Benchmark, Figures, Plan
from benchmarks.sounds import CLIP_S
from benchmarks.wire import fetch, multipart

# Keeps every lane and decoder busy, with as much again waiting.
N_CLIENTS = 8
N_SATURATE, N_WARM = 200, 20
# Many more than are under way at once: no two of the same meet.
N_UPLOADS = 200
SECONDS = 25.0
BUCKET = re.compile(
    r'^tasteprint_batch_windows_bucket\{le="([^"]+)",model="cf-estimator"\} (\S+)', re.MULTILINE
)


def saturation(plan: Plan, service: Server, requests: list[bytes]) -> Seen:
    """As many requests a second as it answers, once it is warm."""
    saturate(service.port, requests, plan.of(N_WARM, 4), N_CLIENTS)
    return saturate(service.port, requests, plan.of(N_SATURATE, 10), N_CLIENTS)


def uploads(plan: Plan) -> list[bytes]:
    return list(map(multipart, plan.sounds.different("mp3", CLIP_S, N_UPLOADS)))


def at_load(seen: Seen) -> Figures:
    return {
        "asked": len(seen.outcomes),
        "failed": seen.failed,
        "latency_ms": seen.latencies_ms(),
        "latest_request_ms": seen.late_ms,
        "client_cpu": seen.client_cpu_s / seen.elapsed_s,
    }


def measure(plan: Plan) -> Figures:
    seconds = 2.0 if plan.quick else SECONDS
    requests = uploads(plan)
    with serving(*SERVICE, TASTEPRINT_CACHE_ENTRIES="0") as service:
        most = saturation(plan, service, requests).per_second
        rows = []
        for share in (0.5, 0.8):
            seen = arrive(service.port, requests, share * most, seconds)
            rows.append({"load": share, "per_second": share * most} | at_load(seen))
            print(_row(rows[-1]), flush=True)
        return {"saturation_per_s": most, "rows": rows, "batches": batches(service)}


def batches(service: Server) -> dict[str, int]:
    """Runs of the model by how many windows they had, from `/metrics`."""
    scrape = fetch(service.port, "/metrics")
    assert scrape is not None
    below, counts = 0, {}
    for most, cumulative in BUCKET.findall(scrape.body.decode()):
        if count := int(float(cumulative)) - below:
            counts[most] = count
        below = int(float(cumulative))
    return counts


HEADER = (
    "| load | requests/s | p50, ms | p95, ms | p99, ms | longest, ms | not answered "
    "| latest request, ms |\n|---|---|---|---|---|---|---|---|"
)


def _row(row: Figures) -> str:
    ms = [row["latency_ms"].get(name, 0.0) for name in ("p50", "p95", "p99", "max")]
    cells = " | ".join(f"{each:.0f}" for each in ms)
    return (
        f"| {row['load']:.0%} | {row['per_second']:.1f} | {cells} "
        f"| {row['failed']} of {row['asked']} | {row['latest_request_ms']:.1f} |"
    )


def table(figures: Figures) -> str:
    runs = ", ".join(f"{count} of up to {most}" for most, count in figures["batches"].items())
    return "\n".join(
        [
            f"Saturation {figures['saturation_per_s']:.1f} requests/s; runs of the model by their "
            f"windows: {runs}.\n",
            HEADER,
            *map(_row, figures["rows"]),
        ]
    )


LATENCY = Benchmark("latency", "Latency by load", measure, table)
