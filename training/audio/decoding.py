"""Decoding of tracks into a prepared folder's windows: by threads, processes or tasks of Spark."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import AudioInput
from models.errors import AudioError
from training.audio.shards import WindowFiles

FULL_SCALE = 32767
NO_FILE = "there is no such file"
CRASHED = "the decoder ended its process"


@dataclass(frozen=True)
class Job:
    """A track to decode into a row of the windows."""

    row: int
    track_id: str
    path: str


def decode_jobs(out: Path, audio: AudioInput, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """In a worker process: decode tracks into the windows of a folder; one record for each.

    Raises
    ------
    OSError
        If a window cannot be written.
    """
    return [decode_job(_open_once(out), audio, job) for job in jobs]


def decode_job(files: WindowFiles, audio: AudioInput, job: Job) -> dict[str, Any]:
    state = state_of(job.path)  # before reading: a file that changes meanwhile is read again
    window, found = _read_window(job.path, audio)
    if window is not None:
        files.write(job.row, window)
    return {"track_id": job.track_id, "row": job.row} | found | state


@cache
def _open_once(out: Path) -> WindowFiles:
    """In each worker process, which lives for one run, the files of the run's folder."""
    return WindowFiles(out)


def refuse_crash(job: Job) -> dict[str, Any]:
    return {"track_id": job.track_id, "row": job.row, "reason": CRASHED} | state_of(job.path)


def state_of(path: str) -> dict[str, Any]:
    """Size and time of change of a file, by which another one is known; empty without a file."""
    try:
        found = Path(path).stat() if path else None
    except OSError:
        found = None
    if found is None:
        return {}
    return {"file_bytes": found.st_size, "file_changed_ns": found.st_mtime_ns}


def _read_window(path: str, audio: AudioInput) -> tuple[NDArray[np.int16] | None, dict[str, Any]]:
    """The window that is prepared and what is known of it, or None and the reason."""
    if not path or not Path(path).is_file():
        return None, {"reason": NO_FILE}
    try:
        windows = read_windows(Path(path), audio, WindowChoice())
    except AudioError as error:
        return None, {"reason": str(error)}
    except Exception as error:  # an unforeseen decoder error must not end the run
        return None, {"reason": f"the decoder failed: {type(error).__name__}: {error}"}
    window = np.rint(windows.samples[0] * FULL_SCALE).astype(np.int16)
    return window, {
        "crc32": zlib.crc32(window.tobytes()),
        "duration_s": round(windows.info.duration_s, 3),
        "codec": windows.info.codec,
        "cut": windows.info.duration_s > audio.window_s,
        "padded": windows.info.duration_s < audio.window_s,
        "notes": "; ".join(windows.info.notes),
    }
