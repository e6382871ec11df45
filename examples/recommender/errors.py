"""Errors of the recommender, each with its remedy.

RecommenderError
├── BadFactors      the folder of the factorisation
├── OtherSpace      409: vectors of another factorisation
├── Unknown         404: a track, artist or user without a vector
└── DatabaseInUse   another process has the database open
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class RecommenderError(Exception):
    """Base class; `status` is that of HTTP."""

    status = 500


class BadFactors(RecommenderError):
    """A factorisation that cannot be read."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"{folder} holds no factorisation that can be used ({reason}); make it with "
            "tasteprint-train factorize"
        )


class DatabaseInUse(RecommenderError):
    """The database is locked."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process has {path} open, and two would not see each other's songs; stop it, "
            "or set RECOMMENDER_DATABASE to another file"
        )


class OtherSpace(RecommenderError):
    """A vector and the factorisation are of two spaces."""

    status = 409

    def __init__(self, what: str, space: str, own: str, remedy: str) -> None:
        super().__init__(
            f"{what} is of the space {space[:12]}, and the factorisation of {own[:12]}: vectors of "
            f"different spaces have nothing in common; {remedy}"
        )


class Unknown(RecommenderError):
    """Ids that the recommender has no vector of."""

    status = 404

    def __init__(self, what: str, ids: Sequence[str], remedy: str) -> None:
        shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        super().__init__(f"{what} {shown}: unknown; {remedy}")
