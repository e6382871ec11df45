"""Listening logs at size: Parquet to a sparse matrix, and ALS beside `implicit` alone.

    python -m benchmarks.training.logs                     # 100 M rows
    python -m benchmarks.training.logs --rows 1000000 --no-keep

Rows are drawn by power laws, with the paper's numbers of rows a user and an item (991 M rows of 5 M
users and 2.5 M items). Users are integers, and items text. Every stage runs in a process of its
own, whose peak memory is that stage's. Not part of `make bench`: it takes minutes, and gigabytes of
disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from benchmarks.machine import describe, machine
from benchmarks.processes import ROOT
from benchmarks.result import RESULTS, Figures, Goal, rounded

RESULT = RESULTS / "logs.json"
PACKAGES = ("pyarrow", "scipy", "implicit", "numpy")
PAPER_ROWS, PAPER_USERS, PAPER_ITEMS = 991_000_000, 5_000_000, 2_500_000
# Density of a rank: rank to the power of minus this.
USER_EXPONENT, ITEM_EXPONENT = 0.5, 0.8
ROW_GROUP = 1_000_000
FILES = 4
REPEATS = 2
GOAL_ROWS, GOAL_SECONDS, GOAL_GB, GOAL_RATIO = 100_000_000, 60.0, 3.0, 1.05


def make_rows(folder: Path, n_rows: int) -> None:
    """Parquet files of `user_id`, int64, and `item_id`, text, in random order."""
    rng = np.random.default_rng(0)
    n_users = max(2, n_rows * PAPER_USERS // PAPER_ROWS)
    n_items = max(2, n_rows * PAPER_ITEMS // PAPER_ROWS)
    folder.mkdir()
    writers: list[pq.ParquetWriter] = []
    for number, start in enumerate(range(0, n_rows, ROW_GROUP)):
        count = min(ROW_GROUP, n_rows - start)
        users = _draw(rng, n_users, USER_EXPONENT, count) * 7919 % 1_000_000_007
        items = _draw(rng, n_items, ITEM_EXPONENT, count) * 104_729 % 1_000_000_007
        names = pc.binary_join_element_wise("song", pa.array(items).cast(pa.string()), "-")
        table = pa.table({"user_id": users, "item_id": names})
        if len(writers) < FILES:
            path = folder / f"part-{number}.parquet"
            writers.append(pq.ParquetWriter(path, table.schema))
        writers[number % FILES].write_table(table)
    for writer in writers:
        writer.close()


def _draw(
    rng: np.random.Generator, n: int, exponent: float, count: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Ranks below `n` with a density of rank^-exponent."""
    return np.asarray((n * rng.random(count) ** (1 / (1 - exponent))).astype(np.int64))


def read(logs: Path, out: Path) -> Figures:
    """Read the logs by the project's reader, and keep the matrix for the other stages."""
    from training.cf.logs import read_logs

    before = _usage()
    found = read_logs(logs)
    figures = _usage(before) | {
        "rows": found.report["rows_read"],
        "entries": found.user_items.nnz,
        "users": len(found.users),
        "items": len(found.items),
    }
    np.savez(
        out,
        indptr=found.user_items.indptr,
        indices=found.user_items.indices,
        shape=found.user_items.shape,
    )
    return figures


def factorize(matrix: Path, iterations: int, *, alone: bool) -> Figures:
    """ALS of the matrix by the project, or by `implicit` alone, with the same settings."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    from training.cf.als import factorize
    from training.cf.logs import Logs
    from training.cf.models import new_model
    from training.cf.settings import AlsSettings

    parts = np.load(matrix)
    data = np.ones(len(parts["indices"]), np.float32)
    user_items = sparse.csr_matrix((data, parts["indices"], parts["indptr"]), tuple(parts["shape"]))
    settings = AlsSettings(iterations=iterations)
    n_users, n_items = user_items.shape
    before = _usage()
    if alone:
        with threadpool_limits(1, "blas"):
            new_model(settings).fit(user_items, show_progress=False)
    else:
        ids = pd.RangeIndex(n_users), pd.RangeIndex(n_items)
        factorize(Logs(user_items, *ids, {}), settings, check=False)
    return _usage(before)


def _usage(before: Figures | None = None) -> Figures:
    """Seconds and seconds of CPU, since `before`, and the peak of memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures: Figures = {
        "s": time.perf_counter(),
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }
    if before:
        figures |= {name: figures[name] - before[name] for name in ("s", "cpu_s")}
        figures["import_bytes"] = before["peak_bytes"]
    return figures


