"""Triplet sampling by concept: an anchor, a positive that shares it, negatives that do not.

The concept of a clip is its artist, its album or itself (track). Negatives are distinct clips,
uniform over the clips that certainly do not share the concept: for albums those of a known other
album, of the same artist or not, and those of other artists. For tracks the positive is another
segment of the anchor's clip, which does not overlap with it. Another clip of the anchor's song is
neither positive nor negative.

Source: Lee, Park, Nam 2019, section 2; Park, Lee et al. 2018, code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.errors import NoAnchors, TooFewNegatives
from training.objectives.clips import TEST, TRAIN, VALIDATION
from training.objectives.groups import Group, GroupDraws, JoinedDraws

UNKNOWN = -1


class ConceptKeys:
    """Which clips share a concept, and which certainly do not.

    Parameters
    ----------
    name : artist, album or track
    clips : with `artist`, `album` and `song`, of `training.objectives.clips`
    within_artist : negatives are by the anchor's artist
    """

    def __init__(self, name: str, clips: pd.DataFrame, *, within_artist: bool = False) -> None:
        self.name, self.within_artist = name, within_artist
        self.artists = _encode(clips["artist"])
        self.albums = _encode(clips["album"])
        self.songs = _encode(clips["song"])
        self.keys = {"artist": self.artists, "album": self.albums, "track": self.songs}[name]

    def list_mates(self, clip: int, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Clips that can be the positive of a clip: for tracks itself, otherwise others."""
        if self.name == "track":
            return np.array([clip])
        if self.keys[clip] == UNKNOWN:
            return np.array([], np.int64)
        shared = (self.keys == self.keys[clip]) & (self.songs != self.songs[clip])
        return np.flatnonzero(shared & among)

    def list_others(self, clip: int, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Clips that can be a negative of a clip."""
        is_other = (self.keys != self.keys[clip]) & (self.songs != self.songs[clip])
        is_of_artist = self.artists == self.artists[clip]
        if self.name == "album":
            is_other &= (self.albums != UNKNOWN) | ~is_of_artist
        if self.within_artist:
            is_other &= is_of_artist
        return np.flatnonzero(is_other & among)


def _encode(keys: pd.Series) -> NDArray[np.int64]:
    """A number for each key; -1 for an empty one, which is unknown."""
    codes, _ = pd.factorize(keys.where(keys != "", None))
    return np.asarray(codes, np.int64)


class ConceptDraws(GroupDraws):
    """Groups of 2 + `negatives` clips: anchor, positive, negatives. The anchors are of one part.

    In training all clips are of the training part. Otherwise anchors and negatives are of the part,
    and positives of the part before it, as in the paper: of the training part for validation, of
    the validation part, which has not been heard either, for the test. Where artists are divided
    positives are of the part itself, since the other parts have none of its artists.

    Parameters
    ----------
    clips, by_song : see `training.objectives.clips.divide_clips`
    part : of the anchors
    within_artist : negatives are by the anchor's artist, and anchors without so many are left out;
        where songs are divided, negatives of the test are of the validation part as well, since
        few artists have several albums in one part

    Raises
    ------
    NoAnchors, TooFewNegatives
    """

    def __init__(
        self,
        name: str,
        clips: pd.DataFrame,
        part: str,
        negatives: int,
        *,
        by_song: bool,
        within_artist: bool = False,
    ) -> None:
        self.group_size = 2 + negatives
        self.rows = np.asarray(clips["row"], np.int64)
        self.concept = ConceptKeys(name, clips, within_artist=within_artist)
        parts = clips["part"].to_numpy(str)
        is_own = parts == part
        self.is_negative = is_own
        if within_artist and by_song and part == TEST:
            self.is_negative = is_own | (parts == VALIDATION)
        mates_among = parts == positive_part(part, by_song=by_song)
        mates = {
            clip: self.concept.list_mates(clip, mates_among)
            for clip in np.flatnonzero(is_own).tolist()
        }
        if within_artist:
            mates = {
                clip: found for clip, found in mates.items() if self.count_others(clip) >= negatives
            }
        self.mates = {clip: found for clip, found in mates.items() if len(found)}
        self.anchors = np.array(list(self.mates), np.int64)
        self._check(part, negatives, int(is_own.sum()))

    def count_others(self, clip: int) -> int:
        """Number of possible negatives of a clip."""
        return len(self.concept.list_others(clip, self.is_negative))

    def _check(self, part: str, negatives: int, n_clips: int) -> None:
        name = self.concept.name
        if not len(self.anchors):
            raise NoAnchors(name, part, n_clips)
        n_others = min(map(self.count_others, self.anchors.tolist()))
        if n_others < negatives:
            raise TooFewNegatives(name, part, n_others, negatives)

    def __len__(self) -> int:
        return len(self.anchors)

    def draw_clips(self, index: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions in the table of clips, shape (2 + negatives,)."""
        anchor = self.anchors[index]
        positive = rng.choice(self.mates[anchor])
        others = self.concept.list_others(anchor, self.is_negative)
        negatives = rng.choice(others, self.group_size - 2, replace=False)
        return np.array([anchor, positive, *negatives], np.int64)

    def draw(self, index: int, rng: np.random.Generator) -> Group:
        return Group(self.rows[self.draw_clips(index, rng)])

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.rows, self.anchors, self.concept.keys


def positive_part(part: str, *, by_song: bool) -> str:
    """The part that positives of artist and album are of."""
    if part == TRAIN or not by_song:
        return part
    return TRAIN if part == VALIDATION else VALIDATION


def draw_concepts(
    names: Sequence[str], clips: pd.DataFrame, part: str, negatives: int, *, by_song: bool
) -> GroupDraws:
    """Groups of one concept, or of several in a row: each has anchors of its own.

    Raises
    ------
    NoAnchors, TooFewNegatives
    """
    kinds = [ConceptDraws(name, clips, part, negatives, by_song=by_song) for name in names]
    return kinds[0] if len(kinds) == 1 else JoinedDraws(kinds)
