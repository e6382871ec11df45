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
    """Refuse factors of another space than that of a training run, see `require_space`."""
    require_space(run, read_space(run), factors, folder, warn)


def require_space(
    source: str | Path, space: str | None, factors: Factorization, folder: Path, warn: Warn
) -> None:
    """Refuse factors of another space than that of a run or a bundle.

    Parameters
    ----------
    source, space : folder of the run or name of the bundle, and the space that it records
    folder : of the factors, for the message
    warn : called with the reason where there is no record, and so nothing to check

    Raises
    ------
    OtherSpace
    """
    if space is None:
        warn(
            f"{source} does not record its CF space, so it cannot be checked that it was trained "
            f"on the factors in {folder}, of the space {factors.space[:12]}"
        )
    elif space != factors.space:
        remedy = "give --factors the folder that the run was trained on, or train on these factors"
        raise OtherSpace(source, space, folder, factors.space, remedy)
