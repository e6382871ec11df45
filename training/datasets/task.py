"""Labelled task: a data set with one question, its labels, its tracks and their split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line needs `Kind` alone, and neither pandas nor pydantic
    import pandas as pd

    from models.card import Data
    from training.datasets.accounts import Account

# With `multilabel`, each label has an answer of its own: yes, 1, or no, 0.
Kind = Literal["classification", "regression", "multilabel"]


@dataclass(frozen=True)
class Task:
    """A labelled data set and the one question that a model answers for it.

    Parameters
    ----------
    name : data set and question, `emotify-genre`; results are filed under this name
    card_task : the question alone, `genre`: the `task` of a model's card, as in
        `POST /classify/genre`
    labels : the classes or labels, or the names of the regression targets
    tracks : one row per track whose audio file exists, with `track_id`, `path`, `artist` (or
        another group that must not be split between parts; empty where unknown), `label` or one
        column per target (of a multilabel task, per label), and the set's own split if it has one:
        `fold` (0, 1, …) or `part` (train, validation, test)
    split : how the tracks are divided, in words, for reports and cards
    data : name, use and licence that a model trained on the set has to state
    missing : files that the set lists and the folder lacks
    accounts : of tables that the reader has joined
    groups : name of a group → the labels whose probabilities are added, for example valence:
        happy, calm; for the card
    """

    name: str
    card_task: str
    kind: Kind
    labels: tuple[str, ...]
    tracks: pd.DataFrame
    split: str
    data: tuple[Data, ...]
    missing: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accounts: tuple[Account, ...] = ()
