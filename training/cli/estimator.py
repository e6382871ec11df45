"""Commands that train, evaluate, export and quantize an encoder."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.cli import checks
from training.cli.options import (
    AllowMissing,
    BundleDir,
    CardVersion,
    CountColumn,
    DataFile,
    FactorsDir,
    FeatureTeacher,
    Init,
    ItemColumn,
    OnDemand,
    Out,
    PreparedDir,
    PreparedDirs,
    Resume,
    RunDir,
    TeacherPreparedDirs,
    UnlabelledDirs,
    UserColumn,
    with_settings,
)
from training.cli.output import (
    console,
    print_account,
    print_bundle,
    print_parity,
    print_warning,
    progress,
)
from training.estimator.settings import EstimatorSettings
from training.quantization.settings import QuantizeSettings

if TYPE_CHECKING:
    from models.bundle import Bundle

app = typer.Typer()
# Kind of a run, see `training.fitting.settings.KIND` → module that describes it for the card.
CARDS = {
    "similarity": "training.similarity.card",
    "tagging": "training.tagging.card",
    "preference": "training.preference.card",
}
LOGS = (
    "CSV, TSV or Parquet, one row per user and item: a file, a folder, or a pattern in quotes. "
    "May be given more than once."
)
PREPARED = (
    "Folder of `prepare`; given once for each set, and for each audio input that an encoder needs: "
    "folders of one name are one set."
)


@app.command()
@with_settings(EstimatorSettings)
def estimator(
    prepared: PreparedDirs,
    factors: FactorsDir,
    split: Annotated[Path, typer.Option(help="File of `split`.", callback=checks.check_split)],
    out: Out,
    settings: EstimatorSettings,
    unlabelled: UnlabelledDirs = [],  # noqa: B006
    teacher: FeatureTeacher = None,
    teacher_prepared: TeacherPreparedDirs = [],  # noqa: B006
    init: Init = None,
    allow_missing: AllowMissing = False,
    resume: Resume = True,
) -> None:
    """Train an encoder to predict item factors; a stopped run can be resumed.

    The validation loss, which chooses the checkpoint, is the mean over the prepared sets' losses.
    """
    checks.check_width(settings.encoder, settings.width)
    folders = [*prepared, *unlabelled]
    for folder in folders:
        checks.check_crop(folder, settings.crop_s)
    checks.check_taught(unlabelled, teacher)
    checks.check_trainable(settings.trainable, init)
    from models.bundle import read
    from training.audio.prepared_sets import load_sets
    from training.cf.als import Factorization
    from training.estimator import train as stage
    from training.estimator.artist_split import load_split
    from training.estimator.sources import InitialWeights
    from training.estimator.teacher import teacher_targets
    from training.export.reload import load_network_from_bundle

    initial = None
    if init:
        initial = InitialWeights.of(source := read(init), load_network_from_bundle(source))
    taught = None
    if teacher:
        with progress() as bar:
            taught = teacher_targets(
                read(teacher),
                teacher_prepared or folders,
                settings.teacher_output,
                lambda label, items: bar.track(items, description=label),
            )
    best = stage.train(
        load_sets(folders),
        Factorization.load(factors),
        load_split(split),
        out,
        settings,
        teacher=taught,
        unlabelled={folder.name for folder in unlabelled},
        init=initial,
        resume=resume,
        allow_missing=allow_missing,
        tell=print_account,
    )
    console.print(f"best checkpoint: {best}")


@app.command()
def evaluate(
    prepared: Annotated[list[Path], typer.Option(help=PREPARED)],
    factors: Annotated[Path, typer.Option(help="Folder of `factorize`.")],
    logs: Annotated[list[Path], typer.Option("--logs", "--plays", help=LOGS)],
    out: Out,
    run: Annotated[Path | None, typer.Option(help="Folder of `estimator`, to be judged.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to be judged in place of a run; needs --split.")
    ] = None,
    split: Annotated[Path | None, typer.Option(help="File of `split`; default: the run's.")] = None,
    encoder: Annotated[
        list[Path], typer.Option(help="Bundle to compare with; may be given more than once.")
    ] = [],  # noqa: B006 (typer reads the default alone)
    renderings: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `prepare` with renderings of the same songs, under the track ids of "
            "the recordings; given once for each audio input."
        ),
    ] = [],  # noqa: B006
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    min_listeners: Annotated[
        int, typer.Option(help="Minimum number of listeners of a held-out item to be counted.")
    ] = 10,
    allow_missing: AllowMissing = False,
    redraw: Annotated[
        bool, typer.Option(help="Only draw table and figure again, from an earlier evaluation.")
    ] = False,
) -> None:
    """Evaluate a trained encoder on the held-out artists, beside baselines and an upper bound.

    Each prepared set is measured apart, and all of them together. The encoders compared with are
    taken as they are, and by ridge regression on their features.
    """
    if not redraw:
        checks.check_judged(run, bundle, split)
        checks.check_prepared_sets([*prepared, *renderings])
        checks.check_factors(factors)
        checks.check_logs(logs)
        checks.check_bundles(encoder)
        from training.cf.logs import read_logs
        from training.evaluation import evaluate as stage
        from training.evaluation.judged import load_judged, read_encoder
        from training.evaluation.sets import EvaluationSets

        with progress() as bar:
            stage.run(
                load_judged(run, bundle, split),
                EvaluationSets.load(prepared),
                factors,
                read_logs(
                    logs,
                    user_column=user_column,
                    item_column=item_column,
                    count_column=count_column,
                ),
                out,
                encoders=[read_encoder(folder) for folder in encoder],
                renderings=EvaluationSets.load(renderings) if renderings else None,
                min_listeners=min_listeners,
                allow_missing=allow_missing,
                tell=print_account,
                track=lambda label, items: bar.track(items, description=label),
                warn=print_warning,
            )
    _print_report(out)


@app.command()
def evaluation_summary(
    evaluation: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `evaluate`; given once for each fold.",
            callback=checks.check_evaluations,
        ),
    ],
    out: Out,
) -> None:
    """Pool the evaluations of several folds: every held-out artist is judged once."""
    from training.evaluation.pooling import pool

    pool(evaluation, out)
    _print_report(out)


def _print_report(out: Path) -> None:
    checks.check_evaluation(out)
    from training.evaluation import report

    console.print(report.redraw(out), markup=False, soft_wrap=True)


@app.command()
def export(
    run: RunDir,
    prepared: PreparedDir,
    out: BundleDir,
    data: DataFile,
    factors: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `factorize`, for a run of `estimator`.",
            callback=checks.check_optional_factors,
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `evaluate` or `similarity-report`, for the card's metrics.",
            callback=checks.check_evaluation,
        ),
    ] = None,
    on_demand: OnDemand = False,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Export a trained encoder as a bundle, after a parity check with torch on real clips."""
    kind = checks.kind_of_run(run)
    stated: dict[str, Any] = {"default": not on_demand, "card_version": card_version}
    if kind in CARDS:
        if factors is not None:
            raise typer.BadParameter(f"not used by a run of `{kind}`", param_hint="--factors")
        from training.export.groups import export_group_run

        described = import_module(CARDS[kind]).describe_run(run, evaluation)
        written, errors = export_group_run(described, prepared, out, data, **stated)
    elif kind == "users":
        reason = "is a run of `users`, which trains no encoder; give it to `preference --users`"
        raise typer.BadParameter(f"{run} {reason}", param_hint="--run")
    elif factors is None:
        raise typer.BadParameter("needed for a run of `estimator`", param_hint="--factors")
    else:
        from training.export import estimator as stage

        written, errors = stage.export_run(
            run, prepared, out, data, factors, evaluation, **stated, warn=print_warning
        )
    _keep_card(written, run)
    print_parity(errors, "torch")
    print_bundle(written)


