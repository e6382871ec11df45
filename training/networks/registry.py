"""Registry of the encoders: name → class, imported when it is used.

Importing this module imports no torch, so that the command line can check names and widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from training.errors import UnknownEncoder

if TYPE_CHECKING:
    from models.card import Card
    from training.networks.base import Encoder


@dataclass(frozen=True)
class Entry:
    """Where an encoder's class is, and the widths that it can be built with.

    Parameters
    ----------
    location : `module:class`
    widths : allowed values of `--width`; empty for any
    """

    location: str
    widths: tuple[int, ...] = ()


# What a card without the field `architecture` holds.
DEFAULT_ENCODER = "cf-estimator"
ENCODERS: dict[str, Entry] = {
    DEFAULT_ENCODER: Entry("training.networks.cf_estimator:CFEstimator", (32, 64, 128, 256)),
    "musicnn": Entry("training.networks.musicnn:MusiCNN"),
    "siamese": Entry("training.networks.siamese:SiameseCNN"),
    "sample-level": Entry("training.networks.sample_level:SampleLevelCNN"),
    "preference-tower": Entry("training.networks.preference_tower:PreferenceTower"),
}


def find_entry(name: str) -> Entry:
    """The entry of a name.

    Raises
    ------
    UnknownEncoder
    """
    if name not in ENCODERS:
        raise UnknownEncoder(name, ENCODERS)
    return ENCODERS[name]


def encoder_class(name: str) -> type[Encoder]:
    """The class of a name.

    Raises
    ------
    UnknownEncoder
    """
    module, _, attribute = find_entry(name).location.partition(":")
    found: type[Encoder] = getattr(import_module(module), attribute)
    return found


def class_of_card(card: Card) -> type[Encoder]:
    """The class of the network in a bundle.

    Raises
    ------
    UnknownEncoder
    """
    return encoder_class(card.architecture or DEFAULT_ENCODER)


def name_of(encoder: Encoder) -> str:
    """The name that an encoder's class is registered under.

    Raises
    ------
    UnknownEncoder
    """
    location = f"{type(encoder).__module__}:{type(encoder).__qualname__}"
    for name, entry in ENCODERS.items():
        if entry.location == location:
            return name
    raise UnknownEncoder(location, ENCODERS)
