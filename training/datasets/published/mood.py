"""Reader of mood recordings: excerpts of commercial recordings in mood quadrants or clusters.

Sources: Panda, Malheiro, Paiva, "Novel audio features for music emotion recognition" (2018), the
4Q set: four quadrants of valence and arousal, from mood words of AllMusic; and "Multi-modal music
emotion recognition" (CMMR 2013), the MIREX-like set: five clusters of mood words. Read here from a
packed form of both: `tracks.csv` (track_id, source, artist, quadrant, cluster) and
`audio/<track_id>.*`.

No recording is in both sets, but five songs stand twice in the clusters, two of them in two
clusters; their artists keep them in one fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.card import Data
from training.datasets.tables import (
    ARTIST_FOLDS,
    add_artist_folds,
    find_by_stem,
    keep_present,
    read_table,
)
from training.datasets.task import Task
from training.errors import BadDataset

TRACKS = "tracks.csv"
LICENCE = "commercial recordings; research and evaluation only, not for redistribution"


@dataclass(frozen=True)
class Question:
    """One of the two sets: the column and names of its labels, and groups of labels."""

    name: str
    card_task: str
    source: str
    column: str
    labels: Mapping[str, str]
    data: Data
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


QUADRANTS = Question(
    "mood-quadrant",
    "mood",
    "4q",
    "quadrant",
    # Counted against the clock from positive valence and high arousal.
    {"Q1": "happy", "Q2": "tense", "Q3": "sad", "Q4": "calm"},
    Data(name="4Q", use="audio and labels", licence=f"{LICENCE}; cite Panda et al. 2018"),
    {"valence": ("happy", "calm"), "arousal": ("happy", "tense")},
)
CLUSTERS = Question(
    "mood-cluster",
    "mood-cluster",
    "mirex-like",
    "cluster",
    # A cluster is five to seven words (passionate, rousing, confident, …); one stands for all.
    {"1": "rousing", "2": "cheerful", "3": "wistful", "4": "humorous", "5": "aggressive"},
    Data(name="MIREX-like", use="audio and labels", licence=f"{LICENCE}; cite Panda et al. 2013"),
)


def read_quadrants(folder: Path) -> Task:
    """Classification into happy, tense, sad and calm; valence and arousal are their halves."""
    return _read(folder, QUADRANTS)


def read_clusters(folder: Path) -> Task:
    """Classification into the five mood clusters of MIREX."""
    return _read(folder, CLUSTERS)


def _read(folder: Path, question: Question) -> Task:
    name, column = question.name, question.column
    table = read_table(folder / TRACKS, ("track_id", "source", "artist", column), name)
    table = table[table["source"] == question.source]
    strange = sorted(set(table[column]) - question.labels.keys())
    if strange:
        raise BadDataset(
            name, f"{TRACKS} has the {column} {strange[0]!r}, not {', '.join(question.labels)}"
        )
    files = find_by_stem(folder / "audio", table["track_id"], name)
    tracks = table[["track_id", "artist"]].assign(
        label=table[column].map(question.labels),
        path=[str(files.get(track, folder / "audio" / track)) for track in table["track_id"]],
    )
    present, missing = keep_present(tracks, name)
    return Task(
        name=name,
        card_task=question.card_task,
        kind="classification",
        labels=tuple(question.labels.values()),
        tracks=add_artist_folds(present, name),
        split=ARTIST_FOLDS,
        data=(question.data,),
        missing=missing,
        groups=question.groups,
    )
