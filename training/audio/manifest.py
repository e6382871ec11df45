"""Reader of track manifests: ids, artists and paths."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training.errors import BadManifest, MissingInput

MANIFEST = "manifest.csv"


ID_COLUMNS = ("track_id", "item_id", "artist", "user_id", "label")


# Files beside a track's audio that may have the same name.
NOT_AUDIO = {".jpg", ".jpeg", ".png", ".txt", ".json", ".csv", ".lrc", ".cue", ".mid"}


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
    except FileNotFoundError as error:
        raise MissingInput(folder, "tasteprint-train prepare") from error


def read_manifest(
    path: Path,
    audio: Path,
    *,
    track_column: str = "track_id",
    item_column: str = "item_id",
    artist_column: str | None = None,
) -> pd.DataFrame:
    """Read a manifest and add the columns `track_id`, `item_id`, `artist` and `path`.

    Without a `path` column a track's file is `<audio>/<track_id>.*`; without artists, each item
    counts as its own artist.

    Raises
    ------
    BadManifest
        Where the file cannot be read, a column is missing, or a track id is repeated.
    """
    try:
        manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise BadManifest(path, str(error)) from error
    required = [track_column, item_column, *filter(None, [artist_column])]
    missing = [column for column in required if column not in manifest]
    if missing:
        raise BadManifest(
            path, f"no column {', '.join(missing)}; the columns are {', '.join(manifest.columns)}"
        )
    artist = manifest[artist_column or item_column]
    artist = artist.where(artist != "", manifest[item_column])
    manifest = manifest.assign(
        track_id=manifest[track_column], item_id=manifest[item_column], artist=artist
    )
    repeated = manifest["track_id"][manifest["track_id"].duplicated()]
    if len(repeated):
        raise BadManifest(path, f"the track id {repeated.iloc[0]!r} is repeated")
    if "path" in manifest:
        manifest["path"] = [str(audio / name) for name in manifest["path"]]
    else:
        files = {
            file.stem: str(file)
            for file in sorted(audio.iterdir())
            if file.is_file() and file.suffix.lower() not in NOT_AUDIO
        }
        manifest["path"] = [files.get(track, "") for track in manifest["track_id"]]
    return manifest
