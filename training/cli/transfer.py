"""Transfer learning commands: train, compare, report and ship transfer methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import (
    DEFAULT_TEACHER,
    BundleDir,
    CardVersion,
    OnDemand,
    Out,
    Resume,
    Seed,
    TaskDir,
    Teacher,
    with_settings,
)
from training.cli.output import console, print_bundle, print_parity, progress
from training.fitting.settings import Accelerator
from training.transfer.settings import BASELINES, TransferSettings

app = typer.Typer()

ResultsDir = Annotated[
    Path,
    typer.Option(
        "--results", help="Folder of `compare` or `probe`.", callback=checks.check_results
    ),
]
CropS = Annotated[
    float | None,
    typer.Option(
        help="Length of the random training crops in seconds; 0 trains on whole windows; "
        "default: as the teacher."
    ),
]
StudentEncoder = Annotated[
    str | None,
    typer.Option(
        help="Architecture of the network in base and kd, a name in the registry of encoders; "
        "default: that of the teacher."
    ),
]


@app.command()
@with_settings(TransferSettings, exclude=("method", "crop_s", "encoder", "embedding_dim"))
def transfer(
    task: TaskDir,
    out: Out,
    settings: TransferSettings,
    teacher: Teacher = DEFAULT_TEACHER,
    method: Annotated[
        str, typer.Option(help="base, fix, init or kd.", callback=checks.check_method)
    ] = TransferSettings.method,
    crop_s: CropS = None,
    encoder: StudentEncoder = None,
    resume: Resume = True,
) -> None:
    """Train one method on one fold and evaluate it on the test part; a stopped run can be resumed.

    The loss of kd is task + mse-weight · MSE + cosine-weight · cosine proximity, the last two
    between the embeddings of the model and of the teacher of the same clip.
    """
    encoder = checks.check_encoder(encoder or checks.architecture_of(teacher))
    checks.check_width(encoder, settings.width)
    checks.check_crop(task, crop_s)
    from training.datasets.prepared import TaskData
    from training.transfer.grid import run_cell
    from training.transfer.results import Cell

    cell = Cell(method, settings.width, settings.fold, settings.seed)
    folder = out / TaskData.load(task).facts.name
    result = run_cell(
        task,
        teacher,
        folder,
        cell,
        _with_crop(replace(settings, encoder=encoder), crop_s, teacher),
        resume=resume,
        keep=True,
        show_progress=True,
    )
    console.print_json(data=result.metrics | {"file": str(folder / cell.file)})


@app.command()
@with_settings(
    TransferSettings,
    exclude=(
        "method",
        "width",
        "fold",
        "seed",
        "crop_s",
        "devices",
        "workers",
        "encoder",
        "embedding_dim",
    ),
)
def compare(
    task: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `dataset`; may be given more than once.", callback=checks.check_tasks
        ),
    ],
    out: Out,
    settings: TransferSettings,
    teacher: Teacher = DEFAULT_TEACHER,
    methods: Annotated[str, typer.Option(help="Of base, fix, init, kd.")] = "base,fix,init,kd",
    baselines: Annotated[
        bool, typer.Option(help="Majority class or mean, linear models and SVMs too.")
    ] = True,
    widths: Annotated[
        str, typer.Option(help="Channels; cf-estimator: of 32, 64, 128, 256.")
    ] = "32",
    folds: Annotated[
        str, typer.Option(help="Folds to hold out in turn, as 0,1,2; default: all.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds of each run, as 0,1,2.")] = "0",
    crop_s: CropS = None,
    encoder: StudentEncoder = None,
    workers: Annotated[int, typer.Option(help="Number of runs in parallel.")] = 1,
) -> None:
    """Run a grid of methods, widths, folds and seeds; runs that have a results file are skipped.

    Then the report is written, as by `report`.
    """
    chosen = [*(BASELINES if baselines else ()), *checks.check_methods(methods)]
    encoder = checks.check_encoder(encoder or checks.architecture_of(teacher))
    chosen_widths = checks.check_widths(encoder, checks.parse_numbers(widths))
    chosen_folds, chosen_seeds = checks.parse_numbers(folds), checks.parse_numbers(seeds)
    for folder in task:
        checks.check_crop(folder, crop_s)
    from training.datasets.prepared import TaskData
    from training.transfer import grid as stage

    settings = _with_crop(replace(settings, encoder=encoder), crop_s, teacher)
    for folder in task:
        n_folds = TaskData.load(folder).n_folds
        cells = stage.grid(
            chosen, chosen_widths, chosen_folds or list(range(n_folds)), chosen_seeds
        )
        with progress() as bar:
            results = stage.compare(folder, teacher, out, cells, settings, workers=workers)
            for _ in bar.track(results, total=len(cells), description=folder.name):
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
    method: Annotated[
        str, typer.Option(help="base, fix, init or kd.", callback=checks.check_shippable)
    ] = TransferSettings.method,
    width: Annotated[
        int, typer.Option(help="Channels, as compared; cf-estimator: 32, 64, 128 or 256.")
    ] = TransferSettings.width,
    seed: Seed = 0,
    on_demand: OnDemand = False,
    card_version: CardVersion = "1.0.0",
    accelerator: Annotated[Accelerator, typer.Option(help="Device to train on.")] = "auto",
) -> None:
    """Train a compared method once more, on every track, and write its bundle.

    Settings, metrics and the calibration of probabilities are those of `compare`'s runs.
    """
    checks.check_compared_width(results, method, width, teacher)
    from training.transfer import final_fit as stage

    written, errors = stage.ship(
        task,
        teacher,
        results,
        out,
        method=method,
        width=width,
        seed=seed,
        on_demand=on_demand,
        card_version=card_version,
        accelerator=accelerator,
    )
    print_parity(errors, "torch")
    print_bundle(written)


def _with_crop(settings: TransferSettings, crop_s: float | None, teacher: Path) -> TransferSettings:
    """The settings with a crop length; by default that of the teacher."""
    if crop_s is None:
        from models.bundle import read

        crop_s = float(read(teacher).card.provenance.hyperparameters.get("crop_s") or 0)
    return replace(settings, crop_s=crop_s)
