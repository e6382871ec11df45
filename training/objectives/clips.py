"""Clips of known artists, and the parts that they train, validate and test in.

There are two ways to divide them. By artist: the parts are those of a split file, and a validation
compares artists that training has not heard. By song: the songs of each artist are divided, and a
validation tells unheard songs of heard artists, as the paper's table 1 does; the test artists of a
split file, if there is one, are left out of every part.

A song may be there twice, under two track ids, in one set or in two: clips of one artist and title
are of one song, in one part of a division by song, and no positive or negative of each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd

from training.audio.prepared_sets import SET
from training.datasets.artist_key import artist_key
from training.estimator.artist_split import PARTS

TRAIN, VALIDATION, TEST = PARTS
COLUMNS = ("track_id", "row", "set", "artist", "album", "song", "part")
# An artist of fewer songs has none to hold out.
MIN_SONGS = 3
# Of an artist's songs, in the validation part and in the test part: 2 of 20 in the paper.
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class LeftOut:
    """Clips that are in no part, and why.

    Attributes
    ----------
    n_kept, n_songs : clips that are in a part, and how many songs they are of
    unknown : without an artist
    unsplit : not in the split file
    held_out : by test artists of the split file, where songs are divided
    """

    n_kept: int
    n_songs: int
    unknown: int
    unsplit: int
    held_out: int

    def __str__(self) -> str:
        return (
            f"{self.n_kept} clips of {self.n_songs} songs; left out: {self.unknown} without an "
            f"artist, {self.unsplit} that the split does not name, {self.held_out} of artists that "
            "it holds out"
        )


def divide_clips(
    tracks: pd.DataFrame, split: pd.DataFrame | None, *, by_song: bool
) -> tuple[pd.DataFrame, LeftOut]:
    """The clips of known artists, with their part.

    Parameters
    ----------
    tracks : of prepared folders: `track_id`, `row`, `artist`; `album`, `title` and `set` if known
    split : of `tasteprint-train split`; may be None if the songs of all artists are divided

    Returns
    -------
    One row per clip with `COLUMNS`: the artist's key, the album's key or an empty text, the song's
    key.
    """
    clips = _name_clips(tracks)
    is_known = clips["artist"] != ""
    unsplit = held_out = pd.Series(False, clips.index)
    if split is not None:
        part_of = split.drop_duplicates("track_id").set_index("track_id")["part"]
        clips["part"] = clips["track_id"].map(part_of)
        unsplit = is_known & clips["part"].isna()
        # An artist may be on the test side by another set's track alone.
        tested = set(split.loc[split["part"] == TEST, "artist"].map(artist_key))
        held_out = is_known & ~unsplit & clips["artist"].isin(tested)
    is_kept = is_known & ~unsplit & ~(held_out & by_song)
    kept = clips[is_kept].reset_index(drop=True)
    if by_song:
        kept["part"] = divide_songs(kept)
    left_out = LeftOut(
        n_kept=len(kept),
        n_songs=kept["song"].nunique(),
        unknown=int((~is_known).sum()),
        unsplit=int(unsplit.sum()),
        held_out=int(held_out.sum()) if by_song else 0,
    )
    return kept[list(COLUMNS)], left_out


def _name_clips(tracks: pd.DataFrame) -> pd.DataFrame:
    artist = tracks["artist"].fillna("").map(artist_key)
    # Albums and songs of two artists may have one name.
    album = _name_within(artist, tracks.get("album"), tracks.index)
    song = _name_within(artist, tracks.get("title"), tracks.index)
    song = song.where(song != "", "track " + tracks["track_id"])
    known = tracks[["track_id", "row"]].assign(artist=artist, album=album, song=song)
    return known.assign(set=tracks.get(SET, ""), part="")


def _name_within(artist: pd.Series, names: pd.Series | None, index: pd.Index) -> pd.Series:
    """Keys of artist and name; empty where either is unknown."""
    if names is None:
        return pd.Series("", index)
    keys = names.fillna("").map(artist_key)
    return (artist + "/" + keys).where((artist != "") & (keys != ""), "")


def divide_songs(clips: pd.DataFrame) -> pd.Series:
    """The part of each clip, within the songs of its artist: a tenth tests, a tenth validates.

    At least one each, of artists with three songs or more; all clips of other artists train. The
    order is by a hash of the track's id, so it does not depend on the other artists. All clips of a
    song have the part of one of them.
    """
    order = clips["track_id"].map(lambda track: hash_of(f"songs:{track}"))
    order = order.groupby(clips["song"]).transform("min")
    artists = clips["artist"]
    rank = order.groupby(artists).rank(method="dense")
    n_songs = clips["song"].groupby(artists).transform("nunique")
    n_held = (HELD_OUT_SHARE * n_songs).round().clip(lower=1).where(n_songs >= MIN_SONGS, 0)
    part = pd.Series(TRAIN, clips.index)
    return part.mask(rank <= 2 * n_held, VALIDATION).mask(rank <= n_held, TEST)


def limit_artists(clips: pd.DataFrame, max_artists: int) -> pd.DataFrame:
    """The clips without those of all but so many training artists; 0 keeps all.

    The artists are drawn from all that train, those of a single clip as well, so that a run on all
    of them is the end of a row of runs on more and more. Which ones are kept is by a hash of their
    key, so that a smaller number keeps some of those that a larger one does.
    """
    if not max_artists:
        return clips
    artists = clips.loc[clips["part"] == TRAIN, "artist"].unique()
    chosen = sorted(artists, key=lambda artist: hash_of(f"limit:{artist}"))
    is_left_out = (clips["part"] == TRAIN) & ~clips["artist"].isin(chosen[:max_artists])
    return clips[~is_left_out].reset_index(drop=True)


def hash_of(text: str) -> float:
    """A number in [0, 1) that looks random."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
