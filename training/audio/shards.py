"""Windows of a prepared folder in files of some gigabytes (shards), which are one array.

A folder of up to `SHARD_BYTES` has one file, `windows.npy`; a larger one has files such as
`windows-00003-of-00224.npy`, so that a missing one is noticed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WINDOWS = "windows.npy"
SHARD_BYTES = 4 << 30
SHARD_NAME = re.compile(r"windows-\d+-of-(\d+)\.npy")


class Windows(Protocol):
    """Windows, int16, shape (n_rows, input_samples): a memory-mapped array, or several as one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> NDArray[np.int16]: ...


class JoinedWindows:
    """Arrays of windows as one array, without a copy: int16, shape (n_rows, n_samples)."""

    def __init__(self, arrays: Sequence[Windows]) -> None:
        self.arrays = arrays
        self.starts = np.cumsum([0, *map(len, arrays)])
        self.shape = int(self.starts[-1]), arrays[0].shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.int16]:
        """One row, shape (n_samples,), or the rows of an array of indices, (n, n_samples)."""
        if np.ndim(rows):
            joined = np.empty((len(rows), self.shape[1]), np.int16)
            for index, row in enumerate(rows):
                joined[index] = self[row]
            return joined
        array = int(np.searchsorted(self.starts, rows, side="right")) - 1
        return self.arrays[array][int(rows - self.starts[array])]


class WindowFiles:
    """The files of the windows of a folder, written by rows; by several processes at once too.

    Not memory-mapped: where the disk is full, that ends the process, and this is an error.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = list_shards(folder)
        arrays = [np.load(path, mmap_mode="r") for path in self._paths]
        self._starts = np.cumsum([0, *map(len, arrays)])
        self._offsets = [int(array.offset) for array in arrays]
        self._files = [path.open("r+b", buffering=0) for path in self._paths]

    def write(self, row: int, window: NDArray[np.int16]) -> None:
        """Write a window, shape (n_samples,).

        Raises
        ------
        OSError
            With the name of the file: no space is left on the disk, for example.
        """
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        place = self._offsets[shard] + window.nbytes * int(row - self._starts[shard])
        content, fileno = memoryview(window.tobytes()), self._files[shard].fileno()
        try:
            while content:
                n_written = os.pwrite(fileno, content, place)
                content, place = content[n_written:], place + n_written
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._paths[shard])) from error


def create_windows(folder: Path, shape: tuple[int, int]) -> None:
    """Create the files, empty: they take room on the disk as rows are written."""
    n_rows = max(1, SHARD_BYTES // (2 * shape[1]))
    n_shards = max(1, -(-shape[0] // n_rows))
    for number in range(n_shards):
        name = WINDOWS if n_shards == 1 else f"windows-{number:05}-of-{n_shards:05}.npy"
        of_shard = min(n_rows, shape[0] - number * n_rows)
        np.lib.format.open_memmap(folder / name, "w+", np.int16, (of_shard, shape[1]))


def open_windows(folder: Path) -> Windows:
    """The windows of a folder, memory-mapped.

    Raises
    ------
    FileNotFoundError
        If there are none, or a shard is missing.
    """
    paths = list_shards(folder)
    arrays = [np.load(path, mmap_mode="r") for path in paths]
    return arrays[0] if len(arrays) == 1 else JoinedWindows(arrays)


def list_shards(folder: Path) -> list[Path]:
    """The files of the windows, in the order of their rows.

    Raises
    ------
    FileNotFoundError
    """
    found = [path for path in sorted(folder.glob("windows-*.npy")) if SHARD_NAME.match(path.name)]
    if not found:
        return [folder / WINDOWS]
    n_shards = int(SHARD_NAME.match(found[0].name).group(1))  # type: ignore[union-attr]
    if len(found) != n_shards:
        raise FileNotFoundError(f"{len(found)} of {n_shards} shards are in {folder}")
    return found


def windows_changed_ns(folder: Path) -> int:
    """When windows of a prepared folder were last decoded; 0 without any."""
    return max(
        (path.stat().st_mtime_ns for path in list_shards(folder) if path.exists()), default=0
    )


def mark_changed(folder: Path) -> None:
    """What was computed of the windows before is out of date from now on."""
    os.utime(list_shards(folder)[-1])
