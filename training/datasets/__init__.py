"""Labelled data sets, each read from its own published layout (`READERS`), and one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.datasets import ballroom, dcase2016, emomusic, emotify, esc10, fma, gtzan
from training.datasets.custom import own
from training.datasets.task import Task
from training.errors import BadDataset

READERS: dict[str, Callable[[Path], Task]] = {
    "dcase2016": dcase2016.scenes,
    "emomusic-arousal": emomusic.arousal,
    "emomusic-genre": emomusic.genre,
    "emomusic-valence": emomusic.valence,
    "emotify-gems": emotify.gems,
    "emotify-genre": emotify.genre,
    "esc10": esc10.sounds,
    "extended-ballroom": ballroom.dances,
    "fma-medium": fma.medium,
    "fma-small": fma.small,
    "gtzan": gtzan.whole,
    "gtzan-fault-filtered": gtzan.fault_filtered,
    "gtzan-mini": gtzan.mini,
}


def read_dataset(
    name: str,
    folder: Path,
    *,
    labels: Path | None = None,
    task: str | None = None,
    licence: str | None = None,
) -> Task:
    """The data set of that name in a folder; the rest is for `own`.

    Raises
    ------
    BadDataset
    """
    stated = licence or "not stated"
    if name == "own":
        return own(folder, labels, task=task, licence=stated)
    if name not in READERS:
        raise BadDataset(name, f"there is no such set; choose own, {', '.join(READERS)}")
    if labels or task or stated != "not stated":
        raise BadDataset(
            name, "it has labels, a task and a licence of its own; these are for `own`"
        )
    read = READERS[name](folder)
    for part in ("train", "test"):
        if "part" in read.tracks and not (read.tracks["part"] == part).any():
            raise BadDataset(
                name,
                f"no track of its {part} part is there ({len(read.missing)} files are missing)",
            )
    return read
