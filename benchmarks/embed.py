"""Throughput of `/embed` when saturated, beside this machine's limit and a baseline server.

30 s clips and 4-minute songs in four formats, all in one run, nothing cached:

- *service*: requests per second over HTTP;
- *in process*: the same decoding and session on every core without HTTP, the machine's limit;
- *received, in process*: as before, with each upload read from a socket and hashed first
  (`benchmarks.limit`);
- *baseline*: FastAPI, `librosa.load` and eager torch with the same weights (`benchmarks.baseline`).
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.limit import Embedder
from benchmarks.load import Seen, saturate
from benchmarks.processes import N_CORES, SERVICE, Server, Shares, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan
from benchmarks.sounds import CLIP_S, NAMES, SONG_S
from benchmarks.wire import multipart, post
from models.malloc import keep_freed_memory

FORMATS = ("mp3", "flac", "wav", "m4a")
UNREADABLE = "m4a"  # to librosa
# Keeps every core busy: some clients send while others are answered.
N_CLIENTS = 4 * N_CORES
N_SERVICE, N_AFTERNOON, N_WARM = 90, 20, 8
ROUNDS = 2
STAGES = ("upload", "decode", "queue", "infer")

_embedder: Embedder


def _start_worker() -> None:
    global _embedder
    keep_freed_memory()  # as the service's decoders do
    _embedder = Embedder()


def _embed_in_process(path: Path) -> None:
    _embedder.embed(path)


def in_process(files: list[Path], n_files: int, pool: Any) -> float:
    """Files per second with one process per core, without HTTP and without a queue."""
    pool.map(_embed_in_process, (files * N_WARM)[:N_WARM], chunksize=1)
    work = (files * n_files)[:n_files]
    started = time.perf_counter()
    pool.map(_embed_in_process, work, chunksize=1)
    return len(work) / (time.perf_counter() - started)


def warm_and_saturate(server: Server, requests: list[bytes], count: int, clients: int) -> Seen:
    saturate(server.port, requests, min(N_WARM, count), clients)
    return saturate(server.port, requests, count, clients)


def measure(plan: Plan) -> Figures:
    """One row per format and length."""
    baseline = ("-m", "uvicorn", "benchmarks.baseline:app", "--port", "PORT")
    rows = []
    with (
        serving(*SERVICE, TASTEPRINT_CACHE_ENTRIES="0") as service,
        serving("-m", "benchmarks.limit", "PORT", ready="/") as limit,
        serving(*baseline, "--log-level", "error", ready="/openapi.json") as plain,
        multiprocessing.get_context("spawn").Pool(N_CORES, _start_worker) as pool,
    ):
        for seconds in (CLIP_S, SONG_S):
            for kind in FORMATS[: plan.of(len(FORMATS), 1)]:
                files = plan.sounds.files(kind, seconds)
                # More uploads than clients, so that no two concurrent requests share a computation.
                uploads = plan.sounds.different(kind, seconds, 3 * N_CLIENTS)
                row = _row(plan, files, uploads, service, limit, pool)
                row |= {"length": NAMES[seconds], "format": kind, "afternoon_per_s": None}
                if kind != UNREADABLE:
                    row["afternoon_per_s"] = _baseline(plan, uploads, plain)
                rows.append(row)
                print(table_row(row), flush=True)
                if kind != "mp3":
                    plan.sounds.forget(kind, seconds)
    return {"rows": rows}


def _row(
    plan: Plan,
    files: list[Path],
    uploads: list[bytes],
    service: Server,
    limit: Server,
    pool: Any,
) -> Figures:
    """The service and both limits, alternating; the best of each, as load only slows a run."""
    count = plan.of(N_SERVICE, 6)
    served, in_process_s, received_s = [], [], []
    for _ in range(plan.of(ROUNDS, 1)):
        before = service.cpu_s()
        seen = warm_and_saturate(service, list(map(multipart, uploads)), count, N_CLIENTS)
        # Includes the warm-up, which sends as many requests.
        warmed = (count + min(N_WARM, count)) / count
        served.append((seen, _shares(seen, before, service.cpu_s(), warmed)))
        in_process_s.append(in_process(files, count, pool))
        raw = list(map(post, uploads))
        received_s.append(warm_and_saturate(limit, raw, count, N_CORES).per_second)
    best, shares = max(served, key=lambda run: run[0].per_second)
    if "shared" in best.stages_ms:
        raise RuntimeError("two requests shared a computation, so the service was not saturated")
    return {
        "upload_mb": len(uploads[0]) / 1e6,
        "service_per_s": best.per_second,
        "service_failed": best.failed,
        "stages_ms": best.stages_ms,
        "shares": asdict(shares),
        "limit_per_s": max(in_process_s),
        "received_per_s": max(received_s),
    }


def _shares(
    seen: Seen, before: tuple[float, float], after: tuple[float, float], warmed: float
) -> Shares:
    own = tuple(then + (now - then) / warmed for now, then in zip(after, before, strict=True))
    return Shares.of(seen, before, (own[0], own[1]))


def _baseline(plan: Plan, uploads: list[bytes], plain: Server) -> float:
    requests = list(map(multipart, uploads))
    seen = warm_and_saturate(plain, requests, plan.of(N_AFTERNOON, 4), N_CLIENTS)
    if seen.failed:
        raise RuntimeError("the baseline server failed")
    return seen.per_second


HEADER = (
    "| | format | service, requests/s | ÷ in process | ÷ received, in process "
    "| × baseline | time in upload, decode, queue, infer |\n|---|---|---|---|---|---|---|"
)


def table_row(row: Figures) -> str:
    served, plain = row["service_per_s"], row["afternoon_per_s"]
    stages_ms = [row["stages_ms"].get(stage, 0.0) for stage in STAGES]
    shares = ", ".join(f"{ms / sum(stages_ms):.0%}" for ms in stages_ms)
    ratio = f"{served / plain:.1f}" if plain else "cannot decode it"
    return (
        f"| {row['length']} | {row['format']} | {served:.1f} | {served / row['limit_per_s']:.2f} "
        f"| {served / row['received_per_s']:.2f} | {ratio} | {shares} |"
    )


def main_table(figures: Figures) -> str:
    return "\n".join([HEADER, *map(table_row, figures["rows"])])


CPU_HEADER = (
    "| | format | upload, MB | service/s | in process/s | received, in process/s | baseline/s "
    "| CPU: clients | service process | decoders | idle |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def _cpu_row(row: Figures) -> str:
    plain = f"{row['afternoon_per_s']:.1f}" if row["afternoon_per_s"] else "–"
    shares = row["shares"]
    parts = [shares["client"], shares["server"], shares["workers"]]
    cells = " | ".join(f"{part:.0%}" for part in [*parts, max(0.0, 1 - sum(parts))])
    return (
        f"| {row['length']} | {row['format']} | {row['upload_mb']:.1f} "
        f"| {row['service_per_s']:.1f} | {row['limit_per_s']:.1f} "
        f"| {row['received_per_s']:.1f} | {plain} | {cells} |"
    )


def table(figures: Figures) -> str:
    """Two tables: the ratios, and the underlying figures."""
    return "\n\n".join(
        [main_table(figures), "\n".join([CPU_HEADER, *map(_cpu_row, figures["rows"])])]
    )


def goals(figures: Figures) -> list[Goal]:
    rows: dict[tuple[str, str], Any] = {
        (row["length"], row["format"]): row for row in figures["rows"]
    }
    found = []
    for length in NAMES.values():
        row = rows[length, "mp3"]
        served = row["service_per_s"]
        prefix = f"{length}s, MP3: `/embed` ÷ "
        floor = 2.5 if length == NAMES[CLIP_S] else 8
        found += [
            Goal(f"{prefix}in process on all cores", served / row["limit_per_s"], min=0.9),
            Goal(f"{prefix}baseline server", served / row["afternoon_per_s"], min=floor),
        ]
    return found


EMBED = Benchmark("embed", "Saturated `/embed`", measure, table, goals)
