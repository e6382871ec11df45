"""Artist key: one spelling per artist, the same in every data set."""

from __future__ import annotations

import re
import unicodedata

# Left out wherever they stand: `Cult, The` is `The Cult`, and `Earth Wind and Fire` has a `&` too.
LEFT_OUT = {"the", "and"}


def artist_key(name: str) -> str:
    """An artist's name without accents, case, punctuation, spaces, "the" and "and".

    The key of an artist is the name and not an id of the logs, since some sets have names alone.
    Two artists whose names differ only in what is left out have one key; for folds this does no
    harm, as both are then in the same fold. A name of nothing else (`The The`, `!!!`) is its key
    as it is; the key of an empty name is empty: the artist is unknown.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
    words = re.findall(r"[^\W_]+", bare)
    return "".join(word for word in words if word not in LEFT_OUT) or name.strip().casefold()
