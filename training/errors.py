"""What can go wrong offline: one tree, each error with its value and its remedy."""

from __future__ import annotations

from pathlib import Path


class TrainingError(Exception):
    """Any error of this program that its user can do something about."""


class MissingTool(TrainingError):
    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} is not installed; {remedy}")


class RenderFailed(TrainingError):
    def __init__(self, midi: Path, reason: str) -> None:
        super().__init__(f"{midi.name}: {reason}")
