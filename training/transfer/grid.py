"""Grid of methods, widths, folds and seeds: one results file per run, none run twice."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import cast

import torch

from models.bundle import Bundle, read
from models.card import Card, Scalar
from training.audio.crop_limit import bad_crop, check_crop_length
from training.datasets.prepared import TaskData
from training.errors import (
    BadDataset,
    BadFold,
    BadTransfer,
    OtherAudio,
    OtherEncoder,
    OtherRun,
    UnknownMethod,
)
from training.export.reload import load_network_from_bundle
from training.networks.base import trained_crop_s, width_of_card
from training.networks.registry import DEFAULT_ENCODER, class_of_card, encoder_class
from training.transfer.baselines import baseline_settings, fit_baseline
from training.transfer.encoder_outputs import bundle_outputs, network_outputs, require_encoder
from training.transfer.evaluation import Prediction, evaluate_fold, held_out
from training.transfer.results import Cell, Result
from training.transfer.settings import (
    BASELINES,
    METHODS,
    UNTRAINED,
    Method,
    TransferSettings,
    used_settings,
)
from training.transfer.train import build_encoder, check_distillation, train


def grid(methods: list[str], widths: list[int], folds: list[int], seeds: list[int]) -> list[Cell]:
    """Every run, seeds outermost: a grid that is stopped has complete rounds of all methods.

    A baseline that depends on neither width nor seed is run at the first of each.
    """
    cells = [Cell(*values) for values in product(methods, widths, folds, seeds)]
    distinct = [
        cell
        for cell in cells
        if cell.method in (*METHODS, UNTRAINED) or (cell.width, cell.seed) == (widths[0], seeds[0])
    ]
    return sorted(distinct, key=lambda cell: (cell.seed, cell.fold))


def compare(
    task: Path,
    teacher: Path,
    out: Path,
    cells: list[Cell],
    settings: TransferSettings,
    *,
    workers: int = 1,
) -> Iterator[Result]:
    """Run the cells that have no results file yet, in parallel, each on its share of the cores.

    Yields
    ------
    Each result when its run is done; its file is in `<out>/<task name>/` by then.

    Raises
    ------
    BadDataset, BadFold, UnknownMethod, UnknownEncoder, BadTeacher, BadTransfer, OtherEncoder,
    OtherEmbedding, OtherAudio, BadCrop, OtherRun
    """
    data, source = TaskData.load(task), read(teacher)
    folder = out / data.facts.name
    settings = _with_embedding_of(source, settings)
    _check(data, source, cells, settings)
    pending = [cell for cell in cells if not _is_done(folder, cell, settings, data, source)]
    if workers == 1:
        for cell in pending:
            yield run_cell(task, teacher, folder, cell, settings)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    # Not forked: the child of a process that has used CUDA or threads can hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        jobs = [pool.submit(run_cell, task, teacher, folder, cell, settings) for cell in pending]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _check(data: TaskData, source: Bundle, cells: list[Cell], settings: TransferSettings) -> None:
    """Refuse, before the first run, every cell that would fail later."""
    if data.facts.kind == "multilabel":
        raise BadDataset(
            data.facts.name,
            "its tracks have several labels each, and transfer methods and baselines are for "
            "classification and regression; choose such a task",
        )
    require_encoder(source, data)
    check_crop_length(settings.crop_s, source.card.audio)
    for cell in cells:
        if cell.method not in (*METHODS, *BASELINES):
            raise UnknownMethod(cell.method, (*METHODS, *BASELINES))
        if not 0 <= cell.fold < data.n_folds:
            raise BadFold(cell.fold, data.n_folds)
        if cell.method in ("init", "fix"):
            _check_teacher_network(source.card, _settings_of(cell, settings))
        if cell.method in ("base", "kd", UNTRAINED):
            _check_audio(data, settings)
        if cell.method == "kd":
            student = build_encoder(_settings_of(cell, settings))
            check_distillation(student, source.card.output_shape("embedding")[0])


def _check_audio(data: TaskData, settings: TransferSettings) -> None:
    """Refuse windows that the student does not take, and crops longer than the windows."""
    encoder = encoder_class(settings.encoder)
    if data.prepared.audio != encoder.audio:
        raise OtherAudio(data.prepared.audio, settings.encoder, encoder.audio)
    encoder.crop_samples(settings.crop_s)


def _check_teacher_network(teacher: Card, settings: TransferSettings) -> None:
    """Refuse settings of `init` and `fix` that do not fit the teacher's network."""
    method, name = settings.method, teacher.architecture or DEFAULT_ENCODER
    if settings.encoder != name:
        raise OtherEncoder(method, settings.encoder, name)
    width = width_of_card(teacher)
    if settings.width != width:
        raise BadTransfer(method, settings.width, width)
    # The features of `init` stay the mean over segments of the length that the teacher has.
    segment_s, crop_samples = trained_crop_s(teacher), class_of_card(teacher).crop_samples
    segment = crop_samples(segment_s)
    if method == "init" and segment and crop_samples(settings.crop_s) % segment:
        raise bad_crop(settings.crop_s, teacher.audio, segment_s)


