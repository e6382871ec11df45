"""Listening logs without the held-out items of a split, and the accounts of both joins."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pandas as pd

from training.cf.logs import Logs
from training.datasets.accounts import Account, account_held_out, account_targets
from training.estimator.artist_split import items_of


def read_fitted_logs(
    read: Callable[[Collection[str]], Logs], split: pd.DataFrame | None, *, allow_missing: bool
) -> tuple[Logs, list[Account]]:
    """Logs without the items of the split's test part.

    Parameters
    ----------
    read : reads the logs without the items of these ids
    split : None leaves nothing out

    Raises
    ------
    Unmatched
        If the logs lack held-out items, or too many of the others.
    """
    if split is None:
        return read(()), []
    logs = read(items_of(split, ["test"]))
    fitted = split[split["part"] != "test"]
    return logs, [
        account_held_out(split, logs, allow_missing=allow_missing),
        account_targets(fitted, "not held out", logs.items, allow_missing=allow_missing),
    ]
