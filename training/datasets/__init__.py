"""Labelled data sets, each read from its own published layout; `READERS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.datasets import emotify, esc10, gtzan
from training.datasets.task import Task

READERS: dict[str, Callable[[Path], Task]] = {
    "emotify-genre": emotify.genre,
    "emotify-gems": emotify.gems,
    "esc10": esc10.sounds,
    "gtzan-mini": gtzan.mini,
}
