"""The grid of methods, widths, folds and seeds: one results file a run, none done twice."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from models.bundle import Bundle, read
from training.datasets.prepared import TaskData
from training.errors import BadCrop, BadFold, BadTransfer, OtherRun, UnknownMethod
from training.export.reload import load_network_from_bundle
from training.networks.base import trained_crop_s
from training.networks.registry import class_of_card
from training.transfer.baselines import BASELINES, UNTRAINED, fit_baseline
from training.transfer.encoder_outputs import bundle_outputs, hear, require_encoder
from training.transfer.results import Cell, Result, _held_out, to_result, write_result
from training.transfer.train import METHODS, TransferSettings, train, used_settings


def grid(methods: list[str], widths: list[int], folds: list[int], seeds: list[int]) -> list[Cell]:
    """Every run, seeds outermost: a grid that is stopped has whole rounds of all methods.

    A baseline that has neither width nor seed is run at the first of each.
    """
    cells = [Cell(*each) for each in product(methods, widths, folds, seeds)]
    wanted = [
        cell
        for cell in cells
        if cell.method in (*METHODS, UNTRAINED) or (cell.width, cell.seed) == (widths[0], seeds[0])
    ]
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
    BadFold, UnknownMethod, BadTeacher, BadTransfer, BadCrop, OtherRun
    """
    data, source = TaskData.load(task), read(teacher)
    folder = out / data.facts.name
    _check(data, source, cells, settings)
    todo = [cell for cell in cells if not _is_done(folder, cell, settings, data, source)]
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


def _check(data: TaskData, source: Bundle, cells: list[Cell], settings: TransferSettings) -> None:
    """Refuse before the first run what would fail at its turn."""
    require_encoder(source, data)
    width = source.card.output_shape("features")[0]
    for cell in cells:
        if cell.method not in (*METHODS, *BASELINES):
            raise UnknownMethod(cell.method, (*METHODS, *BASELINES))
        if not 0 <= cell.fold < data.n_folds:
            raise BadFold(cell.fold, data.n_folds)
        if cell.method in ("init", "fix") and cell.width != width:
            raise BadTransfer(cell.method, cell.width, width)
    segment_s = trained_crop_s(source.card)
    window_s = source.card.audio.window_s
    crop_samples = class_of_card(source.card).crop_samples
    crop, segment = crop_samples(settings.crop_s), crop_samples(segment_s)
    heard_in_part = segment and any(cell.method == "init" for cell in cells)
    if settings.crop_s > window_s or (heard_in_part and crop % segment):
        raise BadCrop(settings.crop_s, segment_s or window_s, window_s)


def _is_done(
    folder: Path, cell: Cell, settings: TransferSettings, data: TaskData, teacher: Bundle
) -> bool:
    """Whether a run has its results file.

    Raises
    ------
    OtherRun
        Where it is of other settings, another teacher, or other tracks or labels.
    """
    path = folder / cell.file
    if not path.exists():
        return False
    known = Result.model_validate_json(path.read_bytes())
    wanted = used_settings(_settings_of(cell, settings)) if cell.method in METHODS else {}
    changed = {name for name in wanted if known.settings.get(name) != wanted[name]}
    tracks, answers = _held_out(data, cell.fold)
    same_data = (known.tracks, known.answers) == (tracks, answers.round(4).tolist())
    same_teacher = known.teacher == _teacher_of(cell.method, teacher)
    if changed - {"accelerator", "devices", "workers"} or not same_data or not same_teacher:
        raise OtherRun(path)
    return True


def _teacher_of(method: str, source: Bundle) -> str | None:
    """The digest of the bundle that a method hears, None where it hears none."""
    hears = ("embedding", "features")
    baseline = method in BASELINES and BASELINES[method][0] in hears
    return source.digest if baseline or method in ("fix", "init", "kd") else None


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
    _check(data, source, [cell], settings)
    started = time.perf_counter()
    if cell.method in METHODS:
        run = (folder / cell.file).with_suffix("")
        result = _transfer(data, source, run, cell, settings, resume, show_progress)
        if not keep:
            shutil.rmtree(run, ignore_errors=True)
    else:
        predicted, logits = fit_baseline(
            cell.method, data, source, cell.width, cell.fold, cell.seed
        )
        digest = _teacher_of(cell.method, source)
        result = to_result(data, cell, predicted, logits, teacher=digest)
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
        teacher_digest=source.digest,
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
        teacher=_teacher_of(method, source),
        settings=used_settings(settings),
    )
