"""Extended Ballroom: 4,180 clips of 30 s, thirteen dances.

Source: Marchand, Peeters, "The Extended Ballroom dataset" (2016). Read from its own layout,
`extendedballroom_v1.1.xml` and `<Dance>/<id>.mp3` beside it.

The set is used in ten folds stratified by dance, so its artists are left out here: named, they
would be held apart, and the results would not compare. Nor are its repetitions taken out, which
the XML lists for each song (`exact`, `time`, `version`, `karaoke`): they can be on two sides.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from models.card import Data
from training.datasets.task import Task, audio_by_stem, dealt, keep_present, unpacked
from training.errors import BadDataset

NAME = "extended-ballroom"
INDEX = "extendedballroom_v1.1.xml"
N_FOLDS = 10


def dances(folder: Path) -> Task:
    """Which of thirteen dances the clip is for."""
    present, missing = keep_present(_tracks(folder), NAME)
    return Task(
        name=NAME,
        answers="dance",
        kind="classification",
        labels=tuple(sorted(present["label"].unique())),
        tracks=dealt(present, N_FOLDS, NAME),
        split=f"{N_FOLDS} folds stratified by dance; artists and repetitions can be on two sides",
        data=(Data(name="Extended Ballroom", use="audio and labels", licence="not stated"),),
        missing=missing,
    )


def _tracks(folder: Path) -> pd.DataFrame:
    root = unpacked(folder, ("", "extendedballroom_v1.1"), INDEX, NAME)
    try:
        ballroom = ElementTree.parse(root / INDEX).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise BadDataset(NAME, f"{root / INDEX} cannot be read ({error})") from error
    rows = []
    for dance in ballroom:
        files = audio_by_stem(root / dance.tag)
        for song in dance.iterfind("song"):
            clip = song.get("id", "")
            path = files.get(clip, root / dance.tag / f"{clip}.mp3")
            rows.append((f"{dance.tag}/{clip}", "", dance.tag, str(path)))
    return pd.DataFrame(rows, columns=["track_id", "artist", "label", "path"])
