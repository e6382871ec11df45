"""Reader of Extended Ballroom: 4,180 clips of 30 s, thirteen dances.

Source: Marchand, Peeters, "The Extended Ballroom dataset" (2016). Read from its own layout,
`extendedballroom_v1.1.xml` and `<Dance>/<id>.mp3` beside it.

The set is published with ten folds stratified by dance. Artists are left empty here: folds grouped
by artist would not be comparable with published results. Repetitions, which the XML lists for each
song (`exact`, `time`, `version`, `karaoke`), are kept, so that they can be in train and test both.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from models.card import Data
from training.datasets.tables import add_folds, find_by_stem, find_root, keep_present
from training.datasets.task import Task
from training.errors import BadDataset

NAME = "extended-ballroom"
INDEX = "extendedballroom_v1.1.xml"
N_FOLDS = 10


def read(folder: Path) -> Task:
    """Classification into thirteen dances."""
    present, missing = keep_present(_read_tracks(folder), NAME)
    return Task(
        name=NAME,
        card_task="dance",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=add_folds(present, N_FOLDS, NAME),
        split=f"{N_FOLDS} folds stratified by dance; artists and repetitions can be on two sides",
        data=(Data(name="Extended Ballroom", use="audio and labels", licence="not stated"),),
        missing=missing,
    )


def _read_tracks(folder: Path) -> pd.DataFrame:
    root = find_root(folder, ("", "extendedballroom_v1.1"), INDEX, NAME)
    try:
        ballroom = ElementTree.parse(root / INDEX).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise BadDataset(NAME, f"{root / INDEX} cannot be read ({error})") from error
    rows = []
    for dance in ballroom:
        clips = [song.get("id", "") for song in dance.iterfind("song")]
        files = find_by_stem(root / dance.tag, clips, NAME)
        for clip in clips:
            path = files.get(clip, root / dance.tag / f"{clip}.mp3")
            rows.append((f"{dance.tag}/{clip}", "", dance.tag, str(path)))
    return pd.DataFrame(rows, columns=["track_id", "artist", "label", "path"])
