"""Verdict on the network: what it adds to the linear map, on songs that neither has heard."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.mine.network.training import Length
from training.mine.verdict import Interval, Verdict


@dataclass(frozen=True)
class NetworkVerdict:
    """The network beside the linear map, on songs of artists that neither has heard.

    Attributes
    ----------
    folds : that judged
    lengths : of the training in each of them
    linear, gain : user AUC of the linear map, and what the network adds to it, paired
    own : as of the linear map, of the network on these folds
    """

    folds: tuple[int, ...]
    lengths: tuple[Length, ...]
    linear: Interval
    gain: Interval
    own: Verdict

    @property
    def is_better(self) -> bool:
        """Whether the network adds something, over the whole interval."""
        return self.is_trained and self.gain[1] > 0

    @property
    def is_trained(self) -> bool:
        """Whether training lowered the loss on validation artists in any fold."""
        return any(length.steps for length in self.lengths)

    @property
    def length(self) -> Length:
        """Of the last training: the mean over the folds, in intervals of the first of them."""
        first = self.lengths[0]
        n_intervals = np.mean([length.steps / length.interval for length in self.lengths])
        return replace(first, steps=max(1, round(float(n_intervals))) * first.interval)

    def describe(self) -> str:
        """Which of the two is exported, and why."""
        gain, low, high = self.gain
        where = "fold " + ", ".join(map(str, self.folds))
        if not self.is_trained:
            return (
                f"The linear map is exported: a network was fine-tuned too, without {where}, and "
                "no step of it lowered the loss on validation artists."
            )
        both = f"{self.linear[0] + gain:.3f} against {self.linear[0]:.3f}"
        added = (
            f"on the {self.own.n_songs:,} songs of {where}, which neither has heard, it adds "
            f"{gain:+.3f} ({low:+.3f} to {high:+.3f}) to the linear map's user AUC ({both})"
        )
        if self.is_better:
            return f"A fine-tuned network is exported: {added}."
        return f"The linear map is exported: a network was fine-tuned too, and {added}."


def is_worth_serving(linear: Verdict, network: NetworkVerdict | None) -> bool:
    """Whether what is exported is better than what knows nothing of the sound.

    The network's own folds may have too few songs to show it; but what is better than a linear map
    that is worth something is worth something too.
    """
    if network is None or not network.is_better:
        return linear.is_better
    return linear.is_better or network.own.is_better
