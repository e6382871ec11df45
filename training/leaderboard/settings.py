"""Settings of a leaderboard; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from typing_extensions import Doc

from training.datasets.task import Kind

Classifier = Literal["logistic", "rbf-svm"]
# Entries are read from here, relative to the working directory.
ENTRIES = "training/leaderboard.json"


@dataclass(frozen=True)
class LeaderboardSettings:
    """The one recipe that every entry is judged by."""

    probe: Annotated[
        Classifier,
        Doc(
            "Probe of labelled tasks: logistic (for regression tasks: ridge) or rbf-svm; its "
            "hyperparameters are chosen by nested cross-validation."
        ),
    ] = "logistic"
    min_listeners: Annotated[
        int, Doc("Minimum number of listeners of a held-out item to be judged."), Ge(1)
    ] = 10

    def kind_for(self, task_kind: Kind) -> str:
        """The kind of probe for a kind of task."""
        return "ridge" if (self.probe, task_kind) == ("logistic", "regression") else self.probe
