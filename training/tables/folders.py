"""Files of a folder at any depth, also of folders that are linked into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def begins_with_dot(name: str) -> bool:
    return name.startswith(".")


def list_files(folder: Path, is_hidden: Callable[[str], bool] = begins_with_dot) -> list[Path]:
    """Files at any depth, sorted; of a folder that is linked to as well, by its own path.

    Parameters
    ----------
    is_hidden : whether files and folders of a name are left out
    """
    found: list[Path] = []
    visited: set[tuple[int, int]] = set()
    todo = [folder]
    for top in todo:  # links are followed after the folders themselves, each folder once
        for place, folders, names in os.walk(top):
            state = Path(place).stat()
            if (state.st_dev, state.st_ino) in visited:
                folders.clear()
                continue
            visited.add((state.st_dev, state.st_ino))
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            todo += [link for name in folders if (link := Path(place, name)).is_symlink()]
            found += [Path(place, name) for name in names if not is_hidden(name)]
    return sorted(found)
