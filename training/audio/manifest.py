"""Reader of track manifests: ids, artists and paths."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training.audio.audio_files import Ambiguous, AudioFiles, PathFinder
from training.errors import BadManifest, BadTable, MissingInput
from training.tables.reader import read_text

MANIFEST = "manifest.csv"
# Columns that `prepare` adds to `tracks.csv`.
WINDOW_COLUMNS = ("row", "duration_s", "codec", "cut", "padded", "notes")
ID_COLUMNS = ("track_id", "item_id", "artist", "album", "title", "user_id", "label")


def read_ids(path: Path) -> pd.DataFrame:
    """Read a table written by this program, its ids and names as text (`007` and `NA` stay)."""
    return pd.read_csv(path, dtype=dict.fromkeys(ID_COLUMNS, str), keep_default_na=False)


def load_manifest(folder: Path) -> pd.DataFrame:
    """Every track of the manifest of a prepared folder, refused tracks included.

    Raises
    ------
    MissingInput
    """
    try:
        return read_ids(folder / MANIFEST)
    except (OSError, ValueError) as error:
        raise MissingInput(folder, "tasteprint-train prepare") from error


def read_manifest(
    path: Path,
    audio: Path,
    *,
    track_column: str = "track_id",
    item_column: str = "item_id",
    artist_column: str | None = None,
    album_column: str | None = None,
    title_column: str | None = None,
) -> pd.DataFrame:
    """Read a manifest and add the columns `track_id`, `item_id`, `artist` and `path`.

    Without a `path` column a track's file is `<audio>/<track_id>.*`, or one of that name in a
    subfolder; without artists, each item counts as its own artist. `album` and `title` are added if
    their columns are stated.

    Raises
    ------
    BadManifest
        Where the file cannot be read, a column is missing, no row is left, or a track id is
        missing, repeated, or the name of two audio files.
    """
    if not audio.is_dir():
        raise BadManifest(path, f"there is no folder of audio {audio}; give one by --audio")
    named = artist_column, album_column, title_column
    required = [track_column, item_column, *filter(None, named)]
    try:
        manifest = read_text(path, required)
    except BadTable as error:
        raise BadManifest(path, error.reason) from error
    if manifest.empty:
        raise BadManifest(path, "has a header and no rows; write one row for each track")
    artist = manifest[artist_column or item_column]
    artist = artist.where(artist != "", manifest[item_column])
    manifest = manifest.assign(
        track_id=manifest[track_column], item_id=manifest[item_column], artist=artist
    )
    if album_column:
        manifest = manifest.assign(album=manifest[album_column])
    if title_column:
        manifest = manifest.assign(title=manifest[title_column])
    _check_ids(manifest["track_id"], path)
    return manifest.assign(path=_find_paths(manifest, audio, path))


def _check_ids(track_ids: pd.Series, path: Path) -> None:
    empty = int((track_ids == "").sum())
    if empty:
        raise BadManifest(path, f"{empty} of {len(track_ids)} rows have no track id; fill it")
    repeated = track_ids[track_ids.duplicated()]
    if len(repeated):
        raise BadManifest(path, f"the track id {repeated.iloc[0]!r} is repeated")


def _find_paths(manifest: pd.DataFrame, audio: Path, path: Path) -> list[str]:
    """The path of each track's file; empty where there is none of its name."""
    if "path" in manifest:
        finder = PathFinder(audio)
        return [str(finder.find(name)) if name else "" for name in manifest["path"]]
    files = AudioFiles.scan(audio)
    try:
        return [str(files.find(track) or "") for track in manifest["track_id"]]
    except Ambiguous as error:
        raise BadManifest(
            path, f"two audio files in {audio} have one name: {error}; name files in a column path"
        ) from error
