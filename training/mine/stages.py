"""Stages that are done: a folder states the digest of its inputs, and is not made again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from models.atomic_write import write_atomically

DONE = "done.json"


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


def finish(folder: Path, digest: str) -> None:
    """State what the folder was made of; written last, so that a stopped stage is made again."""
    write_json(folder / DONE, {"digest": digest})


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
