"""Training of user vectors: listening logs -> vectors of users and items, and a report.

Source: Chen and Liang 2020, section 2, whose users' 40-d vectors are by YoutubeDNN (Covington et
al. 2016) from listening histories. What these logs cannot give: an item is what the logs name, an
artist in logs of artists; and without times a history is the user's other items, not the earlier
ones, and a held-out item is drawn at random, not the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from training.cf.logs import Logs
from training.datasets.accounts import Account
from training.errors import TooFewEntries
from training.fitting.curves import draw_curves
from training.fitting.settings import KIND
from training.fitting.trainer import fit, load_best, seed_and_silence
from training.users.held_out import HeldOutEntries, hold_out, pad_histories
from training.users.module import UserModule, make_loaders
from training.users.recommendation import by_als, by_popularity, by_vectors, measure, vectors_of
from training.users.settings import UserSettings
from training.users.summary import (
    ALS,
    NETWORK,
    POPULARITY,
    save_per_user,
    summarize,
    write_table,
)
from training.users.vectors import UserVectors


def train(
    logs: Logs,
    out: Path,
    settings: UserSettings,
    *,
    split: pd.DataFrame | None = None,
    accounts: Sequence[Account] = (),
    resume: bool = True,
    show_progress: bool = True,
) -> UserVectors:
    """Train the tower, measure it beside ALS and popularity, and write the vectors.

    The vector of a user is made from the whole history, held-out items included; the report is of
    vectors from the training part alone. `out` receives `vectors.npz`, `report.json`, `report.md`,
    `per_user.npz`, a figure of the losses, and what `training.fitting.trainer.fit` writes.

    Parameters
    ----------
    logs : without the items that `split` holds out
    split, accounts : recorded in the run folder

    Raises
    ------
    TooFewEntries
    OtherRun
        If `out` holds a run with other settings or logs.
    """
    entries = hold_out(
        logs.user_items,
        test_share=settings.test_share,
        min_entries=settings.min_entries,
        seed=settings.seed,
    )
    if not (entries.validation >= 0).any():
        raise TooFewEntries(len(logs.users), settings.min_entries)
    seed_and_silence(settings)
    module = UserModule(entries, settings)
    fit(
        module,
        *make_loaders(entries, settings),
        out,
        settings,
        extra_identity={} if split is None else {"split.csv": split.to_csv(index=False)},
        records={KIND: "users\n"},
        resume=resume,
        show_progress=show_progress,
    )
    draw_curves(out)
    load_best(module, out)
    tower = module.tower.cpu().eval()
    histories = pad_histories(logs.user_items, settings.max_history, settings.seed)
    vectors = UserVectors(*vectors_of(tower, histories), logs.users, logs.items)
    report: dict[str, Any] = {"settings": settings.to_record(), "logs": logs.report}
    report["accounts"] = [account.to_json() for account in accounts]
    if len(entries.tested_users):
        report |= _evaluate(module, entries, logs, out, settings)
    vectors.save(out, report)
    return vectors


def _evaluate(
    module: UserModule, entries: HeldOutEntries, logs: Logs, out: Path, settings: UserSettings
) -> dict[str, Any]:
    """Recommendation of the test entries by each method; written into the run folder."""
    histories = pad_histories(entries.training, settings.max_history, settings.seed)
    als, penalty = by_als(entries, settings.dim, settings.seed)
    methods = {
        POPULARITY: by_popularity(entries),
        ALS: als,
        NETWORK: by_vectors(*vectors_of(module.tower, histories)),
    }
    found = {method: measure(score, entries) for method, score in methods.items()}
    save_per_user(out, logs.users[entries.tested_users].to_numpy(str), found)
    summary = summarize([out])
    write_table(out, summary)
    return {"als_regularization": penalty, "n_test": int(entries.test.nnz)} | summary
