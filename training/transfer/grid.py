"""Grid of methods, widths, folds and seeds: one results file per run, none run twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch

from models.card import Scalar
from training.audio.crop_limit import bad_crop, check_crop_length
from training.datasets.accounts import Account
from training.datasets.prepared import TaskData
from training.errors import (
    BadDataset,
    BadFold,
    NoPool,
    OtherAudio,
    OtherRun,
    UnknownMethod,
)
from training.fitting.processes import map_in_processes
from training.networks.base import trained_crop_s, width_of_card
from training.networks.registry import DEFAULT_ENCODER, class_of_card, encoder_class
from training.transfer.baselines import baseline_settings, fit_baseline
from training.transfer.encoder_outputs import network_outputs
from training.transfer.evaluation import Prediction, evaluate_fold, held_out
from training.transfer.results import Cell, Result
from training.transfer.settings import (
    BASELINES,
    METHODS,
    RECIPES,
    UNTRAINED,
    TransferSettings,
)
from training.transfer.sources import CellInputs, Sources
from training.transfer.train import build_encoder, check_distillation, check_start, train

HARDWARE = {"accelerator", "devices", "workers"}


def grid(
    methods: list[str], widths: list[int], folds: list[int], seeds: list[int], variant: str = ""
) -> list[Cell]:
    """Every run, seeds outermost: a grid that is stopped has complete rounds of all methods.

    A baseline that depends on neither width nor seed is run at the first of each. A method that
    uses no bundle is of no variant: variants are compared with the same runs of `base`.
    """
    cells = [
        Cell(method, width, fold, seed, variant if depends_on_bundle(method) else "")
        for method, width, fold, seed in product(methods, widths, folds, seeds)
    ]
    distinct = [
        cell
        for cell in cells
        if cell.method in (*METHODS, UNTRAINED) or (cell.width, cell.seed) == (widths[0], seeds[0])
    ]
    return sorted(distinct, key=lambda cell: (cell.seed, cell.fold))


def depends_on_bundle(method: str) -> bool:
    """Whether a method uses a teacher, or weights to start from."""
    if method in RECIPES:
        return RECIPES[method].uses_teacher or RECIPES[method].start != "random"
    return BASELINES.get(method) in ("embedding", "features")


def compare(
    sources: Sources,
    out: Path,
    cells: list[Cell],
    settings: TransferSettings,
    *,
    workers: int = 1,
    keep: bool = False,
) -> Iterator[Result]:
    """Run the cells that have no results file yet, in parallel, each on its share of the cores.

    Parameters
    ----------
    keep : see `run_cell`

    Yields
    ------
    Each result when its run is done; its file is in `<out>/<task name>/` by then.

    Raises
    ------
    BadDataset, BadFold, UnknownMethod, UnknownEncoder, BadTeacher, BadTransfer, OtherEncoder,
    OtherEmbedding, OtherAudio, OtherTracks, BadCrop, BadPool, NoPool, OtherRun
    """
    data = TaskData.load(sources.task)
    folder = out / data.facts.name
    pending = []
    for fold in sorted({cell.fold for cell in cells}):
        _check_task(data, fold)
        inputs = sources.load(fold)
        of_fold = [cell for cell in cells if cell.fold == fold]
        for cell in of_fold:
            _check(inputs, cell, settings)
        todo = [cell for cell in of_fold if not _is_done(folder, cell, settings, inputs)]
        if any(inputs.teacher_of(cell.method) for cell in todo):
            _ = inputs.embeddings  # computed here, so that workers do not each compute the same
        if any(inputs.pool_facts(cell.method) for cell in todo):
            _ = inputs.pool_clips
        pending += todo
    pending.sort(key=cells.index)  # seeds outermost
    run = partial(run_cell, sources, folder, settings=settings, keep=keep)
    yield from map_in_processes(run, pending, workers)


def account_joins(sources: Sources, cells: Sequence[Cell]) -> list[Account]:
    """Accounts of task, teacher and pools in every fold of the cells, each different one once."""
    accounts: dict[str, Account] = {}
    for fold in sorted({cell.fold for cell in cells}):
        _check_task(TaskData.load(sources.task), fold)
        accounts |= {str(account): account for account in sources.load(fold).accounts(fold)}
    return list(accounts.values())


def _check_task(data: TaskData, fold: int) -> None:
    """Refuse a task of several labels, and a fold that the task does not have."""
    if data.facts.kind == "multilabel":
        raise BadDataset(
            data.facts.name,
            "its tracks have several labels each, and transfer methods and baselines are for "
            "classification and regression; choose such a task",
        )
    if not 0 <= fold < data.n_folds:
        raise BadFold(fold, data.n_folds)


def _check(inputs: CellInputs, cell: Cell, settings: TransferSettings) -> None:
    """Refuse, before the first run, a cell that would fail later."""
    if cell.method not in (*METHODS, *BASELINES):
        raise UnknownMethod(cell.method, (*METHODS, *BASELINES))
    recipe = RECIPES.get(cell.method)
    if cell.method == UNTRAINED or (recipe and recipe.start != "teacher"):
        _check_audio(inputs, settings)
    if recipe is None:
        return
    if recipe.uses_pool and not inputs.pools:
        raise NoPool(cell.method)
    chosen = inputs.settings_of(cell, settings)
    if recipe.start == "weights":
        _check_start(inputs, chosen)
    elif recipe.distils:
        check_distillation(build_encoder(chosen), chosen.embedding_dim)


def _check_audio(inputs: CellInputs, settings: TransferSettings) -> None:
    """Refuse windows that the student does not take, and crops longer than the windows."""
    audio, encoder = inputs.data.prepared.audio, encoder_class(settings.encoder)
    if audio not in (encoder.audio, *inputs.known_audio(settings.encoder)):
        raise OtherAudio(audio, settings.encoder, encoder.audio)
    check_crop_length(settings.crop_s, audio)
    encoder.crop_samples(settings.crop_s)


def _check_start(inputs: CellInputs, settings: TransferSettings) -> None:
    """Refuse settings that do not fit the weights that a run starts from."""
    card = inputs.start.card
    check_start(settings, card.architecture or DEFAULT_ENCODER, width_of_card(card))
    # The features stay the mean over segments of the length that the start has.
    segment_s, crop_samples = trained_crop_s(card), class_of_card(card).crop_samples
    segment = crop_samples(segment_s)
    if segment and crop_samples(settings.crop_s) % segment:
        raise bad_crop(settings.crop_s, card.audio, segment_s)


def _is_done(folder: Path, cell: Cell, settings: TransferSettings, inputs: CellInputs) -> bool:
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
        inputs.used_settings(cell, settings)
        if cell.method in METHODS
        else baseline_settings(cell.method, settings.encoder)
    )
    # These are stated only where they are not the default.
    names = used.keys() | {"encoder", "embedding_dim", "max_steps", "validation_steps"}
    changed = {name for name in names if known.settings.get(name) != used.get(name)}
    tracks, targets = held_out(inputs.data, cell.fold)
    same_data = (known.tracks, known.targets) == (tracks, targets.round(4).tolist())
    bundles = inputs.teacher_of(cell.method), inputs.start_of(cell.method)
    same_bundles = [bundle and bundle.digest for bundle in bundles] == [known.teacher, known.start]
    if changed - HARDWARE or not same_data or not same_bundles:
        raise OtherRun(path)
    return True


def run_cell(
    sources: Sources,
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
    keep : keep the folder of the run beside the results file: checkpoints, logs and pictures
    """
    _check_task(TaskData.load(sources.task), cell.fold)
    inputs = sources.load(cell.fold)
    _check(inputs, cell, settings)
    data = inputs.data
    run = (folder / cell.file).with_suffix("")

    def fit_and_predict() -> Prediction:
        if cell.method in METHODS:
            return _fit_transfer(
                inputs, cell, run, settings, resume=resume, keep=keep, show_progress=show_progress
            )
        return fit_baseline(cell, data, inputs.teacher, inputs.teacher_data, settings.encoder)

    result = evaluate_fold(
        data,
        cell,
        folder,
        fit_and_predict,
        teacher=inputs.teacher_of(cell.method),
        start=inputs.start_of(cell.method),
    )
    if not keep:
        shutil.rmtree(run, ignore_errors=True)
    return result


def _fit_transfer(
    inputs: CellInputs,
    cell: Cell,
    run: Path,
    settings: TransferSettings,
    *,
    resume: bool,
    keep: bool,
    show_progress: bool,
) -> Prediction:
    data, recipe = inputs.data, RECIPES[cell.method]
    test = data.parts(cell.fold) == "test"
    model = train(
        data,
        run,
        inputs.settings_of(cell, settings),
        start=inputs.load_start(cell.method),
        teacher_embeddings=inputs.embeddings if recipe.uses_teacher else None,
        pool=inputs.pool_clips if recipe.uses_pool else (),
        digests=inputs.digests,
        resume=resume,
        pictures=keep,
        show_progress=show_progress,
    )
    if recipe.start == "teacher":  # its encoder is the teacher, whose embeddings are known
        outputs = model.output(torch.from_numpy(inputs.embeddings[test])).detach().numpy()
    else:
        outputs, *_ = network_outputs(model, data, data.rows[test])
    used = inputs.used_settings(cell, settings)
    return Prediction.from_outputs(data.facts.kind, outputs, used)
