"""Reader of artist tags: the mood recordings, labelled with what users tagged their artists.

Source of the tags: the Last.fm set of HetRec 2011. Read from a folder that holds two sets beside
each other, `mood-recordings/` (see `mood`; its `artist_id` joins an artist to the logs) and
`lastfm-hetrec2011/artist_tags.csv.gz` (artist_id, tag, n_users).

The labels are weak: of artists, not of recordings, and given by few users. So they serve to
calibrate a tagger and to rank its labels, not to train one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from models.card import Data
from training.datasets.accounts import count_join
from training.datasets.published.mood import LICENCE, TRACKS
from training.datasets.tables import (
    ARTIST_FOLDS,
    add_artist_folds,
    find_by_stem,
    keep_present,
    parse_numbers,
    read_table,
)
from training.datasets.task import Task
from training.errors import BadDataset

NAME = "artist-tags"
RECORDINGS, TAGS = "mood-recordings", "lastfm-hetrec2011/artist_tags.csv.gz"
# A tag counts from so many users on: a single user's tags are too often private ones.
MIN_USERS = 2
# The 50 most frequent tags of the Million Song Dataset, in MusiCNN's order and spelling.
MSD_TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
    *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists"),
    *("classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s"),
    *("chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic"),
    *("experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
    *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal"),
    *("Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy"),
)
DATA = (
    Data(name="4Q and MIREX-like", use="audio", licence=f"{LICENCE}; cite Panda et al. 2013, 2018"),
    Data(name="Last.fm tags, HetRec 2011", use="labels", licence="non-commercial research use"),
)


def read(folder: Path) -> Task:
    """For each of `MSD_TAGS`, 1 where two users or more gave the artist the tag, else 0.

    Tracks of artists to whom no tag at all was given by so many users are left out: nothing is
    known of what such an artist is not.
    """
    place = folder / RECORDINGS
    table = read_table(place / TRACKS, ("track_id", "artist", "artist_id"), NAME)
    tags = read_tags(folder / TAGS)
    tagged = count_join(
        table.rename(columns={"artist_id": "item_id"}),
        "the recordings, by artist_id",
        tags["artist_id"],
        "the tags that count",
    )
    table = table[table["artist_id"].isin(tags["artist_id"])].reset_index(drop=True)
    files = find_by_stem(place / "audio", table["track_id"], NAME)
    tracks = table[["track_id", "artist"]].assign(
        path=[str(files.get(track, place / "audio" / track)) for track in table["track_id"]]
    )
    targets = has_tags(table["artist_id"], tags, MSD_TAGS)
    present, missing = keep_present(pd.concat([tracks, targets], axis=1), NAME)
    return Task(
        name=NAME,
        card_task="tags",
        kind="multilabel",
        labels=MSD_TAGS,
        tracks=add_artist_folds(present, NAME),
        split=ARTIST_FOLDS,
        data=DATA,
        missing=missing,
        accounts=(tagged,),
    )


def has_tags(artist_ids: pd.Series[str], tags: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Whether each artist has each label, as 0.0 and 1.0, shape (len(artist_ids), n_labels).

    Labels and tags are matched without case, spaces and hyphens: `hip hop` is `Hip-Hop`.

    Parameters
    ----------
    tags : one row per artist and tag that counts, with `artist_id` and `tag`
    """
    spelled = tags["tag"].map(_spell)
    by_tag = tags["artist_id"].groupby(spelled).agg(set).to_dict()
    return pd.DataFrame(
        {label: artist_ids.isin(by_tag.get(_spell(label), set())) for label in labels}
    ).astype(float)


def read_tags(path: Path) -> pd.DataFrame:
    """The tags that count, of every artist that has one.

    Raises
    ------
    BadDataset
        Where no tag counts.
    """
    table = read_table(path, ("artist_id", "tag", "n_users"), NAME)
    numbers = parse_numbers(table.assign(track_id=table["artist_id"]), ("n_users",), NAME)
    tags = numbers[numbers["n_users"] >= MIN_USERS]
    if tags.empty:
        raise BadDataset(NAME, f"{path} has no tag of {MIN_USERS} users or more; complete the file")
    return tags


def _spell(tag: str) -> str:
    return tag.casefold().replace(" ", "").replace("-", "")
