"""Split of custom data: by its own parts or folds, or by new folds; checked to be trainable."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.datasets.folds import N_FOLDS, VALIDATION_FOLDS, assign_folds
from training.datasets.tables import parse_folds
from training.errors import BadDataset

PARTS = ("train", "validation", "test")
# Without one of the folds, each fold that the validation part is chosen from still has a track.
MIN_TRACKS = ceil(VALIDATION_FOLDS * N_FOLDS / (N_FOLDS - 1))


def split_tracks(tracks: pd.DataFrame, name: str) -> tuple[pd.DataFrame, str]:
    """The tracks with a `fold` or a `part`, and the split in words.

    Raises
    ------
    BadDataset
        Where a part or fold is invalid, or too few tracks would be left to train on.
    """
    if "label" in tracks and tracks["label"].nunique() == 1:
        raise BadDataset(
            name,
            f"all {len(tracks)} tracks with an audio file have the label "
            f"{tracks['label'].iloc[0]!r}; a classifier needs two classes or more",
        )
    if "part" in tracks and "fold" in tracks:
        raise BadDataset(name, "it has a part and a fold for each track; remove one of the columns")
    if "part" in tracks:
        _refuse_parts(tracks, name)
        split = f"parts of its own{_describe_overlap(tracks)}"
    elif "fold" in tracks:
        tracks = tracks.assign(fold=_parse_folds(tracks, name))
        split = f"{tracks['fold'].max() + 1} folds of its own{_describe_overlap(tracks)}"
    else:
        _refuse_few(tracks, name)
        tracks = tracks.assign(fold=assign_folds(tracks))
        split = f"{N_FOLDS} folds {_describe_folds(tracks)}"
    _check_trainable(tracks, name)
    return tracks, split


def _describe_folds(tracks: pd.DataFrame) -> str:
    if (tracks["artist"] != "").any():
        return "by artist, none on two sides"
    return ("stratified by label" if "label" in tracks else "at random") + " (no artists given)"


def _describe_overlap(tracks: pd.DataFrame) -> str:
    """Whether a split that the data states keeps each artist in one part."""
    known = tracks[tracks["artist"] != ""]
    parts = known["part"] if "part" in known else known["fold"]
    shared = int((parts.groupby(known["artist"]).nunique() > 1).sum())
    if len(known) == 0:
        return " (no artists given)"
    return f", {shared} artists on two sides" if shared else ", no artist on two sides"


def _refuse_parts(tracks: pd.DataFrame, name: str) -> None:
    invalid = tracks[~tracks["part"].isin(PARTS)]
    if len(invalid):
        row = invalid.iloc[0]
        raise BadDataset(
            name, f"{row['track_id']} has the part {row['part']!r}; it must be {' or '.join(PARTS)}"
        )
    for part in ("train", "test"):
        if not (tracks["part"] == part).any():
            raise BadDataset(name, f"no track with an audio file has the part {part!r}")


def _parse_folds(tracks: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """Folds counted from 0, of a column that counts from 0 or 1."""
    folds = parse_folds(tracks["fold"], tracks["track_id"], name)
    found = sorted(set(folds.tolist()))
    if len(found) < 2 or found[0] > 1 or found != list(range(found[0], found[-1] + 1)):
        raise BadDataset(
            name,
            f"the folds of the tracks with an audio file are {', '.join(map(str, found))}; there "
            "must be two or more, counted from 0 or 1, and none empty",
        )
    return np.asarray(folds - found[0])


def _refuse_few(tracks: pd.DataFrame, name: str) -> None:
    for what, count in _counts(tracks, tracks).items():
        if count < MIN_TRACKS:
            raise BadDataset(
                name,
                f"{count} {what} have audio files, and {N_FOLDS} folds need {MIN_TRACKS} or more; "
                "add some, or leave the class or the column out",
            )


def _check_trainable(tracks: pd.DataFrame, name: str) -> None:
    """Each class has tracks to train on, and enough artists to choose a validation part from."""
    stated = "part" in tracks and (tracks["part"] == "validation").any()
    needed = 1 if stated else VALIDATION_FOLDS
    for condition, training in _training_masks(tracks):
        for what, count in _counts(tracks[training], tracks).items():
            if count < needed:
                raise BadDataset(
                    name,
                    f"{condition}, {count} {what} are left to train on, and {needed} or more are "
                    "needed; split the tracks otherwise, or add some",
                )


def _training_masks(tracks: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The training part of each fold, in words and as a mask, before validation is taken out."""
    if "part" in tracks:
        yield "with these parts", (tracks["part"] == "train").to_numpy()
        return
    folds = tracks["fold"].to_numpy()
    for fold in range(folds.max() + 1):
        yield f"without fold {fold} (of 0 to {folds.max()})", folds != fold


def _counts(tracks: pd.DataFrame, whole: pd.DataFrame) -> dict[str, int]:
    """Number of tracks of each class of the whole set, and number of artists.

    A track whose artist is unknown counts as one artist.
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
