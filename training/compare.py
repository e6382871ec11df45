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
from training.errors import BadFold, OtherRun, UnknownMethod
from training.fitting import FREE_TO_CHANGE
from training.graph import load_network_from_bundle
from training.outputs import bundle_outputs, hear
from training.results import Result, score, write_result
from training.task_baselines import BASELINES, SEEDED, fit_baseline
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

    Raises
    ------
    BadFold, UnknownMethod, BadTransfer, OtherRun
    """
    data = TaskData.load(task)
    folder = out / data.facts.name
    for cell in cells:
        if not 0 <= cell.fold < data.n_folds:
            raise BadFold(cell.fold, data.n_folds)
    todo = [cell for cell in cells if not _is_done(folder, cell, settings, read(teacher))]
    if workers == 1:
        for cell in todo:
            yield run_cell(task, teacher, folder, cell, settings)
        return
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


def _is_done(folder: Path, cell: Cell, settings: TransferSettings, teacher: Bundle) -> bool:
    """Whether a run has its results file.

    Raises
    ------
    OtherRun
        Where it is of other settings or another teacher.
    """
    path = folder / cell.file
    if not path.exists():
        return False
    known = Result.model_validate_json(path.read_bytes())
    wanted = asdict(_settings_of(cell, settings)) if cell.method in METHODS else {}
    same = {name for name in wanted if known.settings.get(name) != wanted[name]} <= FREE_TO_CHANGE
    if not same or known.teacher not in (None, teacher.digest):
        raise OtherRun(path)
    return True


def _settings_of(cell: Cell, settings: TransferSettings) -> TransferSettings:
    method = next((each for each in METHODS if each == cell.method), None)
    if method is None:
        raise UnknownMethod(cell.method, (*METHODS, *BASELINES))
    return replace(settings, method=method, width=cell.width, fold=cell.fold, seed=cell.seed)


def run_cell(
    task: Path,
    teacher: Path,
    folder: Path,
    cell: Cell,
    settings: TransferSettings,
    *,
    resume: bool = True,
    keep: bool = False,
    show_progress: bool = False,
) -> Result:
    """Train and judge one run, and write its results file.

    Parameters
    ----------
    keep : leave the checkpoint and the logs beside the results file
    """
    data, source = TaskData.load(task), read(teacher)
    started = time.perf_counter()
    if cell.method in METHODS:
        run = (folder / cell.file).with_suffix("")
        result = _transfer(data, source, run, cell, settings, resume, show_progress)
        if not keep:
            shutil.rmtree(run, ignore_errors=True)
    elif cell.method not in BASELINES:
        raise UnknownMethod(cell.method, (*METHODS, *BASELINES))
    else:
        predicted, logits = fit_baseline(
            cell.method, data, source, cell.width, cell.fold, cell.seed
        )
        result = to_result(data, cell, predicted, logits)
    result = result.model_copy(update={"seconds": round(time.perf_counter() - started, 1)})
    write_result(folder / cell.file, result)
    return result


def _transfer(
    data: TaskData,
    source: Bundle,
    run: Path,
    cell: Cell,
    settings: TransferSettings,
    resume: bool,
    show_progress: bool,
) -> Result:
    settings = _settings_of(cell, settings)
    method = settings.method
    test = data.parts(cell.fold) == "test"
    taught = bundle_outputs(source, data)["embedding"] if method in ("kd", "fix") else None
    model = train(
        data,
        run,
        settings,
        teacher=load_network_from_bundle(source) if method in ("init", "fix") else None,
        taught=taught,
        resume=resume,
        show_progress=show_progress,
    )
    if method == "fix":  # the encoder is the teacher, and has been heard
        assert taught is not None
        outputs = model.output(torch.from_numpy(taught[test])).detach().numpy()
    else:
        outputs, *_ = hear(model, data, data.rows[test])
    is_classes = data.facts.kind == "classification"
    return to_result(
        data,
        cell,
        outputs.argmax(1) if is_classes else outputs,
        outputs if is_classes else None,
        teacher=source.digest if method != "base" else None,
        settings=asdict(settings),
    )


def to_result(
    data: TaskData,
    cell: Cell,
    predicted: NDArray[Any],
    logits: NDArray[np.float32] | None,
    **facts: Any,
) -> Result:
    """What a run said of a fold's test part, and how good that is."""
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
