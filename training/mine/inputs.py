"""Songs, plays and catalogue as one table and one matrix; whatever is left out is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from training.audio.audio_files import AudioFiles, list_audio
from training.cf.logs import Logs, read_logs
from training.datasets.accounts import Account, check_account, count_join
from training.errors import NothingInCommon
from training.estimator.artist_split import group_by_artist
from training.mine.catalogue import read_catalogue
from training.mine.columns import Choose, guess
from training.mine.settings import Sources
from training.tables.reader import read_names

Tell = Callable[[str], None]
TRACK_COLUMNS = ("track_id", "item_id", "artist", "title", "path")


@dataclass(frozen=True)
class Inputs:
    """What a model is made of.

    Attributes
    ----------
    tracks : one row for each song: `TRACK_COLUMNS`; an empty artist is unknown
    logs : plays as counts
    account : of the songs in the plays
    left_out : what was left out → how many
    guessed : what a column holds → its name, for the report
    """

    tracks: pd.DataFrame
    logs: Logs
    account: Account
    left_out: dict[str, int]
    guessed: dict[str, str] = field(default_factory=dict)

    @property
    def n_both(self) -> int:
        return int(self.tracks["item_id"].isin(self.logs.items).sum())

    def count(self) -> str:
        """The first line of the command."""
        return (
            f"{len(self.tracks):,} songs with audio, {len(self.logs.items):,} played, "
            f"{self.n_both:,} of both, {len(self.logs.users):,} users"
        )

    @property
    def has_artists(self) -> bool:
        """Whether any artist is known, by whom songs are held out."""
        return bool((self.tracks["artist"] != "").any())

    @property
    def artist_keys(self) -> pd.Series:
        """The key that each song is held out by: its artist's, or its own where unknown."""
        return group_by_artist(self.tracks)

    @property
    def digest(self) -> str:
        """SHA-256 over the songs and the plays, by which stages know whether they are current."""
        found = hashlib.sha256(digest_of_logs(self.logs).encode())
        for name in ("track_id", "item_id", "artist"):
            found.update("\n".join(self.tracks[name]).encode())
        return found.hexdigest()


def digest_of_logs(logs: Logs) -> str:
    """SHA-256 over the ids and the counts."""
    found = hashlib.sha256()
    for ids in (logs.users, logs.items):
        found.update("\n".join(ids).encode())
    matrix = logs.user_items
    for array in (matrix.indptr, matrix.indices, matrix.data):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def read_inputs(
    sources: Sources, tell: Tell, choose: Choose | None = None, *, allow_missing: bool = False
) -> Inputs:
    """Read the plays and find the songs.

    Parameters
    ----------
    tell : called with what is guessed, and what is left out
    choose : asked where two columns fit; None refuses
    allow_missing : accept ids that the other side spells otherwise, such as `12` and `12.0`

    Raises
    ------
    BadLogs, BadTable, UnknownColumn, NothingInCommon, Unmatched
    """
    guessed: dict[str, str] = {}
    logs = _read_plays(sources, guessed, choose)
    if sources.catalogue is None:
        tracks, left_out = _tracks_of_files(sources.songs, logs)
    else:
        item = guessed["item id of the plays"]
        tracks, left_out, columns = read_catalogue(sources, item, choose)
        guessed |= {f"{role} of the catalogue": name for role, name in columns.items()}
    left_out |= {
        f"rows of plays: {reason.removeprefix('dropped_').replace('_', ' ')}": int(count)
        for reason, count in logs.report.items()
        if reason.startswith("dropped_") and count and reason != "dropped_repeated_pair"
    }
    account = count_join(tracks, "songs", logs.items, "the plays")
    inputs = Inputs(tracks, logs, account, left_out, guessed)
    tell(inputs.count())
    for role, name in guessed.items():
        tell(f"{role}: {name}")
    for reason, count in left_out.items():
        tell(f"left out: {count:,} {reason}")
    _check(inputs, allow_missing=allow_missing)
    return inputs


def _read_plays(sources: Sources, guessed: dict[str, str], choose: Choose | None) -> Logs:
    path, stated = sources.plays[0], sources.columns
    found = read_names(sources.plays)
    user = guess(path, "user", stated.user, found, choose)
    item = guess(path, "item", stated.item, found, choose)
    count = guess(path, "count", stated.count, found, choose, optional=True)
    assert user
    assert item
    guessed |= {"user id of the plays": user, "item id of the plays": item}
    guessed["number of plays"] = count or "the number of rows"
    return read_logs(path, user_column=user, item_column=item, count_column=count, sum_repeats=True)


def _tracks_of_files(songs: Path, logs: Logs) -> tuple[pd.DataFrame, dict[str, int]]:
    """Songs named by their files: the name without its ending, or with it, or with its folders."""
    files = list_audio(songs)
    index, names = AudioFiles(songs, files), set(logs.items)
    rows = []
    for file in files:
        relative = file.relative_to(songs)
        spellings = (file.stem, file.name, relative.as_posix(), relative.with_suffix("").as_posix())
        known = next((name for name in spellings if name in names), None)
        # The name with its folders where two files of other folders have one name.
        is_unique = len(index.find_all(file.stem)) == 1
        own = file.stem if is_unique else relative.with_suffix("").as_posix()
        rows.append((known or own, known or own, "", "", str(file)))
    tracks = pd.DataFrame(rows, columns=list(TRACK_COLUMNS))
    repeated = tracks["track_id"].duplicated()
    left_out = {"files: another one has the same id": int(repeated.sum())}
    return tracks[~repeated].reset_index(drop=True), {
        reason: count for reason, count in left_out.items() if count
    }


def _check(inputs: Inputs, *, allow_missing: bool) -> None:
    what = "songs whose id the plays spell otherwise would not be learnt from"
    check_account(inputs.account, 0.0, allow_missing=allow_missing, what=what)
    if not inputs.n_both:
        song = inputs.tracks["item_id"].iloc[0] if len(inputs.tracks) else ""
        raise NothingInCommon(inputs.count(), song, str(inputs.logs.items[0]))
