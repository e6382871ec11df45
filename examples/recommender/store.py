"""SQLite store of songs and plays: all that a restart needs. The only file with SQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.recommender.errors import DatabaseInUse
from examples.recommender.factors import Vectors

SCHEMA = """
CREATE TABLE IF NOT EXISTS songs (
    track_id TEXT PRIMARY KEY, embedding BLOB NOT NULL, space TEXT NOT NULL, model TEXT NOT NULL,
    digest TEXT NOT NULL, precision TEXT NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plays (
    user_id TEXT NOT NULL, track_id TEXT NOT NULL, n_plays INTEGER NOT NULL,
    PRIMARY KEY (user_id, track_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS listeners ON plays (track_id, user_id);
"""


@dataclass(frozen=True, eq=False)
class Song:
    """A song that was embedded by the service.

    Attributes
    ----------
    embedding : float32, shape (dim,)
    space : CF space of the embedding
    model, digest, precision : the bundle that made it
    sha256 : of the file
    """

    track_id: str
    embedding: Vectors
    space: str
    model: str
    digest: str
    precision: str
    sha256: str


@dataclass(frozen=True)
class Play:
    user_id: str
    track_id: str
    n_plays: int = 1


class Store:
    """Songs and plays in one SQLite file, which one process has open at a time.

    Parameters
    ----------
    wait_s : for a process that has the file open and ends

    Raises
    ------
    DatabaseInUse
    """

    def __init__(self, path: Path, wait_s: float = 5.0) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            path, timeout=wait_s, check_same_thread=False, isolation_level=None
        )
        try:
            # A second process would not see the songs that this one has in memory.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            # An answer is a promise: on the disk before it is sent, also if the power fails.
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise DatabaseInUse(path) from error

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database

    def put_song(self, song: Song) -> None:
        """Add a song; one of the same id is replaced."""
        row = (
            song.track_id,
            song.embedding.astype("<f4").tobytes(),
            song.space,
            song.model,
            song.digest,
            song.precision,
            song.sha256,
        )
        with self._transaction() as database:
            database.execute("REPLACE INTO songs VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def songs(self) -> list[Song]:
        with self._lock:
            rows = self._database.execute("SELECT * FROM songs ORDER BY track_id").fetchall()
        return [Song(row[0], np.frombuffer(row[1], "<f4"), *row[2:]) for row in rows]

    def add_plays(self, plays: Iterable[Play]) -> None:
        """Add plays, all or none."""
        rows = [(play.user_id, play.track_id, play.n_plays) for play in plays]
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO plays VALUES (?, ?, ?) ON CONFLICT (user_id, track_id) "
                "DO UPDATE SET n_plays = n_plays + excluded.n_plays",
                rows,
            )

    def listeners(self, track_id: str) -> list[str]:
        """Users who have played a track, in the order of their ids."""
        return self._column(
            "SELECT user_id FROM plays WHERE track_id = ? ORDER BY user_id", track_id
        )

    def played(self, user_id: str) -> list[str]:
        """Tracks that a user has played."""
        return self._column(
            "SELECT track_id FROM plays WHERE user_id = ? ORDER BY track_id", user_id
        )

    def n_plays(self, track_id: str) -> int:
        """Plays of a track, by all users together."""
        query = "SELECT coalesce(sum(n_plays), 0) FROM plays WHERE track_id = ?"
        with self._lock:
            return int(self._database.execute(query, (track_id,)).fetchone()[0])

    def _column(self, query: str, value: str) -> list[str]:
        with self._lock:
            return [row[0] for row in self._database.execute(query, (value,))]
