"""Command that fits a linear CF estimator on a frozen encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import (
    AllowMissing,
    BundleDir,
    CardVersion,
    CountColumn,
    DataFile,
    FactorsDir,
    ItemColumn,
    LogsFiles,
    OnDemand,
    PatchCount,
    PatchSeconds,
    PreparedDirs,
    UserColumn,
    with_settings,
)
from training.cli.output import console, print_account, print_bundle, print_parity, progress
from training.linear.settings import LinearSettings, check_settings

app = typer.Typer()


@app.command()
@with_settings(LinearSettings)
def linear_estimator(
    prepared: PreparedDirs,
    factors: FactorsDir,
    logs: LogsFiles,
    out: BundleDir,
    data: DataFile,
    settings: LinearSettings,
    encoder: Annotated[
        Path,
        typer.Option(
            help="Bundle of an encoder of the architecture musicnn.", callback=checks.check_bundle
        ),
    ] = Path("models/musicnn-msd"),
    split: Annotated[
        Path | None,
        typer.Option(
            help="File of `split`: leave out its test artists. Default: fit on all clips.",
            callback=checks.check_split,
        ),
    ] = None,
    patches: PatchCount = 0,
    patch_s: PatchSeconds = 0.0,
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `evaluate`, for the card's metrics.", callback=checks.check_evaluation
        ),
    ] = None,
    on_demand: OnDemand = False,
    allow_missing: AllowMissing = False,
    card_version: CardVersion = "1.0.0",
) -> None:
    """Fit item factors on the outputs of a frozen MusiCNN by ridge regression, and export a bundle.

    The outputs are computed once for each prepared folder; the fit takes seconds. The penalty alpha
    is chosen by the user AUC of validation artists, within the artists that are fitted on.
    """
    check_settings(settings, len(prepared))
    from training.cf.als import Factorization
    from training.cf.logs import read_logs
    from training.estimator.artist_split import load_split
    from training.export.bundle import read_data
    from training.linear import train as stage
    from training.linear.alpha import Audience

    table = read_logs(
        logs, user_column=user_column, item_column=item_column, count_column=count_column
    )
    audience = Audience(table, Factorization.load(factors), settings.min_listeners)
    destination = stage.Destination(
        out, read_data(data), factors, evaluation, default=not on_demand, card_version=card_version
    )
    with progress() as bar:
        written, errors = stage.train(
            encoder,
            prepared,
            audience,
            load_split(split) if split else None,
            destination,
            settings,
            patches=patches,
            patch_s=patch_s,
            allow_missing=allow_missing,
            tell=print_account,
            track=lambda label, items: bar.track(items, description=label),
        )
    for name, value in written.card.provenance.hyperparameters.items():
        if name.startswith("alpha"):
            console.print(f"{name}: {value}", highlight=False)
    print_parity(errors, "torch")
    print_bundle(written)
