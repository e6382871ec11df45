"""A user's own songs divided: by their own parts or folds, or dealt, and proven to be enough."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.datasets.folds import N_FOLDS, VALIDATION_FOLDS, deal_folds
from training.errors import BadDataset

PARTS = ("train", "validation", "test")
# So many that without one fold there is still one for each fold that validation is dealt from.
MIN_TRACKS = ceil(VALIDATION_FOLDS * N_FOLDS / (N_FOLDS - 1))


def divide(tracks: pd.DataFrame, name: str) -> tuple[pd.DataFrame, str]:
    """The tracks with a `fold` or a `part`, and in words how they are divided.

    Raises
    ------
    BadDataset
        Where a part or fold is not one, or too little would be left to train on.
    """
    if "label" in tracks and tracks["label"].nunique() == 1:
        raise BadDataset(
            name,
            f"all {len(tracks)} tracks that are there have the label {tracks['label'].iloc[0]!r}; "
            "a classifier needs two classes or more",
        )
    if "part" in tracks and "fold" in tracks:
        raise BadDataset(name, "it has a part and a fold for each track; leave one of them out")
    if "part" in tracks:
        _refuse_parts(tracks, name)
        split = f"parts of its own{_overlap(tracks)}"
    elif "fold" in tracks:
        tracks = tracks.assign(fold=_own_folds(tracks, name))
        split = f"{tracks['fold'].max() + 1} folds of its own{_overlap(tracks)}"
    else:
        _refuse_few(tracks, name)
        tracks = tracks.assign(fold=deal_folds(tracks))
        split = f"{N_FOLDS} folds {_how(tracks)}"
    _prove_trainable(tracks, name)
    return tracks, split


def _how(tracks: pd.DataFrame) -> str:
    if (tracks["artist"] != "").any():
        return "by artist, none on two sides"
    return ("stratified by label" if "label" in tracks else "at random") + " (no artists given)"


def _overlap(tracks: pd.DataFrame) -> str:
    """Whether a split that we did not make holds artists apart."""
    known = tracks[tracks["artist"] != ""]
    sides = known["part"] if "part" in known else known["fold"]
    shared = int((sides.groupby(known["artist"]).nunique() > 1).sum())
    if len(known) == 0:
        return " (no artists given)"
    return f", {shared} artists on two sides" if shared else ", no artist on two sides"


def _refuse_parts(tracks: pd.DataFrame, name: str) -> None:
    strange = tracks[~tracks["part"].isin(PARTS)]
    if len(strange):
        row = strange.iloc[0]
        raise BadDataset(
            name, f"{row['track_id']} has the part {row['part']!r}; it must be {' or '.join(PARTS)}"
        )
    for part in ("train", "test"):
        if not (tracks["part"] == part).any():
            raise BadDataset(name, f"no track that is there has the part {part!r}")


def _own_folds(tracks: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """Folds from 0, of a column that counts from 0 or 1."""
    strange = tracks[~tracks["fold"].str.fullmatch(r"\d{1,4}")]
    if len(strange):
        row = strange.iloc[0]
        raise BadDataset(
            name, f"{row['track_id']} has the fold {row['fold']!r}; it must be a number, 0, 1, 2, …"
        )
    folds = tracks["fold"].to_numpy().astype(np.int64)
    found = sorted(set(folds.tolist()))
    if len(found) < 2 or found[0] > 1 or found != list(range(found[0], found[-1] + 1)):
        raise BadDataset(
            name,
            f"the folds of the tracks that are there are {', '.join(map(str, found))}; there must "
            "be two or more, counted from 0 or 1, and none empty",
        )
    return np.asarray(folds - found[0])


def _refuse_few(tracks: pd.DataFrame, name: str) -> None:
    for what, count in _counts(tracks, tracks).items():
        if count < MIN_TRACKS:
            raise BadDataset(
                name,
                f"{count} {what} are there, and {N_FOLDS} folds need {MIN_TRACKS} or more; "
                "add some, or leave the class or the column out",
            )


def _prove_trainable(tracks: pd.DataFrame, name: str) -> None:
    """Each class is trained on, with enough tracks and artists left to deal a validation part."""
    stated = "part" in tracks and (tracks["part"] == "validation").any()
    needed = 1 if stated else VALIDATION_FOLDS
    for when, training in _trainings(tracks):
        for what, count in _counts(tracks[training], tracks).items():
            if count < needed:
                raise BadDataset(
                    name,
                    f"{when}, {count} {what} are left to train on, and {needed} or more are "
                    "needed; divide the tracks otherwise, or add some",
                )


def _trainings(tracks: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """In words and as a mask, what each fold trains on, validation not yet taken out of it."""
    if "part" in tracks:
        yield "with these parts", (tracks["part"] == "train").to_numpy()
        return
    folds = tracks["fold"].to_numpy()
    for fold in range(folds.max() + 1):
        yield f"without fold {fold} (of 0 to {folds.max()})", folds != fold


def _counts(tracks: pd.DataFrame, whole: pd.DataFrame) -> dict[str, int]:
    """How many tracks of each class of the whole set are here, and how many artists.

    A track whose artist is not known counts as by an artist of its own.
    """
    if "label" in whole:
        counts = {
            f"tracks of the class {label!r}": int((tracks["label"] == label).sum())
            for label in sorted(whole["label"].unique())
        }
    else:
        counts = {"tracks": len(tracks)}
    known = tracks["artist"][tracks["artist"] != ""]
    return counts | {"artists": int(known.nunique()) + len(tracks) - len(known)}
