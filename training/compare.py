"""The grid of methods, widths, folds and seeds: one results file a run, none done twice."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle, read
from training.graph import load_network_from_bundle
from training.outputs import bundle_outputs, hear
from training.results import Result, score, write_result
from training.task_baselines import SEEDED, fit_baseline
from training.task_data import TaskData
from training.transfer import METHODS, TransferSettings, train


@dataclass(frozen=True)
class Cell:
    """One run of the grid; `method` is a transfer method or one of `BASELINES`."""

    method: str
    width: int
    fold: int
    seed: int

    @property
    def file(self) -> str:
        slug = self.method.lower().replace(" ", "-")
        return f"{slug}-w{self.width}-f{self.fold}-s{self.seed}.json"


def grid(methods: list[str], widths: list[int], folds: list[int], seeds: list[int]) -> list[Cell]:
    """Every run, seeds outermost: a grid that is stopped has whole rounds of all methods."""
    cells = [Cell(*each) for each in product(methods, widths, folds, seeds)]
    wanted = [cell for cell in cells if cell.method in (*METHODS, *SEEDED) or cell.seed == seeds[0]]
    return sorted(wanted, key=lambda cell: (cell.seed, cell.fold))


def compare(
    task: Path,
    teacher: Path,
    out: Path,
    cells: list[Cell],
    settings: TransferSettings,
    *,
    workers: int = 1,
) -> Iterator[Result]:
    """Run what has no results file yet, `workers` at a time, each on its share of the cores.

    Yields
    ------
    The result of each run as it is done; it is in `<out>/<task name>/` by then.
    """
    folder = out / TaskData.load(task).facts.name
    todo = [cell for cell in cells if not (folder / cell.file).exists()]
    threads = max(1, (os.cpu_count() or 1) // workers)
    # Not forked: a child of a process that has used CUDA or its threads can hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        jobs = [pool.submit(run_cell, task, teacher, folder, cell, settings) for cell in todo]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def run_cell(
    task: Path, teacher: Path, folder: Path, cell: Cell, settings: TransferSettings
) -> Result:
    """Train and judge one run, and write its results file."""
    data, source = TaskData.load(task), read(teacher)
    started = time.perf_counter()
    if cell.method in METHODS:
        result = _transfer(data, source, folder, cell, settings)
    else:
        predicted, logits = fit_baseline(
            cell.method, data, source, cell.width, cell.fold, cell.seed
        )
        result = _result(data, cell, predicted, logits)
    result = result.model_copy(update={"seconds": round(time.perf_counter() - started, 1)})
    write_result(folder / cell.file, result)
    return result


def _transfer(
    data: TaskData, source: Bundle, folder: Path, cell: Cell, settings: TransferSettings
) -> Result:
    (method,) = (each for each in METHODS if each == cell.method)
    settings = replace(settings, method=method, width=cell.width, fold=cell.fold, seed=cell.seed)
    run = (folder / cell.file).with_suffix("")
    model = train(
        data,
        run,
        settings,
        teacher=load_network_from_bundle(source) if method in ("init", "fix") else None,
        taught=bundle_outputs(source, data)["embedding"] if method in ("kd", "fix") else None,
        show_progress=False,
    )
    outputs, *_ = hear(model, data, data.rows[data.parts(cell.fold) == "test"])
    shutil.rmtree(run, ignore_errors=True)  # the results file is what remains
    is_classes = data.facts.kind == "classification"
    return _result(
        data,
        cell,
        outputs.argmax(1) if is_classes else outputs,
        outputs if is_classes else None,
        teacher=source.digest if method != "base" else None,
        settings=asdict(settings),
    )


def _result(
    data: TaskData,
    cell: Cell,
    predicted: NDArray[Any],
    logits: NDArray[np.float32] | None,
    **facts: Any,
) -> Result:
    parts = data.parts(cell.fold)
    names, counts = np.unique(parts, return_counts=True)
    answers = data.answers[parts == "test"]
    return Result(
        task=data.facts.name,
        kind=data.facts.kind,
        labels=data.facts.labels,
        **asdict(cell),
        **facts,
        counts=dict(zip(names.tolist(), counts.tolist(), strict=True)),
        metrics=score(data.facts.kind, answers, predicted),
        seconds=0.0,
        tracks=tuple(data.prepared.tracks.loc[parts == "test", "track_id"]),
        answers=answers.round(4).tolist(),
        predicted=predicted.round(4).tolist(),
        logits=None if logits is None else logits.round(4).tolist(),
    )
