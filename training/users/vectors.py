"""Vectors of users and items in one space, with their ids: the result of `users`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from training.cf.space import digest_of
from training.errors import MissingInput, MixedFactors

VECTORS, REPORT = "vectors.npz", "report.json"
COMMAND = "tasteprint-train users"


@dataclass(frozen=True)
class UserVectors:
    """Vectors of users and items, whose dot product is the score of an item for a user.

    Attributes
    ----------
    user_vectors, item_vectors : float32, shapes (n_users, dim) and (n_items, dim)
    users, items : the ids of their rows
    """

    user_vectors: NDArray[np.float32]
    item_vectors: NDArray[np.float32]
    users: pd.Index
    items: pd.Index

    @cached_property
    def space(self) -> str:
        """CF space of the vectors, see `training.cf.space.digest_of`."""
        return digest_of(self.items, self.item_vectors, self.user_vectors)

    def save(self, folder: Path, report: dict[str, Any]) -> None:
        """Write `vectors.npz`, and `report.json` with the space."""
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(folder / VECTORS) as part, part.open("wb") as file:
            np.savez(
                file,
                user_vectors=self.user_vectors,
                item_vectors=self.item_vectors,
                users=self.users.to_numpy(str),
                items=self.items.to_numpy(str),
            )
        stated = {"space": self.space} | report
        (folder / REPORT).write_text(json.dumps(stated, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> UserVectors:
        """Read what `save` wrote.

        Raises
        ------
        MissingInput
        MixedFactors
            Where the vectors are not those that the report was written with.
        """
        try:
            stored = np.load(folder / VECTORS)
            found = cls(
                stored["user_vectors"],
                stored["item_vectors"],
                pd.Index(stored["users"].astype(object)),
                pd.Index(stored["items"].astype(object)),
            )
            recorded = json.loads((folder / REPORT).read_text())["space"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:  # damaged
            raise MissingInput(folder, COMMAND) from error
        if recorded != found.space:
            raise MixedFactors(folder, recorded, found.space, COMMAND)
        return found
