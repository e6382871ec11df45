"""Latency of 30 s clips at 50 % and 80 % of the saturated throughput, in an open loop."""

from __future__ import annotations

import re

from benchmarks.load import Seen, arrive, saturate
from benchmarks.processes import SERVICE, Server, serving
from benchmarks.result import Benchmark, Figures, Plan
from benchmarks.sounds import CLIP_S
from benchmarks.wire import fetch, multipart

# Keeps every worker and decoder busy, with as many requests waiting.
N_CLIENTS = 8
N_SATURATE, N_WARM = 200, 20
# Many more than are in flight at a time, so that no two equal uploads are concurrent.
N_UPLOADS = 200
SECONDS = 25.0
BUCKET = re.compile(
    r'^tasteprint_batch_windows_bucket\{le="([^"]+)",model="cf-estimator"\} (\S+)', re.MULTILINE
)


def saturation(plan: Plan, service: Server, requests: list[bytes]) -> Seen:
    """Maximum requests per second of the service, after warm-up."""
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
        peak_per_s = saturation(plan, service, requests).per_second
        rows = []
        for share in (0.5, 0.8):
            seen = arrive(service.port, requests, share * peak_per_s, seconds)
            rows.append({"load": share, "per_second": share * peak_per_s} | at_load(seen))
            print(_row(rows[-1]), flush=True)
        return {"saturation_per_s": peak_per_s, "rows": rows, "batches": batches(service)}


def batches(service: Server) -> dict[str, int]:
    """Number of runs of the model by their batch size, from `/metrics`."""
    scrape = fetch(service.port, "/metrics")
    assert scrape is not None
    below, counts = 0, {}
    for size, cumulative in BUCKET.findall(scrape.body.decode()):
        if count := int(float(cumulative)) - below:
            counts[size] = count
        below = int(float(cumulative))
    return counts


HEADER = (
    "| load | requests/s | p50, ms | p95, ms | p99, ms | max, ms | not answered "
    "| client lag, ms |\n|---|---|---|---|---|---|---|---|"
)


def _row(row: Figures) -> str:
    ms = [row["latency_ms"].get(name, 0.0) for name in ("p50", "p95", "p99", "max")]
    cells = " | ".join(f"{value:.0f}" for value in ms)
    return (
        f"| {row['load']:.0%} | {row['per_second']:.1f} | {cells} "
        f"| {row['failed']} of {row['asked']} | {row['latest_request_ms']:.1f} |"
    )


def table(figures: Figures) -> str:
    runs = ", ".join(
        f"{count} of size {float(size):g}" for size, count in figures["batches"].items()
    )
    return "\n".join(
        [
            f"Saturation {figures['saturation_per_s']:.1f} requests/s. Runs of the model by batch "
            f"size: {runs}.\n",
            HEADER,
            *map(_row, figures["rows"]),
        ]
    )


LATENCY = Benchmark("latency", "Latency by load", measure, table)
