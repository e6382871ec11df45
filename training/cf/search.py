"""Search of hyperparameters of the factorisation by held-out entries; resumable."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import pandas as pd
from implicit.cpu.als import AlternatingLeastSquares
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy import sparse
from threadpoolctl import threadpool_limits

from models.spark import SparkOptions
from training.cf.engines import fit_factors
from training.cf.logs import Logs
from training.cf.models import fit_model, model_of
from training.cf.ranking import hold_out, rank_held_out
from training.cf.settings import AlsSettings, Engine, SearchGrid
from training.errors import NothingToSearch, OtherRun

SEARCH, FIGURE, RECORDS = "search.csv", "search.svg", "search.jsonl"
KS = (10, 50)
CHOICE = "ndcg_at_10"
Record = dict[str, Any]


def search(
    logs: Logs,
    settings: AlsSettings,
    grid: SearchGrid,
    out: Path,
    *,
    engine: Engine = Engine.IMPLICIT,
    spark: SparkOptions | None = None,
    on_fit: Callable[[Record], None] = lambda record: None,
) -> AlsSettings:
    """The settings with the best nDCG@10 of held-out entries; the others are those given.

    `out` receives a table of all fits and a figure. Fits of an earlier search of the same logs are
    not made again.

    Parameters
    ----------
    on_fit : called with the measures of each combination of values

    Raises
    ------
    NothingToSearch
    OtherRun
        If `out` holds a search of other logs or settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    training, held_out = hold_out(logs, settings.seed)
    identity = _identify(logs, settings, engine)
    records = _read_records(out, identity)
    with (out / RECORDS).open("a") as log:
        for found in records:
            on_fit(found)
        done = {_name(record) for record in records}
        for penalty, alpha in _list_todo(grid, done):
            chosen = replace(settings, regularization=penalty, alpha=alpha)
            for record in _fit(training, held_out, chosen, grid, engine, spark):
                if _name(record) in done:
                    continue
                log.write(json.dumps({"identity": identity} | record) + "\n")
                log.flush()
                records.append(record)
                on_fit(record)
    table = pd.DataFrame(records).sort_values(CHOICE, ascending=False, kind="stable")
    table.to_csv(out / SEARCH, index=False, float_format="%.6g")
    draw_search(table, out / FIGURE)
    best = table.iloc[0]
    return replace(
        settings,
        regularization=float(best["regularization"]),
        alpha=float(best["alpha"]),
        iterations=int(best["iterations"]),
    )


def _name(record: Record) -> tuple[float, float, int]:
    return record["regularization"], record["alpha"], record["iterations"]


def _list_todo(
    grid: SearchGrid, done: Collection[tuple[float, float, int]]
) -> list[tuple[float, float]]:
    """Combinations of penalty and alpha of which not all numbers of iterations are done."""
    return [
        (penalty, alpha)
        for penalty, alpha in product(grid.regularization, grid.alpha)
        if any((penalty, alpha, number) not in done for number in grid.iterations)
    ]


def _fit(
    training: sparse.csr_matrix,
    held_out: sparse.csr_matrix,
    settings: AlsSettings,
    grid: SearchGrid,
    engine: Engine,
    spark: SparkOptions | None,
) -> list[Record]:
    """One record for each number of iterations; by `implicit` on the CPU all of one fit."""
    began, records = time.perf_counter(), []

    def measure(model: AlternatingLeastSquares, iterations: int) -> None:
        if iterations not in grid.iterations:
            return
        seconds = time.perf_counter() - began
        found = rank_held_out(model, training, held_out, KS, settings.seed)
        if not found:
            raise NothingToSearch(training.shape[0], training.nnz)
        chosen = replace(settings, iterations=iterations)
        named = {name: getattr(chosen, name) for name in ("regularization", "alpha", "iterations")}
        records.append(named | found | {"seconds": round(seconds, 3)})

    with threadpool_limits(1, "blas"):
        if engine is Engine.IMPLICIT:
            fit_model(training, replace(settings, iterations=max(grid.iterations)), measure)
        else:
            for number in grid.iterations:
                began, chosen = time.perf_counter(), replace(settings, iterations=number)
                factors = fit_factors(training, chosen, engine, spark)
                measure(model_of(chosen, *factors), number)
    return records


def _identify(logs: Logs, settings: AlsSettings, engine: Engine) -> str:
    """Digest of the logs and of what is not searched."""
    fixed = replace(settings, regularization=0, alpha=0, iterations=0)
    described = json.dumps([asdict(fixed), engine.value, logs.report], sort_keys=True)
    digest = hashlib.sha256(described.encode())
    for part in (logs.user_items.indptr, logs.user_items.indices, logs.user_items.data):
        digest.update(part.data)
    return digest.hexdigest()


def _read_records(out: Path, identity: str) -> list[Record]:
    """Records of an earlier search; a last line that was cut off is left out."""
    if not (out / RECORDS).exists():
        return []
    content = (out / RECORDS).read_text()
    whole = content[: content.rfind("\n") + 1]
    (out / RECORDS).write_text(whole)
    records = [json.loads(line) for line in whole.splitlines()]
    if any(record.pop("identity") != identity for record in records):
        raise OtherRun(out)
    return records


def draw_search(table: pd.DataFrame, path: Path) -> None:
    """Draw nDCG@10 and recall@50 by penalty, a line for each alpha, and nDCG@10 by iterations."""
    best = table.sort_values(CHOICE).groupby(["alpha", "regularization"], as_index=False).last()
    of_best = table.merge(table.iloc[:1][["alpha", "regularization"]])
    with matplotlib.rc_context({"svg.hashsalt": "tasteprint"}):  # reproducible files
        figure, axes = plt.subplots(1, 3, figsize=(12, 3.2))
        for axis, measure in zip(axes, (CHOICE, "recall_at_50"), strict=False):
            for alpha, rows in best.groupby("alpha"):
                rows = rows.sort_values("regularization")
                axis.plot(
                    rows["regularization"], rows[measure], marker=".", label=f"alpha {alpha:g}"
                )
            axis.set_xscale("log")
            _label(axis, "regularization", measure)
        rows = of_best.sort_values("iterations")
        axes[2].plot(rows["iterations"], rows[CHOICE], marker=".", label="the best of these")
        _label(axes[2], "iterations", CHOICE)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _label(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y.replace("_at_", "@").replace("ndcg", "nDCG"), fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