def _is_done(
    folder: Path, cell: Cell, settings: TransferSettings, data: TaskData, teacher: Bundle
) -> bool:
    """Whether a cell has its results file.

    Raises
    ------
    OtherRun
        Where the file is of other settings, another teacher, or other tracks or labels.
    """
    path = folder / cell.file
    if not path.exists():
        return False
    known = Result.model_validate_json(path.read_bytes())
    used: Mapping[str, Scalar] = (
        used_settings(_settings_of(cell, settings))
        if cell.method in METHODS
        else baseline_settings(cell.method, settings.encoder)
    )
    # These two are stated only where they are not the default.
    names = used.keys() | {"encoder", "embedding_dim"}
    changed = {name for name in names if known.settings.get(name) != used.get(name)}
    tracks, targets = held_out(data, cell.fold)
    same_data = (known.tracks, known.targets) == (tracks, targets.round(4).tolist())
    used_teacher = _teacher_of(cell.method, teacher)
    same_teacher = known.teacher == (used_teacher.digest if used_teacher else None)
    if changed - {"accelerator", "devices", "workers"} or not same_data or not same_teacher:
        raise OtherRun(path)
    return True


def _with_embedding_of(source: Bundle, settings: TransferSettings) -> TransferSettings:
    """The settings with the embedding size of the teacher, which `kd` needs and `base` shares."""
    return replace(settings, embedding_dim=source.card.output_shape("embedding")[0])


def _teacher_of(method: str, source: Bundle) -> Bundle | None:
    """The teacher, None for a method that uses none."""
    is_on_teacher = BASELINES.get(method) in ("embedding", "features")
    return source if is_on_teacher or method in ("fix", "init", "kd") else None


def _settings_of(cell: Cell, settings: TransferSettings) -> TransferSettings:
    method = cast(Method, cell.method)
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
    """Fit and evaluate one cell, and write its results file.

    Parameters
    ----------
    keep : keep the checkpoint and the logs beside the results file
    """
    data, source = TaskData.load(task), read(teacher)
    settings = _with_embedding_of(source, settings)
    _check(data, source, [cell], settings)
    run = (folder / cell.file).with_suffix("")

    def fit_and_predict() -> Prediction:
        if cell.method in METHODS:
            chosen = _settings_of(cell, settings)
            return _fit_transfer(data, source, run, chosen, resume, show_progress)
        return fit_baseline(
            cell.method, data, source, cell.width, cell.fold, cell.seed, settings.encoder
        )

    used_teacher = _teacher_of(cell.method, source)
    result = evaluate_fold(data, cell, folder, fit_and_predict, teacher=used_teacher)
    if not keep:
        shutil.rmtree(run, ignore_errors=True)
    return result


def _fit_transfer(
    data: TaskData,
    source: Bundle,
    run: Path,
    settings: TransferSettings,
    resume: bool,
    show_progress: bool,
) -> Prediction:
    method = settings.method
    test = data.parts(settings.fold) == "test"
    embeddings = bundle_outputs(source, data)["embedding"] if method in ("kd", "fix") else None
    model = train(
        data,
        run,
        settings,
        teacher=load_network_from_bundle(source) if method in ("init", "fix") else None,
        teacher_embeddings=embeddings,
        teacher_digest=source.digest,
        resume=resume,
        show_progress=show_progress,
    )
    if method == "fix":  # its encoder is the teacher, whose embeddings are known
        assert embeddings is not None
        outputs = model.output(torch.from_numpy(embeddings[test])).detach().numpy()
    else:
        outputs, *_ = network_outputs(model, data, data.rows[test])
    return Prediction.from_outputs(data.facts.kind, outputs, used_settings(settings))