def measure(n_rows: int, iterations: int, folder: Path) -> Figures:
    make_rows(folder / "logs", n_rows)
    n_bytes = sum(file.stat().st_size for file in (folder / "logs").iterdir())
    figures: Figures = {"parquet_bytes": n_bytes, "iterations": iterations}
    figures["read"] = _run("read", folder)
    for name in ("ours", "alone"):
        figures[name] = []
    for _ in range(REPEATS):  # in turns, as the load of other processes changes
        for name in ("ours", "alone"):
            figures[name].append(_run(name, folder, iterations))
    return figures


def _run(stage: str, folder: Path, iterations: int = 0) -> Figures:
    command = [sys.executable, "-m", "benchmarks.training.logs", "--stage", stage]
    command += ["--folder", str(folder), "--iterations", str(iterations)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{stage}: {found['s']:.1f} s, {found['cpu_s']:.1f} s of CPU", flush=True)
    return found


def run_stage(stage: str, folder: Path, iterations: int) -> Figures:
    if stage == "read":
        return read(folder / "logs", folder / "matrix.npz")
    return factorize(folder / "matrix.npz", iterations, alone=stage == "alone")


def table(figures: Figures) -> str:
    """The figures, and what they project to at the paper's number of rows."""
    found = figures["read"]
    rows, scale = found["rows"], PAPER_ROWS / found["rows"]
    of_row = (found["peak_bytes"] - found["import_bytes"]) / rows
    ours, alone = (min(run["s"] for run in figures[name]) for name in ("ours", "alone"))
    iteration = ours / figures["iterations"]
    lines = [
        "| | measured | projected to 991 M rows |",
        "|---|---|---|",
        f"| rows (entries, users, items) | {rows / 1e6:.0f} M ({found['entries'] / 1e6:.1f} M, "
        f"{found['users'] / 1e3:.0f} k, {found['items'] / 1e3:.0f} k) | 991 M |",
        f"| Parquet to CSR | {found['s']:.1f} s, {found['cpu_s']:.1f} s of CPU: "
        f"{rows / found['s'] / 1e6:.2f} M rows/s | {found['s'] * scale / 60:.0f} min |",
        f"| peak memory of that | {found['peak_bytes'] / 1e9:.2f} GB: {of_row:.1f} bytes a row "
        f"over the imports | {(found['import_bytes'] + of_row * PAPER_ROWS) / 1e9:.1f} GB |",
        f"| an iteration of ALS, 40 factors | {iteration:.2f} s (`implicit` alone "
        f"{alone / figures['iterations']:.2f} s) | {iteration * scale / 60:.1f} min |",
    ]
    return "\n".join(lines)


def goals(figures: Figures) -> list[Goal]:
    """Goals at the size that they are stated for; of ALS, by CPU time, which load changes less."""
    found = figures["read"]
    ours, alone = (min(run["cpu_s"] for run in figures[name]) for name in ("ours", "alone"))
    stated = [Goal("ALS by `implicit` alone, CPU time", ours / alone, max=GOAL_RATIO)]
    if found["rows"] >= GOAL_ROWS:
        seconds = found["s"] * GOAL_ROWS / found["rows"]
        stated.insert(0, Goal("100 M rows to CSR", seconds, max=GOAL_SECONDS, unit="s"))
        stated.insert(1, Goal("its peak", found["peak_bytes"] / 1e9, max=GOAL_GB, unit="GB"))
    return stated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=GOAL_ROWS)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--no-keep", action="store_true", help="print the figures, and keep none")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps(run_stage(given.stage, given.folder, given.iterations)))
        return
    facts = machine("benchmarks.training.logs", PACKAGES)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        figures = {"machine": facts} | measure(given.rows, given.iterations, Path(folder))
    if not given.no_keep:
        RESULT.write_text(json.dumps(rounded(figures), indent=1) + "\n")
    print(f"\n{describe(facts)}\n\n{table(figures)}\n")
    for goal in goals(figures):
        print(goal.row())


if __name__ == "__main__":
    main()
