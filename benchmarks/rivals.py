"""`/embed` beside LitServe and BentoML with the same decoding and graph, one worker per core.

Each is measured with and without its batching, as a batch of this network takes a CPU longer than
its windows one by one; the goals compare with the better of the two. Both decode in the process
that answers, without hashing or isolation: a file that crashes the decoder takes the worker down.
They run in a virtual environment of their own, `.venv-bench`, which `make bench` creates.
"""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.embed import warm_and_saturate
from benchmarks.processes import ROOT, SERVICE, Server, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan
from benchmarks.sounds import CLIP_S, NAMES, SONG_S
from benchmarks.wire import multipart

PYTHON = ROOT / ".venv-bench" / "bin" / "python"
BATCH = 8
N_CLIENTS = 8
N_REQUESTS = 80
NAMES_OF = {"litserve": "LitServe", "bentoml": "BentoML"}
VERSIONS = "from importlib.metadata import version; print(version('litserve'), version('bentoml'))"


def _serve(name: str, batched: bool) -> AbstractContextManager[Server]:
    if name == "litserve":
        batch = str(BATCH if batched else 1)
        litserve = ("-m", "benchmarks.rival_litserve", "PORT", batch)
        return serving(*litserve, python=PYTHON, ready="/health")
    target = f"benchmarks.rival_bentoml:{'Batched' if batched else 'Embed'}"
    command = ("-m", "bentoml", "serve", target, "--port", "PORT")
    return serving(*command, python=PYTHON, BENTOML_DO_NOT_TRACK="True", OMP_NUM_THREADS="1")


def measure(plan: Plan) -> Figures:
    """One row for each server, with and without its batching."""
    if not PYTHON.exists():
        raise RuntimeError(f"{PYTHON.parent.parent.name} is missing: run `make bench`")
    litserve, bentoml = subprocess.check_output([PYTHON, "-c", VERSIONS], text=True).split()
    versions = {"litserve": litserve, "bentoml": bentoml}
    with serving(*SERVICE, TASTEPRINT_CACHE_ENTRIES="0") as service:
        rows = [{"server": "service", "batched": None} | _speeds(plan, service)]
        for name in NAMES_OF:
            for batched in (True, False):
                with _serve(name, batched) as server:
                    rows.append({"server": name, "batched": batched} | _speeds(plan, server))
                print(_row(rows[-1]), flush=True)
        # Measured first and last, so that a machine that slows down favours neither server.
        again = _speeds(plan, service)
    rows[0] |= {length: (rows[0][length] + again[length]) / 2 for length in NAMES.values()}
    return {"versions": versions, "rows": rows}


def _speeds(plan: Plan, server: Server) -> dict[str, Any]:
    speeds = {}
    for seconds in (CLIP_S, SONG_S):
        requests = list(map(multipart, plan.sounds.different("mp3", seconds, 3 * N_CLIENTS)))
        seen = warm_and_saturate(server, requests, plan.of(N_REQUESTS, 6), N_CLIENTS)
        if seen.failed:
            raise RuntimeError(f"{seen.failed} of {len(seen.outcomes)} failed")
        speeds[NAMES[seconds]] = seen.per_second
    return speeds


def _row(row: Figures) -> str:
    name = NAMES_OF.get(row["server"], "the service")
    how = {None: "its own", True: f"up to {BATCH}", False: "off"}[row["batched"]]
    cells = " | ".join(f"{row[length]:.1f}" for length in NAMES.values())
    return f"| {name} | {how} | {cells} |"


def table(figures: Figures) -> str:
    versions = ", ".join(
        f"{NAMES_OF[name]} {version}" for name, version in figures["versions"].items()
    )
    header = "| | batching | " + " | ".join(f"{name}s, MP3/s" for name in NAMES.values())
    rows = map(_row, figures["rows"])
    return "\n".join([f"{versions}.\n", f"{header} |", "|---|---|---|---|", *rows])


def goals(figures: Figures) -> list[Goal]:
    service, *others = figures["rows"]
    found = []
    for name, title in NAMES_OF.items():
        for length in NAMES.values():
            best = max(row[length] for row in others if row["server"] == name)
            goal = f"{length}s, MP3: `/embed` ÷ {title}"
            found.append(Goal(goal, service[length] / best, min=1))
    return found


RIVALS = Benchmark("rivals", "LitServe and BentoML", measure, table, goals)
