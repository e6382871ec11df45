"""Commands that make vectors of users from listening logs, and train an encoder towards them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import checks
from training.cli.options import (
    AllowMissing,
    CountColumn,
    ItemColumn,
    LogsFiles,
    MinItemUsers,
    MinUserItems,
    Out,
    PreparedDirs,
    Resume,
    UserColumn,
    with_settings,
)
from training.cli.output import console, print_account
from training.preference.settings import PreferenceSettings
from training.users.settings import UserSettings

app = typer.Typer()
# Of audio, or of runs that take hours.
NOT_OPTIONS = ("crop_s", "cosine_schedule", "precision", "devices", "validation_steps")


@app.command()
@with_settings(UserSettings, exclude=NOT_OPTIONS)
def users(
    logs: LogsFiles,
    out: Out,
    settings: UserSettings,
    allow_missing: AllowMissing = False,
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    count_column: CountColumn = None,
    split: Annotated[
        Path | None,
        typer.Option(help="File of `split`: exclude its test items.", callback=checks.check_split),
    ] = None,
    min_user_items: MinUserItems = 1,
    min_item_users: MinItemUsers = 1,
    resume: Resume = True,
) -> None:
    """Train a network that makes vectors of users from their histories (YoutubeDNN).

    Writes the vectors of users and items, and recall@k and nDCG@k of held-out items beside ALS and
    popularity. A stopped run can be resumed.
    """
    from training.cf.logs import read_logs
    from training.estimator.artist_split import load_split
    from training.estimator.fitted_logs import read_fitted_logs
    from training.users.summary import TABLE
    from training.users.train import train

    parts = load_split(split) if split else None
    table, accounts = read_fitted_logs(
        lambda excluded: read_logs(
            logs,
            user_column=user_column,
            item_column=item_column,
            count_column=count_column,
            exclude_items=excluded,
            min_user_items=min_user_items,
            min_item_users=min_item_users,
        ),
        parts,
        allow_missing=allow_missing,
    )
    for account in accounts:
        print_account(account)
    vectors = train(table, out, settings, split=parts, accounts=accounts, resume=resume)
    if (out / TABLE).exists():
        console.print((out / TABLE).read_text(), markup=False, soft_wrap=True)
    console.print(f"vectors of {len(vectors.users)} users in {out}, space {vectors.space}")


@app.command()
def users_summary(
    run: Annotated[
        list[Path],
        typer.Option(
            help="Folder of `users`; given once for each seed.", callback=checks.check_user_runs
        ),
    ],
    out: Out,
) -> None:
    """Pool runs of `users` with several seeds: means over runs, and intervals over users."""
    import json

    from training.users.summary import summarize, write_table

    summary = summarize(run)
    table = write_table(out, summary)
    (out / "measures.json").write_text(json.dumps(summary, indent=2) + "\n")
    console.print(table, markup=False, soft_wrap=True)


@app.command()
@with_settings(PreferenceSettings, exclude={"embedding_dim"})
def preference(
    prepared: PreparedDirs,
    logs: LogsFiles,
    users: Annotated[
        Path,
        typer.Option(
            help="Folder of `users`, or of `factorize`: the vectors of users.",
            callback=checks.check_user_vectors,
        ),
    ],
    out: Out,
    settings: PreferenceSettings,
    split: Annotated[
        Path,
        typer.Option(
            help="File of `split`: its test artists are not heard, its validation artists "
            "validate.",
            callback=checks.check_split,
        ),
    ],
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    resume: Resume = True,
) -> None:
    """Train an encoder whose vector of a clip is near the vectors of users who like it; resumable.

    Liked is a clip whose artist the user played, disliked one by an artist whom the user never
    played, drawn by the number of its listeners.
    """
    checks.check_width(settings.encoder, settings.width)
    for folder in prepared:
        checks.check_crop(folder, settings.crop_s)
    from training.audio.prepared_sets import load_sets
    from training.cf.logs import read_logs
    from training.estimator.artist_split import load_split
    from training.preference import train as stage

    best = stage.train(
        load_sets(prepared),
        load_split(split),
        read_logs(logs, user_column=user_column, item_column=item_column),
        stage.Users.load(users),
        out,
        settings,
        resume=resume,
        tell=print_account,
    )
    console.print(f"best checkpoint: {best}")
