"""Measures of a finished run: a JSON file, from which the run's tables are drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.atomic_write import write_atomically
from training.errors import MissingInput

MEASURES = "measures.json"


def write_measures(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the file atomically into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(folder / MEASURES) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def read_measures(folder: Path, command: str, *keys: str) -> dict[str, Any]:
    """What a command has measured.

    Parameters
    ----------
    command : of `tasteprint-train`, which writes the file
    keys : that the file must have

    Raises
    ------
    MissingInput
        Where there is no such file, or one of another command.
    """
    try:
        content: dict[str, Any] = json.loads((folder / MEASURES).read_text())
        for key in keys:
            content[key]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MissingInput(folder, f"tasteprint-train {command}") from error
    return content
