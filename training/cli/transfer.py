"""Transfer learning commands: train, compare, report and ship transfer methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import (
    TEACHER_DEFAULT,
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
from training.cli.output import console, print_account, print_bundle, print_parity, progress
from training.fitting.settings import Accelerator
from training.transfer.settings import BASELINES, METHODS, TransferSettings

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
        help="Architecture of the network of the student, a name in the registry of encoders; "
        "default: that of the teacher."
    ),
]


TeacherTask = Annotated[
    Path | None,
    typer.Option(
        help="Folder of `dataset` with the same tracks, decoded for the teacher; default: the "
        "teacher takes the windows of --task.",
        callback=checks.check_optional_task,
    ),
]
Start = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="Bundle whose weights init and init-kd start from, with {fold} as --teacher; "
        "default: the teacher.",
        callback=checks.check_optional_bundle_of_folds,
    ),
]
Variant = Annotated[
    str,
    typer.Option(
        help="Name of another teacher or loss than the default's, as `plain sum`: results of "
        "methods that use a teacher are labelled `kd (plain sum)`.",
        callback=checks.check_variant,
    ),
]
Pools = Annotated[
    list[Path],
    typer.Option(
        "--pool",
        help="Folder of `dataset` or `prepare` with unlabelled recordings for kd-pool, decoded as "
        "the task; may be repeated.",
        callback=checks.check_pools,
    ),
]
TeacherPools = Annotated[
    list[Path],
    typer.Option(
        "--teacher-pool",
        help="The same recordings as --pool, decoded for the teacher, in the same order.",
        callback=checks.check_pools,
    ),
]
METHOD_NAMES = ", ".join(METHODS)


@app.command()
@with_settings(TransferSettings, exclude=("method", "crop_s", "encoder", "embedding_dim"))
def transfer(
    task: TaskDir,
    out: Out,
    settings: TransferSettings,
    teacher: Teacher,
    teacher_task: TeacherTask = None,
    init: Start = None,
    pool: Pools = [],  # noqa: B006
    teacher_pool: TeacherPools = [],  # noqa: B006
    method: Annotated[
        str, typer.Option(help=f"One of {METHOD_NAMES}.", callback=checks.check_method)
    ] = TransferSettings.method,
    variant: Variant = "",
    crop_s: CropS = None,
    encoder: StudentEncoder = None,
    resume: Resume = True,
) -> None:
    """Train one method on one fold and evaluate it on the test part; a stopped run can be resumed.

    The loss of kd is task + mse-weight · MSE + cosine-weight · cosine proximity, the last two
    between the embeddings of the model and of the teacher of the same clip.
    """
    first = _of_fold(teacher, settings.fold)
    encoder = checks.check_encoder(encoder or checks.architecture_of(first))
    checks.check_width(encoder, settings.width)
    checks.check_crop(task, crop_s)
    from training.datasets.prepared import TaskData
    from training.transfer.grid import run_cell
    from training.transfer.results import Cell
    from training.transfer.sources import Sources

    cell = Cell(method, settings.width, settings.fold, settings.seed, variant)
    folder = out / TaskData.load(task).facts.name
    result = run_cell(
        Sources(task, teacher, teacher_task, init, tuple(pool), tuple(teacher_pool)),
        folder,
        cell,
        _with_crop(replace(settings, encoder=encoder), crop_s, first),
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
    teacher: Teacher,
    teacher_task: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `dataset` with the tracks of a --task, decoded for the teacher; repeat "
            "it for several tasks.",
            callback=checks.check_tasks,
        ),
    ] = [],  # noqa: B006
    init: Start = None,
    pool: Pools = [],  # noqa: B006
    teacher_pool: TeacherPools = [],  # noqa: B006
    methods: Annotated[str, typer.Option(help=f"Of {METHOD_NAMES}.")] = "base,fix,init,kd",
    variant: Variant = "",
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
    keep_runs: Annotated[
        bool,
        typer.Option(
            "--keep-runs",
            help="Keep the folder of each run beside its results file, as `transfer` does: "
            "checkpoints, logs and pictures.",
        ),
    ] = False,
) -> None:
    """Run a grid of methods, widths, folds and seeds; runs that have a results file are skipped.

    Then the report is written, as by `report`.
    """
    chosen = [*(BASELINES if baselines else ()), *checks.check_methods(methods)]
    chosen_folds, chosen_seeds = checks.parse_numbers(folds), checks.parse_numbers(seeds)
    first = _of_fold(teacher, (chosen_folds or [0])[0])
    encoder = checks.check_encoder(encoder or checks.architecture_of(first))
    chosen_widths = checks.check_widths(encoder, checks.parse_numbers(widths))
    for folder in task:
        checks.check_crop(folder, crop_s)
    from training.datasets.accounts import write_accounts
    from training.datasets.prepared import TaskData
    from training.transfer import grid as stage
    from training.transfer.sources import Sources, match_tasks

    settings = _with_crop(replace(settings, encoder=encoder), crop_s, first)
    teacher_tasks = match_tasks(task, teacher_task)
    for folder in task:
        n_folds = TaskData.load(folder).n_folds
        cells = stage.grid(
            chosen, chosen_widths, chosen_folds or list(range(n_folds)), chosen_seeds, variant
        )
        decoded = teacher_tasks.get(folder)
        sources = Sources(folder, teacher, decoded, init, tuple(pool), tuple(teacher_pool))
        accounts = stage.account_joins(sources, cells)
        write_accounts(out / TaskData.load(folder).facts.name, accounts)
        for account in accounts:
            print_account(account)
        with progress() as bar:
            results = stage.compare(sources, out, cells, settings, workers=workers, keep=keep_runs)
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
    teacher: Annotated[
        Path,
        typer.Option(
            help="Bundle of the teacher, an encoder.",
            callback=checks.check_bundle,
            **TEACHER_DEFAULT,
        ),
    ],
    teacher_task: TeacherTask = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            help="Bundle whose weights init and init-kd start from; default: the teacher.",
            callback=checks.check_optional_bundle,
        ),
    ] = None,
    pool: Pools = [],  # noqa: B006
    teacher_pool: TeacherPools = [],  # noqa: B006
    method: Annotated[
        str, typer.Option(help=f"One of {METHOD_NAMES}.", callback=checks.check_shippable)
    ] = TransferSettings.method,
    variant: Variant = "",
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
    from training.transfer.sources import Sources

    written, errors = stage.ship(
        Sources(task, teacher, teacher_task, init, tuple(pool), tuple(teacher_pool)),
        results,
        out,
        method=method,
        width=width,
        variant=variant,
        seed=seed,
        on_demand=on_demand,
        card_version=card_version,
        accelerator=accelerator,
    )
    print_parity(errors, "torch")
    print_bundle(written)


def _of_fold(bundle: Path, fold: int) -> Path:
    return Path(str(bundle).replace("{fold}", str(fold)))


def _with_crop(settings: TransferSettings, crop_s: float | None, teacher: Path) -> TransferSettings:
    """The settings with a crop length; by default that of the teacher."""
    if crop_s is None:
        from models.bundle import read

        crop_s = float(read(teacher).card.provenance.hyperparameters.get("crop_s") or 0)
    return replace(settings, crop_s=crop_s)
