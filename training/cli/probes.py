"""Commands that fit models on encoders' outputs: probes, calibrated tags, tables of papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.cli import checks
from training.cli.options import (
    TEACHER_DEFAULT,
    BundleDir,
    CardVersion,
    FactorsDir,
    OnDemand,
    Out,
    Seed,
    TaskDir,
    default_teacher,
    with_settings,
)
from training.cli.output import console, print_bundle, print_parity, progress
from training.papers.settings import TABLES
from training.probes.settings import ProbeSettings, check_settings

if TYPE_CHECKING:
    from training.transfer.results import Result

app = typer.Typer()

BaselineTask = Annotated[
    Path | None,
    typer.Option(
        help="Folder of `dataset` with whole windows of the same tracks: the bundle is written "
        "only if it is better on the same folds than models fitted to their mel statistics.",
        callback=checks.check_optional_task,
    ),
]
TaskDirs = Annotated[
    list[Path],
    typer.Option(
        "--task",
        help="Folder of `dataset`; repeat it, with the same tracks, for encoders of other windows.",
        callback=checks.check_tasks,
    ),
]


@app.command()
@with_settings(ProbeSettings)
def probe(
    task: TaskDirs,
    results: Annotated[Path, typer.Option(help="Folder of `compare` or `probe`.")],
    out: BundleDir,
    settings: ProbeSettings,
    encoder: Annotated[
        list[Path],
        typer.Option(
            help="Bundle of any encoder; of several, by repeating the option, one is chosen.",
            callback=checks.check_bundles,
            **TEACHER_DEFAULT | {"default_factory": lambda: [default_teacher()]},
        ),
    ],
    baseline_task: BaselineTask = None,
    on_demand: OnDemand = False,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Fit a scikit-learn model on an encoder's outputs, evaluate it, and write its bundle."""
    check_settings(settings)
    checks.check_sources(encoder, settings.sources)
    from training.probes import probe as stage
    from training.probes.head_bundle import Destination

    written, errors = stage.probe(
        task,
        encoder,
        Destination(out, card_version, default=not on_demand),
        results,
        settings,
        baseline_task=baseline_task,
        report=_print_fold,
    )
    print_parity(errors, "scikit-learn")
    if baseline_task is None:
        console.print("no baseline was judged: --baseline-task compares with mel statistics")
    console.print_json(data=written.card.provenance.metrics)
    print_bundle(written)


@app.command("calibrate-tags")
def calibrate_tags(
    task: TaskDir,
    encoder: Annotated[
        Path,
        typer.Option(help="Bundle of an encoder that states tags.", callback=checks.check_bundle),
    ],
    out: BundleDir,
    source: Annotated[
        str, typer.Option(help="Encoder output with the probability of each label.")
    ] = "tags",
    baseline_task: BaselineTask = None,
    on_demand: OnDemand = False,
    seed: Seed = 0,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Calibrate a tagger's probabilities on a multilabel task, and write its bundle."""
    checks.check_sources([encoder], [(source,)])
    from training.probes import calibrate_tags as stage
    from training.probes.head_bundle import Destination

    destination = Destination(out, card_version, default=not on_demand)
    written, errors = stage.calibrate_tags(
        task, encoder, destination, source=source, baseline_task=baseline_task, seed=seed
    )
    print_parity(errors, "numpy")
    console.print_json(data=written.card.provenance.metrics)
    print_bundle(written)


@app.command("paper-table")
def paper_table(
    table: Annotated[
        str,
        typer.Option(
            help=f"Which table: one of {', '.join(TABLES)}, paper and table in one.",
            callback=checks.check_table,
        ),
    ],
    task: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `dataset`, of whole windows; may be given more than once.",
            callback=checks.check_tasks,
        ),
    ],
    out: Out,
    column: Annotated[
        list[str],
        typer.Option(
            help="NAME=FOLDER:OUTPUT of a bundle, or of a run of `similarity`, `tagging` or "
            "`preference`; FOLDER:OUTPUT+FOLDER:OUTPUT joins two; {fold} stands for the held-out "
            "fold. May be given more than once."
        ),
    ] = [],  # noqa: B006
    direct: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `compare`: its networks of `base`, trained on the tasks directly, are "
            "the first column."
        ),
    ] = None,
    folds: Annotated[
        str, typer.Option(help="Folds to hold out in turn, as 0,1,2; default: all.")
    ] = "",
) -> None:
    """Classify tasks by encoders' outputs in the form of a paper's table, by its classifier."""
    chosen_folds = checks.parse_numbers(folds)
    from training.papers import table as stage
    from training.papers.columns import Column

    with progress() as bar:
        text = stage.run(
            table,
            [Column.parse(text) for text in column],
            task,
            out,
            folds=chosen_folds,
            direct=direct,
            track=lambda label, items: bar.track(items, description=label),
            tell=lambda text: console.print(text, highlight=False, markup=False),
        )
    console.print(text, markup=False, soft_wrap=True)


@app.command()
def taggrams(
    identities: Annotated[
        Path, typer.Option(help="Folder of GTZAN's identities and published taggrams.")
    ],
    factors: FactorsDir,
    out: Out,
    deals: Annotated[
        int, typer.Option(help="Deals of the factors to other artists, as a control.", min=0)
    ] = 5,
) -> None:
    """Tell GTZAN's genres by published tags, with and without the factors of the artists."""
    from training.cf.als import Factorization
    from training.datasets.published.gtzan_identities import read_taggrams
    from training.papers import taggrams as stage

    table = stage.run(
        read_taggrams(identities),
        Factorization.load(factors),
        out,
        n_deals=deals,
        tell=lambda text: console.print(text, highlight=False, markup=False),
    )
    console.print(table, markup=False, soft_wrap=True)


def _print_fold(run: Result) -> None:
    from training.probes.nested import describe_run

    metrics = ", ".join(f"{name} {value:.3f}" for name, value in run.metrics.items())
    console.print(f"fold {run.fold}: {metrics}: {run.method}: {describe_run(run)}", highlight=False)
