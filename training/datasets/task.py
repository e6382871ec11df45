"""Labelled task: a data set with one question, its labels, its tracks and their split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line needs `Kind` alone, and neither pandas nor pydantic
    import pandas as pd

    from models.card import Data

Kind = Literal["classification", "regression", "multilabel"]


@dataclass(frozen=True)
class Task:
    """A labelled data set and the one question that a model answers for it.

    Parameters
    ----------
    name : data set and question, `emotify-genre`; results are filed under this name
    card_task : the question alone, `genre`: the `task` of a model's card, as in
        `POST /classify/genre`
    labels : the classes, or the names of the regression targets
    tracks : one row per track whose audio file exists, with `track_id`, `path`, `artist` (or
        another group that must not be split between parts; empty where unknown), `label` or one
        column per target, and the set's own split if it has one: `fold` (0, 1, …) or `part`
        (train, validation, test)
    split : how the tracks are divided, in words, for reports and cards
    data : name, use and licence that a model trained on the set has to state
    missing : files that the set lists and the folder lacks
    """

    name: str
    card_task: str
    kind: Kind
    labels: tuple[str, ...]
    tracks: pd.DataFrame
    split: str
    data: tuple[Data, ...]
    missing: tuple[str, ...] = ()
