"""Errors of the command line."""

from __future__ import annotations

from models.errors import TasteprintError


class BadArgument(TasteprintError):
    """Raised if an argument cannot be used."""

    title = "Bad argument"
