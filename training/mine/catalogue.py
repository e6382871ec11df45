"""Catalogue of the user: a table with a row for each song, its file, item, artist and title."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training.audio.audio_files import Ambiguous, AudioFiles, PathFinder
from training.errors import BadTable, UnknownColumn
from training.mine.columns import USUAL, WORDS, Choose, guess, usual_columns
from training.mine.settings import Sources
from training.tables.columns import spell
from training.tables.reader import read_names, read_text

Table = tuple[pd.DataFrame, dict[str, int], dict[str, str]]


def read_catalogue(sources: Sources, item_of_plays: str, choose: Choose | None) -> Table:
    """Tracks that have a file, what was left out, and the columns.

    The item id is the column that is named as in the plays, else one of a usual name. A file is
    named by a column of paths, else by the column of ids that most files are named by.

    Parameters
    ----------
    item_of_plays : column of the item id in the plays

    Raises
    ------
    BadTable, UnknownColumn
    """
    path, stated = sources.catalogue, sources.columns
    assert path
    found = read_names(path)
    item = item_of_plays if item_of_plays in found else None
    item = guess(path, "item", item or stated.item, found, choose)
    artist = guess(path, "artist", stated.artist, found, optional=True)
    title = guess(path, "title", stated.title, found, optional=True)
    assert item
    table = read_text(path, [item], names=[name for name in (artist, title) if name])
    paths, column = _find_paths(sources, table, item)
    track_ids = table[column]
    if spell(column) in USUAL["path"].split():
        bare = track_ids.map(lambda name: Path(name).with_suffix("").as_posix())
        track_ids = bare if table[item].duplicated().any() else table[item]
    tracks = pd.DataFrame(
        {
            "track_id": track_ids,
            "item_id": table[item],
            "artist": table[artist] if artist else "",
            "title": table[title] if title else "",
            "path": paths,
        }
    )
    kept, left_out = _leave_out(tracks, sources.songs)
    columns = {"item id": item, "file": column, "artist": artist, "title": title}
    return kept, left_out, {role: name for role, name in columns.items() if name}


def _find_paths(sources: Sources, table: pd.DataFrame, item: str) -> tuple[list[str], str]:
    """The path of each row's file, empty without one, and the column that it is found by.

    Raises
    ------
    BadTable, UnknownColumn
    """
    catalogue, songs, track = sources.catalogue, sources.songs, sources.columns.track
    assert catalogue
    by_path = usual_columns("path", list(table.columns))
    if by_path and track is None:
        finder = PathFinder(songs)
        found = [finder.find(name) for name in table[by_path[0]]]
        return [str(file) if file.is_file() else "" for file in found], by_path[0]
    names = [track] if track else [*_id_columns(table), item]
    if track and track not in table:
        raise BadTable(catalogue, f"has no column {track}")
    files = AudioFiles.scan(songs)
    paths = {name: _look_up(files, table[name], catalogue) for name in dict.fromkeys(names)}
    best = max(paths, key=lambda name: sum(map(bool, paths[name])))
    if not any(paths[best]):
        raise UnknownColumn(catalogue, WORDS["track"], "--track-column", list(table.columns), [])
    return paths[best], best


def _id_columns(table: pd.DataFrame) -> list[str]:
    """Columns that songs are usually named by."""
    usual = (*USUAL["item"].split(), "id")
    return [name for name in table.columns if spell(name) in usual]


def _look_up(files: AudioFiles, names: pd.Series, catalogue: Path) -> list[str]:
    try:
        return [str(files.find(name) or "") if name else "" for name in names]
    except Ambiguous as error:
        raise BadTable(
            catalogue, f"two audio files have one name: {error}; name files in a column path"
        ) from error


def _leave_out(tracks: pd.DataFrame, songs: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Tracks that have an id and a file, each once, and how many have not."""
    reasons = {
        "rows of the catalogue: no file of that name": tracks["path"] == "",
        "rows of the catalogue: no item id": tracks["item_id"] == "",
        "rows of the catalogue: the song comes twice": tracks["track_id"].duplicated(),
    }
    left_out, keep = {}, pd.Series(True, tracks.index)
    for reason, mask in reasons.items():
        left_out[reason] = int((keep & mask).sum())
        keep &= ~mask
    kept = tracks[keep].reset_index(drop=True)
    named = set(tracks["path"])
    files = AudioFiles.scan(songs).files
    left_out["files that the catalogue does not name"] = sum(
        str(file) not in named for file in files
    )
    return kept, {reason: count for reason, count in left_out.items() if count}
