"""CF space of a training run: recorded beside its checkpoint, compared with the factors given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.cf.als import Factorization
from training.errors import OtherSpace

SPACE = "space.txt"
Warn = Callable[[str], None]


def read_space(run: Path) -> str | None:
    """The space that a run was trained in; None of a run from before it was recorded."""
    return (run / SPACE).read_text().strip() if (run / SPACE).is_file() else None


def check_space(run: Path, factors: Factorization, folder: Path, warn: Warn) -> None:
    """Refuse factors of another space than that of a training run.

    Parameters
    ----------
    folder : of the factors, for the message
    warn : called with the reason where the run has no record, and so cannot be checked

    Raises
    ------
    OtherSpace
    """
    space = read_space(run)
    if space is None:
        warn(
            f"{run} does not record its CF space, so it cannot be checked that it was trained on "
            f"the factors in {folder}, of the space {factors.space[:12]}"
        )
    elif space != factors.space:
        remedy = "give --factors the folder that the run was trained on, or train on these factors"
        raise OtherSpace(run, space, folder, factors.space, remedy)
