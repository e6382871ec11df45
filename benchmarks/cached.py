"""Cached answers, beside a bare FastAPI endpoint that receives and hashes the same upload.

Measured in turns, the best of each. Both log one line per request, as by default.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.load import saturate
from benchmarks.processes import SERVICE, Server, Shares, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan
from benchmarks.sounds import CLIP_S, NAMES, SONG_S
from benchmarks.wire import multipart, post

N_CLIENTS = 4
N_REQUESTS = {CLIP_S: 1200, SONG_S: 200}
ROUNDS = 3


def measure(plan: Plan) -> Figures:
    """One row for each length and way of sending."""
    bare = ("-m", "uvicorn", "benchmarks.bare:app", "--port", "PORT")
    rows = []
    with (
        serving(*SERVICE) as service,
        serving(*bare, ready="/openapi.json") as plain,
    ):
        for seconds in (CLIP_S, SONG_S):
            contents = plan.sounds.contents("mp3", seconds)
            count = plan.of(N_REQUESTS[seconds], 20)
            for how in ("multipart", "raw"):
                make = multipart if how == "multipart" else post
                to_service = [make(content, "/embed") for content in contents]
                to_bare = [make(content, f"/{how}") for content in contents]
                saturate(service.port, to_service, 2 * len(contents), 1)
                row = _row(plan, service, plain, (to_service, to_bare), count)
                rows.append({"length": NAMES[seconds], "how": how} | row)
                print(_table_row(rows[-1]), flush=True)
    return {"rows": rows}


def _row(
    plan: Plan,
    service: Server,
    plain: Server,
    requests: tuple[list[bytes], list[bytes]],
    count: int,
) -> Figures:
    cached, bare = [], []
    for _ in range(plan.of(ROUNDS, 1)):
        before = service.cpu_s()
        seen = saturate(service.port, requests[0], count, N_CLIENTS)
        cached.append((seen, Shares.of(seen, before, service.cpu_s())))
        before = plain.cpu_s()
        seen = saturate(plain.port, requests[1], count, N_CLIENTS)
        bare.append((seen, Shares.of(seen, before, plain.cpu_s())))
    best, shares = max(cached, key=lambda run: run[0].per_second)
    limit, limit_shares = max(bare, key=lambda run: run[0].per_second)
    return {
        "cached_per_s": best.per_second,
        "failed": best.failed + limit.failed,
        "bare_per_s": limit.per_second,
        "shares": asdict(shares),
        "bare_shares": asdict(limit_shares),
    }


HEADER = (
    "| | sent as | cached hits/s | bare endpoint/s | ratio | CPU: clients | service "
    "| bare: clients | bare: endpoint |\n|---|---|---|---|---|---|---|---|---|"
)


def _table_row(row: dict[str, Any]) -> str:
    cached, bare = row["cached_per_s"], row["bare_per_s"]
    shares = [
        row[name][part] for name in ("shares", "bare_shares") for part in ("client", "server")
    ]
    cells = " | ".join(f"{share:.0%}" for share in shares)
    speeds = f"{cached:.0f} | {bare:.0f} | {cached / bare:.2f}"
    return f"| {row['length']} | {row['how']} | {speeds} | {cells} |"


def table(figures: Figures) -> str:
    return "\n".join([HEADER, *map(_table_row, figures["rows"])])


def goals(figures: Figures) -> list[Goal]:
    return [
        Goal(
            f"{row['length']}s, {row['how']}: cached hits ÷ bare endpoint",
            row["cached_per_s"] / row["bare_per_s"],
            min=0.85,
        )
        for row in figures["rows"]
    ]


CACHED = Benchmark("cached", "Cached answers", measure, table, goals)
