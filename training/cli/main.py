"""Command line interface `tasteprint-train`: one command per stage, from logs to bundles."""

from __future__ import annotations

import typer

from models.errors import TasteprintError
from training.cli import (
    data,
    datasets,
    estimator,
    leaderboard,
    linear,
    objectives,
    pretrained,
    probes,
    transfer,
    users,
)
from training.cli.mine import command as mine
from training.cli.output import print_error
from training.cli.runs import command as runs
from training.errors import TrainingError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="""Train encoders that predict collaborative-filtering embeddings, and models on top.

    [bold]mine[/] makes a served model of songs and plays, in one command. Its stages, for those who
    want them: [bold]prepare[/] the audio, [bold]split[/] it by artist, [bold]factorize[/] the
    logs without the held-out artists, train the [bold]estimator[/], [bold]evaluate[/] it on the
    held-out artists, [bold]export[/] it as a bundle that the service serves. `make network` runs
    all of these for the paper's network.

    Or export published weights: [bold]musicnn[/], a tagger that has heard recordings; a
    [bold]linear-estimator[/] predicts the item factors from its outputs, fitted in seconds.

    Or train without logs and labels: [bold]similarity[/] learns artist, album or track. On labels:
    [bold]tagging[/]. On vectors of [bold]users[/]: [bold]preference[/].

    Transfer learning with few labels: read a [bold]dataset[/], [bold]compare[/] transfer methods,
    and [bold]ship[/] one of them as a bundle; or fit a [bold]probe[/]. The [bold]leaderboard[/]
    judges all encoders on all tasks. [bold]runs[/] lists and compares what all of these have left.
    """,
)
for stage in (
    mine,
    data,
    estimator,
    linear,
    objectives,
    users,
    pretrained,
    datasets,
    transfer,
    probes,
    leaderboard,
    runs,
):
    app.add_typer(stage.app)


def main() -> None:
    """Run the command line; an error that the user can mend is one line, no stack trace."""
    try:
        app()
    except (TrainingError, TasteprintError) as error:
        print_error(error)
        raise SystemExit(1) from error
    except OSError as error:  # a folder in place of a file, a full disk, a missing permission
        if error.filename is None:
            raise
        print_error(TrainingError(f"{error.filename}: {error.strerror}"))
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
