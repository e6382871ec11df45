"""The commands of `tasteprint-train` for small labelled tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.cli.options import (
    WORKERS,
    Accelerator,
    BatchSize,
    BundleDir,
    CardVersion,
    CosineSchedule,
    Devices,
    Files,
    LearningRate,
    LoaderWorkers,
    MaxEpochs,
    Out,
    Patience,
    Precision,
    ResultsDir,
    Resume,
    Seed,
    TaskDir,
    Teacher,
    Width,
    check_widths,
    console,
    progress,
)
from training.datasets import READERS

if TYPE_CHECKING:
    from training.transfer.train import TransferSettings

app = typer.Typer()
DEFAULT_TEACHER = Path("models/cf-estimator")

TransferMethod = Annotated[str, typer.Option(help="base, fix, init or kd.")]
Fold = Annotated[int, typer.Option(help="The one that is held out.")]
TaskCropS = Annotated[
    float | None,
    typer.Option(help="Random training crops; 0: whole windows; default: as the teacher."),
]
MseWeight = Annotated[float, typer.Option(help="Of the squared error to the teacher, in kd.")]
CosineWeight = Annotated[float, typer.Option(help="Of the cosine to the teacher, in kd.")]
TeacherScale = Annotated[
    str, typer.Option(help="as-is, or standard: the teacher's embeddings standardised, in kd.")
]


@app.command()
def dataset(
    name: Annotated[str, typer.Argument(help=f"`own`, or one of: {', '.join(READERS)}.")],
    data: Annotated[Path, typer.Option(help="Folder of the set, in its published layout.")],
    out: Out,
    labels: Annotated[
        Path | None, typer.Option(help="For `own`: CSV with a row a file; else a folder a class.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="For `own`: what is asked, as in POST /classify/<task>.")
    ] = None,
    licence: Annotated[
        str, typer.Option(help="For `own`: of the audio and labels, for the model's card.")
    ] = "not stated",
    workers: Files = WORKERS,
) -> None:
    """Read a labelled data set, deal its folds and decode its windows.

    `own` takes audio of yours: a folder a class, or `--labels`, a CSV with a column `file`, then
    `label` (or a number in each of several columns), and perhaps `artist`, `fold` or `part`.
    """
    from training.datasets import prepared as stage
    from training.datasets import read_dataset
    from training.networks.mel import WINDOW

    read = read_dataset(name, data, labels=labels, task=task, licence=licence)
    for missing in read.missing[:5]:
        console.print(f"[yellow]missing[/] {missing}")
    refused = 0
    with progress() as bar:
        records = stage.prepare_task(read, out, WINDOW, workers=workers)
        for record in bar.track(records, total=len(read.tracks), description="prepare"):
            refused += "reason" in record
    ready = stage.TaskData.load(out)
    console.print(
        f"{len(ready.rows)} windows in {out}; {refused} refused (refused.csv), "
        f"{len(read.missing)} missing; {read.kind}: {', '.join(read.labels)}; "
        f"{read.split}, {ready.n_folds} to hold out"
    )


@app.command()
def transfer(
    task: TaskDir,
    out: Out,
    teacher: Teacher = DEFAULT_TEACHER,
    method: TransferMethod = "kd",
    width: Width = 32,
    fold: Fold = 0,
    batch_size: BatchSize = 16,
    learning_rate: LearningRate = 1e-3,
    max_epochs: MaxEpochs = 50,
    patience: Patience = 10,
    crop_s: TaskCropS = None,
    cosine_schedule: CosineSchedule = False,
    mse_weight: MseWeight = 1.0,
    cosine_weight: CosineWeight = 1.0,
    teacher_scale: TeacherScale = "as-is",
    precision: Precision = "32-true",
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    workers: LoaderWorkers = 0,
    seed: Seed = 0,
    resume: Resume = True,
) -> None:
    """Train one method on one fold, and judge it on the held-out part; stop and start as you like.

    The loss of kd is task + mse-weight · MSE + cosine-weight · cosine proximity, the last two
    between the model's 40-d layer and the teacher's embedding of the same clip.
    """
    from training.datasets.prepared import TaskData
    from training.transfer.grid import run_cell
    from training.transfer.results import Cell

    settings = _settings(
        teacher,
        crop_s,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_epochs=max_epochs,
        patience=patience,
        cosine_schedule=cosine_schedule,
        mse_weight=mse_weight,
        cosine_weight=cosine_weight,
        teacher_scale=teacher_scale,
        precision=precision,
        accelerator=accelerator,
        devices=devices,
        workers=workers,
    )
    cell = Cell(method, width, fold, seed)
    folder = out / TaskData.load(task).facts.name
    result = run_cell(
        task, teacher, folder, cell, settings, resume=resume, keep=True, show_progress=True
    )
    console.print_json(data=result.metrics | {"file": str(folder / cell.file)})


@app.command()
def compare(
    task: Annotated[list[Path], typer.Option(help="Folder of `dataset`; may be given again.")],
    out: Out,
    teacher: Teacher = DEFAULT_TEACHER,
    methods: Annotated[str, typer.Option(help="Of base, fix, init, kd.")] = "base,fix,init,kd",
    baselines: Annotated[bool, typer.Option(help="Guesses, linear models and SVMs too.")] = True,
    widths: Annotated[str, typer.Option(help="Channels, of 32, 64, 128, 256.")] = "32",
    folds: Annotated[str, typer.Option(help="Held out in turn, as 0,1,2; default: all.")] = "",
    seeds: Annotated[str, typer.Option(help="Of each run, as 0,1,2.")] = "0",
    workers: Annotated[int, typer.Option(help="Runs at a time.")] = 1,
    batch_size: BatchSize = 16,
    learning_rate: LearningRate = 1e-3,
    max_epochs: MaxEpochs = 50,
    patience: Patience = 10,
    crop_s: TaskCropS = None,
    cosine_schedule: CosineSchedule = False,
    mse_weight: MseWeight = 1.0,
    cosine_weight: CosineWeight = 1.0,
    teacher_scale: TeacherScale = "as-is",
    precision: Precision = "32-true",
    accelerator: Accelerator = "auto",
) -> None:
    """Run the grid of methods, widths, folds and seeds; what has a results file is not run again.

    Then the report is written, as by `report`.
    """
    from training.datasets.prepared import TaskData
    from training.transfer import grid as stage
    from training.transfer.baselines import BASELINES

    settings = _settings(
        teacher,
        crop_s,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_epochs=max_epochs,
        patience=patience,
        cosine_schedule=cosine_schedule,
        mse_weight=mse_weight,
        cosine_weight=cosine_weight,
        teacher_scale=teacher_scale,
        precision=precision,
        accelerator=accelerator,
    )
    chosen = [*(BASELINES if baselines else ()), *methods.split(",")]
    for each in task:
        n_folds = TaskData.load(each).n_folds
        cells = stage.grid(
            chosen,
            check_widths(_numbers(widths)),
            _numbers(folds) or list(range(n_folds)),
            _numbers(seeds),
        )
        with progress() as bar:
            results = stage.compare(each, teacher, out, cells, settings, workers=workers)
            for _ in bar.track(results, total=len(cells), description=each.name):
                pass
    report(out, out)


@app.command()
def report(results: ResultsDir, out: Out) -> None:
    """Draw figure 4 of the paper, the tables, the paired t-tests and confusions from results."""
    from training.transfer import report as stage

    console.print(stage.report(results, out), markup=False, soft_wrap=True)


@app.command()
def ship(
    task: TaskDir,
    results: ResultsDir,
    out: BundleDir,
    teacher: Teacher = DEFAULT_TEACHER,
    method: TransferMethod = "kd",
    width: Width = 32,
    seed: Seed = 0,
    card_version: CardVersion = "1.0.0",
    accelerator: Accelerator = "auto",
) -> None:
    """Train a compared method once more, on every track, and write it as a bundle.

    Settings, metrics and the calibration of probabilities are those of `compare`'s runs.
    """
    from training.transfer import final_fit as stage

    written, errors = stage.ship(
        task,
        teacher,
        results,
        out,
        method=method,
        width=width,
        seed=seed,
        card_version=card_version,
        accelerator=accelerator,
    )
    for name, error in errors.items():
        console.print(f"{name}: ONNX within {error:.1e} of torch, relative to its scale")
    console.print(f"bundle {written.card.name} {written.card.version} {written.digest} in {out}")


@app.command()
def probe(
    task: TaskDir,
    results: ResultsDir,
    out: BundleDir,
    encoder: Annotated[Path, typer.Option(help="Bundle of any encoder.")] = DEFAULT_TEACHER,
    kind: Annotated[
        str,
        typer.Option(help="logistic (of targets: ridge), linear-svm, rbf-svm or mlp."),
    ] = "logistic",
    source: Annotated[str, typer.Option(help="What it hears: embedding or features.")] = "features",
    strength: Annotated[
        float | None,
        typer.Option(
            min=1e-9, help="C, or alpha of ridge and mlp; default: chosen by folds within folds."
        ),
    ] = None,
    seed: Seed = 0,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Fit a scikit-learn model on a bundle's outputs, judge it on every fold, write its bundle."""
    from training.probes import probe as stage

    written, errors = stage.probe(
        task,
        encoder,
        out,
        results,
        kind=kind,
        source=source,
        strength=strength,
        seed=seed,
        card_version=card_version,
    )
    for name, error in errors.items():
        console.print(f"{name}: ONNX within {error:.1e} of scikit-learn, relative to its scale")
    console.print_json(data=written.card.provenance.metrics)
    console.print(f"bundle {written.card.name} {written.card.version} {written.digest} in {out}")


def _settings(teacher: Path, crop_s: float | None, **options: object) -> TransferSettings:
    """The options as settings; without a crop length, that of the teacher."""
    from models.bundle import read
    from training.transfer.train import TransferSettings

    if crop_s is None:
        crop_s = float(read(teacher).card.provenance.hyperparameters.get("crop_s") or 0)
    return TransferSettings(crop_s=crop_s, **options)  # type: ignore[arg-type]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 0,1,2") from error
