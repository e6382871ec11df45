"""Options of `mine`; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

# Card entry that tells bundles of `mine` from others; its value is the encoder's output.
MINE_SOURCE = "mine_source"
# Card entry of a bundle whose encoder was fine-tuned: an update keeps the bundle's own encoder.
FINE_TUNED = "fine_tuned_steps"
# Its encoder, where a card of another bundle would be named.
OWN = "own"


@dataclass(frozen=True)
class MineSettings:
    """How the plays are factorised, and how the models are judged.

    Factors and minimum of listeners are lowered where there are too few songs for them.
    """

    factors: Annotated[
        int, Doc("Dimension of the factors; lower for few songs or users."), Ge(1)
    ] = 40
    regularization: Annotated[
        float, Doc("L2 penalty on the factors; 0: chosen by held-out plays."), Ge(0)
    ] = 0.0
    alpha: Annotated[
        float, Doc("Confidence weight of an entry; a missing entry has confidence 1.")
    ] = 10.0
    iterations: Annotated[int, Doc("Sweeps over users and items."), Ge(1)] = 15
    min_listeners: Annotated[
        int,
        Doc(
            "Minimum number of listeners of a held-out item to be counted; lower where few songs "
            "have as many."
        ),
        Ge(1),
    ] = 10
    seed: Annotated[int, Doc("Random seed; the same seed gives the same result.")] = 0


@dataclass(frozen=True)
class Columns:
    """Columns that the user names; None where they are to be guessed."""

    user: str | None = None
    item: str | None = None
    count: str | None = None
    track: str | None = None
    artist: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class Sources:
    """What a model is made of.

    Attributes
    ----------
    songs : folder of audio files
    plays : listening logs: files, folders or patterns
    catalogue : table with a row for each song; None where the names of files are the ids
    """

    songs: Path
    plays: tuple[Path, ...]
    catalogue: Path | None
    columns: Columns


@dataclass(frozen=True)
class Places:
    """Where `mine` reads and writes.

    Attributes
    ----------
    work : folder of the stages, which a later run goes on with
    bundle : folder of the bundle, models/<name>
    encoders : bundles that the maps are fitted on
    """

    work: Path
    bundle: Path
    encoders: tuple[Path, ...]
