"""Labelled data sets: published ones, each read from its own layout, and custom data of a user."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from training.errors import BadDataset

if TYPE_CHECKING:
    from training.datasets.task import Task

# Name -> module and function. The module is imported when its data set is read: the command line
# lists the names, and pandas alone takes half a second.
READERS: dict[str, tuple[str, str]] = {
    "artist-tags": ("artist_tags", "read"),
    "dcase2016": ("dcase2016", "read"),
    "emomusic-arousal": ("emomusic", "read_arousal"),
    "emomusic-genre": ("emomusic", "read_genre"),
    "emomusic-valence": ("emomusic", "read_valence"),
    "emotify-gems": ("emotify", "read_gems"),
    "emotify-genre": ("emotify", "read_genre"),
    "esc10": ("esc10", "read"),
    "extended-ballroom": ("ballroom", "read"),
    "fma-medium": ("fma", "read_medium"),
    "fma-small": ("fma", "read_small"),
    "gtzan": ("gtzan", "read"),
    "gtzan-fault-filtered": ("gtzan", "read_fault_filtered"),
    "gtzan-mini": ("gtzan", "read_mini"),
    "mood-cluster": ("mood", "read_clusters"),
    "mood-quadrant": ("mood", "read_quadrants"),
}
# `own` is the former name of `custom`.
CUSTOM = ("custom", "own")
NOT_STATED = "not stated"


class Reader(Protocol):
    def __call__(self, folder: Path) -> Task: ...


def load_reader(name: str) -> Reader:
    """The function that reads a published data set, one of `READERS`."""
    module, function = READERS[name]
    return cast(Reader, getattr(import_module(f"training.datasets.published.{module}"), function))


def check_request(name: str, labels: Path | None, task: str | None, licence: str) -> None:
    """Refuse an unknown data set, and options that only custom data takes.

    Raises
    ------
    BadDataset
    """
    if name not in CUSTOM and name not in READERS:
        raise BadDataset(name, f"unknown data set; choose custom, {', '.join(READERS)}")
    if name in READERS and (labels or task or licence != NOT_STATED):
        raise BadDataset(
            name, "labels, task and licence are given by the set; these options are for `custom`"
        )


def read_dataset(
    name: str,
    folder: Path,
    *,
    labels: Path | None = None,
    task: str | None = None,
    licence: str = NOT_STATED,
) -> Task:
    """Read a data set by its name from a folder; `labels`, `task` and `licence` are for `custom`.

    Raises
    ------
    BadDataset
    """
    check_request(name, labels, task, licence)
    if name in CUSTOM:
        from training.datasets.custom import read_custom

        return read_custom(folder, labels, name=name, task=task, licence=licence)
    read = load_reader(name)(folder)
    for part in ("train", "test"):
        if "part" in read.tracks and not (read.tracks["part"] == part).any():
            raise BadDataset(
                name,
                f"the {part} part has no track with an audio file ({len(read.missing)} files are "
                "missing)",
            )
    return read