def _keep_card(bundle: Bundle, run: Path) -> None:
    """Copy the card into the run's folder, which has all else of the run."""
    from models.bundle import CARD

    try:
        shutil.copy(bundle.folder / CARD, run / CARD)
    except OSError as error:  # the bundle is written all the same
        print_warning(f"{run} keeps no {CARD}: {error.strerror}")


@app.command()
@with_settings(QuantizeSettings)
def quantize(
    bundle: Annotated[
        Path,
        typer.Option(help="Folder of the bundle, models/<name>.", callback=checks.check_bundle),
    ],
    audio: Annotated[
        list[Path],
        typer.Option(
            help="Folder of real audio; may be given more than once.", callback=checks.check_audio
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="JSON: a list of {name, use, licence} of that audio.", callback=checks.check_data
        ),
    ],
    settings: QuantizeSettings,
) -> None:
    """Add an int8 or float16 graph to a bundle, and measure its agreement with float32.

    By default the service runs a graph whose minimum agreement is 0.999 or more, and int8 only
    where it is faster. The card and the bundle's digest stay as they are.
    """
    from training.quantization import quantize as stage

    with console.status(f"{settings.precision} graph of {bundle}"):
        written, graph = stage.quantize(bundle, audio, data, settings)
    assert graph.agreement
    for name, near in graph.agreement.outputs.items():
        console.print(f"{name}: agreement with float32 {near.mean:.5f}, minimum {near.least:.5f}")
    console.print(f"{graph.agreement.windows} windows; {graph.file} in {written.folder}")


@app.command()
def spectrogram(
    bundle: Annotated[
        Path,
        typer.Option(help="Folder of the bundle, models/<name>.", callback=checks.check_bundle),
    ],
) -> None:
    """Add the graph that shows what a bundle's network takes as its input: POST /spectrogram.

    It is the front end of the float32 graph, cut off. The bundle's digest stays as it is.
    """
    from training.export.spectrogram import add_spectrogram

    written = add_spectrogram(bundle)
    parts, frames, bands = written.shape
    console.print(f"{parts} × {frames} frames × {bands} bands, tensor {written.tensor}")
