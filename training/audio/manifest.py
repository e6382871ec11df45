"""Track manifests: ids, artists, paths."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training.errors import BadManifest, MissingInput

MANIFEST = "manifest.csv"


ID_COLUMNS = ("track_id", "item_id", "artist", "user_id", "label")


# What may lie beside a track's audio under the same name.
NOT_AUDIO = {".jpg", ".jpeg", ".png", ".txt", ".json", ".csv", ".lrc", ".cue", ".mid"}


def read_ids(path: Path) -> pd.DataFrame:
    """A table of ours: ids and names are text, also `007` and `NA`."""
    return pd.read_csv(path, dtype=dict.fromkeys(ID_COLUMNS, str), keep_default_na=False)


def load_manifest(folder: Path) -> pd.DataFrame:
    """Every track of the manifest that the folder was made from, also those refused."""
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
    """The manifest with the columns `track_id`, `item_id`, `artist` and `path` made sure of.

    Without a `path` column a track's file is `<audio>/<track_id>.*`; without artists, each item
    is its own.

    Raises
    ------
    BadManifest
        Where a column is missing, or a track id is there twice.
    """
    try:
        manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise BadManifest(path, str(error)) from error
    wanted = [track_column, item_column, *filter(None, [artist_column])]
    missing = [column for column in wanted if column not in manifest]
    if missing:
        raise BadManifest(
            path, f"has no column {', '.join(missing)}, only {', '.join(manifest.columns)}"
        )
    artist = manifest[artist_column or item_column]
    artist = artist.where(artist != "", manifest[item_column])
    manifest = manifest.assign(
        track_id=manifest[track_column], item_id=manifest[item_column], artist=artist
    )
    twice = manifest["track_id"][manifest["track_id"].duplicated()]
    if len(twice):
        raise BadManifest(path, f"the track id {twice.iloc[0]!r} is there twice")
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
