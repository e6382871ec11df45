"""Training of an encoder on users' preference: prepared windows and vectors of users.

Source: Chen and Liang 2020, section 2. What differs: an item of the logs is an artist, so a liked
track is any clip of an artist that the user played; see `pairs` for disliked ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.cf.logs import Logs
from training.errors import HeldOutItems
from training.estimator.artist_split import PARTS, items_of
from training.estimator.space import SPACE
from training.networks.base import Encoder
from training.objectives import module
from training.objectives.clips import divide_clips
from training.objectives.division import Division
from training.objectives.run import check_windows, fit_groups
from training.preference.objective import PreferenceHinge
from training.preference.pairs import PreferenceDraws, find_listeners
from training.preference.settings import PreferenceSettings
from training.users.vectors import VECTORS, UserVectors

COMMAND = "preference"
TRAIN, VALIDATION, TEST = PARTS
# File of a run folder: what the vectors of its users were fitted on.
FITTED = "fitted.json"


@dataclass(frozen=True)
class Users:
    """Vectors of users, the space that they live in, and what they were fitted on.

    Attributes
    ----------
    vectors : float32, shape (n_users, dim)
    items : ids of the items in the logs that the vectors were fitted on
    """

    ids: pd.Index
    vectors: NDArray[np.float32]
    space: str
    items: pd.Index

    @classmethod
    def load(cls, folder: Path) -> Users:
        """From a folder of `users`, or the user factors of one of `factorize`.

        Raises
        ------
        MissingInput, MixedFactors
        """
        if (folder / VECTORS).exists():
            made = UserVectors.load(folder)
            return cls(made.users, made.user_vectors, made.space, made.items)
        factors = Factorization.load(folder)
        return cls(factors.users, factors.user_factors, factors.space, factors.items)

    def count_held_out(self, split: pd.DataFrame) -> dict[str, int]:
        """Number of the items that the vectors were fitted on, and of those held out from them.

        Raises
        ------
        HeldOutItems
            If the vectors were fitted on test items of the split.
        """
        held_out = items_of(split, [TEST])
        common = sorted(held_out.intersection(self.items))
        if common:
            raise HeldOutItems(len(common), len(held_out), common[0])
        return {"n_items": len(self.items), "n_held_out": len(held_out)}


def train(
    prepared: Prepared,
    split: pd.DataFrame,
    logs: Logs,
    users: Users,
    out: Path,
    settings: PreferenceSettings,
    *,
    resume: bool = True,
    show_progress: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:
    """Train, keeping the checkpoint with the lowest validation loss; returns its path.

    The embedding has the dimension of the users' vectors, whatever the settings say. `out` receives
    the clips with their parts, the space of the vectors, the number of items that they were fitted
    on, and what `training.fitting.trainer.fit` writes.

    Parameters
    ----------
    prepared : with `item_id`, an id of the logs
    split : of `tasteprint-train split`
    logs : at least those of the clips' items
    tell : called with lines about clips that are left out, and the parts

    Raises
    ------
    HeldOutItems, NoPairsToTrain
    UnknownEncoder, BadCrop, BadPatches, OtherAudio, OtherRun
    """
    settings = replace(settings, embedding_dim=users.vectors.shape[1])
    fitted = users.count_held_out(split)
    check_windows(prepared, settings)
    clips, left_out = divide_clips(prepared.tracks, split, by_song=False)
    tell(str(left_out))
    tracks = prepared.tracks.set_index("row").loc[clips["row"]].reset_index()
    clips = clips.assign(item_id=tracks["item_id"].to_numpy())
    draws = {}
    for part in (TRAIN, VALIDATION):
        own = clips[clips["part"] == part].reset_index(drop=True)
        draws[part] = PreferenceDraws(
            own, find_listeners(own, logs, users.ids, users.vectors), part
        )
        tell(
            f"{part}: {len(draws[part])} clips with listeners, "
            f"of {len(draws[part].listeners.artists)} artists"
        )
    return fit_groups(
        prepared,
        clips,
        draws[TRAIN],
        draws[VALIDATION],
        lambda network: PreferenceHinge(settings.margin),
        out,
        settings,
        command=COMMAND,
        extra_identity={SPACE: f"{users.space}\n"},
        records=Division.of(split, by_song=False).records | {FITTED: json.dumps(fitted) + "\n"},
        resume=resume,
        show_progress=show_progress,
    )


def load_network(run: Path) -> tuple[Encoder, PreferenceSettings]:
    """The best network of a run in evaluation mode, and the settings that it was trained with.

    Raises
    ------
    MissingInput, UnknownEncoder
    """
    return module.load_network(run, PreferenceSettings, COMMAND)


def read_fitted(run: Path) -> dict[str, int] | None:
    """See `Users.count_held_out`; None of a run from before it was recorded."""
    path = run / FITTED
    return json.loads(path.read_text()) if path.is_file() else None
