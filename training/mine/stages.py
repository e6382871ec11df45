"""Stages that are done: a folder states the digest of its inputs, and is not made again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from models.atomic_write import write_atomically

DONE, BEGUN = "done.json", "begun.json"


class Progress(Protocol):
    """One view of all stages."""

    def say(self, text: str) -> None: ...

    def stage(self, name: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Context manager: a stage of so many steps; call what it gives after each step."""
        ...

    def track(self, label: str, items: list[int]) -> Iterable[int]: ...


def describe_time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def digest_of(*parts: Any) -> str:
    """SHA-256 of values that JSON can state."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def is_done(folder: Path, digest: str) -> bool:
    """Whether the stage of that folder was completed on the same inputs."""
    try:
        return bool(json.loads((folder / DONE).read_text())["digest"] == digest)
    except (OSError, ValueError, KeyError):
        return False


def begin(folder: Path) -> Path:
    """An empty folder for a stage that is not done."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def resume_or_begin(folder: Path, digest: str) -> Path:
    """The folder of a stage that can go on within itself, emptied if it is of other inputs."""
    try:
        known = read_json(folder / BEGUN)["digest"]
    except (OSError, ValueError, KeyError):
        known = None
    if known != digest:
        write_json(begin(folder) / BEGUN, {"digest": digest})
    return folder


def finish(folder: Path, digest: str) -> None:
    """State what the folder was made of; written last, so that a stopped stage is made again."""
    write_json(folder / DONE, {"digest": digest})


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
