"""Verdict: the folds pooled, whether the model knows more than the mean vector, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import NothingToEvaluate
from training.evaluation.names import CEILING, MEAN, MEL, NETWORK, SHUFFLED, ridge_on
from training.evaluation.ranking_metrics import bootstrap_over_groups
from training.tables.measures import write_measures

GROUP = "songs"
METHODS = (SHUFFLED, MEAN, ridge_on(MEL), NETWORK, CEILING)
# What knows nothing of a song: the same vector for all, and the vectors of other songs. The mean of
# the fitted songs can be worse than guessing for the others, so that it alone is no bar.
NOTHING = (MEAN, SHUFFLED)
# A mean with the low and the high end of its 95 % interval.
Interval = tuple[float, float, float]
Values = NDArray[np.generic]


@dataclass(frozen=True)
class Verdict:
    """User AUC on artists that no part of the model has heard.

    Attributes
    ----------
    user_auc : method → interval
    gains : over each of `NOTHING`, paired
    n_songs, n_artists : that were judged
    has_artists : whether songs were held out by artist; else each song by itself
    encoder_knows : whether the encoder was fine-tuned on these songs, and only the linear map is
        fitted without them
    """

    user_auc: dict[str, Interval]
    gains: dict[str, Interval]
    n_songs: int
    n_artists: int
    has_artists: bool
    encoder_knows: bool = False

    @property
    def is_better(self) -> bool:
        """Whether both gains are above 0, and the model above guessing, over whole intervals."""
        lowest = [low for _, low, _ in self.gains.values()]
        return min(lowest) > 0 and self.user_auc[NETWORK][1] > 0.5

    def describe(self) -> str:
        """The summary in words."""
        mean, low, high = self.user_auc[NETWORK]
        heard = "artists" if self.has_artists else "songs"
        where = f"on {heard} it never heard"
        if self.encoder_knows:
            where = f"on {heard} that its linear map never heard, but its fine-tuned encoder did,"
        return (
            f"{where} it ranks listeners at {mean:.2f} ({low:.2f} to {high:.2f}; guessing 0.50, "
            f"the same vector for every song {self.user_auc[MEAN][0]:.2f}, the best possible"
            f" {self.user_auc[CEILING][0]:.2f}), judged on {self.n_songs} songs"
        )

    def refuse(self) -> str:
        """Why the model is not worth serving."""
        (mean, low, high), (own, least, most) = (self.gains[name] for name in NOTHING)
        return (
            f"{self.describe()}: the model is no better than one that knows nothing of the sound; "
            f"it adds {mean:+.3f} ({low:+.3f} to {high:+.3f}) to the mean vector, and "
            f"{own:+.3f} ({least:+.3f} to {most:+.3f}) to the vectors of other songs"
        )


def pool(
    folds: Sequence[Mapping[str, Values]],
    out: Path,
    *,
    min_listeners: int,
    has_artists: bool,
    encoder_knows: bool = False,
) -> Verdict:
    """Pool the folds, and write `measures.json` as `evaluate` does.

    Intervals are over artists, and for recall and nDCG over users.

    Raises
    ------
    NothingToEvaluate
    """
    if not folds:
        raise NothingToEvaluate(0, min_listeners)
    groups = {"clip": _index(folds, "artists"), "user": _index(folds, "users")}
    methods: dict[str, Any] = {method: {} for method in METHODS}
    for key in folds[0]:
        kind, *rest = key.split("/")
        if rest:
            method, measure = rest
            values = _join(folds, key)
            methods[method][measure] = list(bootstrap_over_groups(values, groups[kind]))
    own = _join(folds, f"clip/{NETWORK}/user_auc")
    gains = {
        name: bootstrap_over_groups(own - _join(folds, f"clip/{name}/user_auc"), groups["clip"])
        for name in NOTHING
    }
    verdict = Verdict(
        {method: tuple(methods[method]["user_auc"]) for method in METHODS},
        gains,
        len(own),
        int(groups["clip"].max()) + 1,
        has_artists,
        encoder_knows,
    )
    group = {
        "n_clips": verdict.n_songs,
        "n_items": sum(int(fold["n_items"]) for fold in folds),
        "n_artists": verdict.n_artists,
        "methods": methods,
        "differences": {
            f"{NETWORK} − {name}": {"user_auc": list(gain)} for name, gain in gains.items()
        },
    }
    stated = {"min_listeners": min_listeners, "encoders": [], "n_folds": len(folds)}
    write_measures(out, stated | {"groups": {GROUP: group}})
    return verdict


def _join(folds: Sequence[Mapping[str, Values]], key: str) -> NDArray[np.float64]:
    return np.concatenate([fold[key] for fold in folds]).astype(np.float64)


def _index(folds: Sequence[Mapping[str, Values]], key: str) -> NDArray[np.int64]:
    names = np.concatenate([fold[key] for fold in folds])
    return np.asarray(np.unique(names, return_inverse=True)[1], np.int64)
