"""Options of a linear CF estimator; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from training.errors import BadExport, BadSource

# Outputs of MusiCNN that an embedding can be made of: the network keeps no layer for the tags.
SOURCES = ("features", "max_pool", "mean_pool", "mel_statistics")


@dataclass(frozen=True)
class LinearSettings:
    """What the map is fitted on, and how its penalty is chosen."""

    source: Annotated[
        str,
        Doc(
            "Encoder output to fit on: features, max_pool, mean_pool or mel_statistics; "
            "features+mean_pool concatenates two."
        ),
    ] = "features"
    per_set: Annotated[
        bool,
        Doc(
            "Fit a map for each --prepared, and a gate that tells the sets apart by their sound "
            "and mixes the maps by its probabilities."
        ),
    ] = False
    levels: Annotated[bool, Doc("Keep the encoder's levels and tags as outputs of the bundle.")] = (
        False
    )
    min_listeners: Annotated[
        int,
        Doc("Minimum number of listeners of an item to be counted in the choice of alpha."),
        Ge(1),
    ] = 3
    seed: Annotated[int, Doc("Random seed of the inner folds of artists.")] = 0

    @property
    def sources(self) -> tuple[str, ...]:
        """The outputs that are concatenated."""
        return tuple(name.strip() for name in self.source.split("+"))


def check_settings(settings: LinearSettings, n_sets: int) -> None:
    """Refuse outputs that no map can take, and maps for each of a single set.

    Raises
    ------
    BadSource, BadExport
    """
    for name in settings.sources:
        if name not in SOURCES or settings.sources.count(name) > 1:
            raise BadSource(name, SOURCES)
    if settings.per_set and n_sets < 2:
        raise BadExport("--per-set", f"needs two --prepared or more, and there is {n_sets}")
