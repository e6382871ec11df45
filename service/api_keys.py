"""API keys: parsing, and comparison by SHA-256; no key is stored in plain text."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

MIN_KEY_CHARS = 16

# SHA-256 of each key.
Digests = tuple[bytes, ...]


def parse(keys: Iterable[str]) -> Digests:
    """Digests of the distinct keys; blanks around a key and empty keys are ignored.

    Raises
    ------
    ValueError
        Where a key is not valid; the message names its position, never the key.
    """
    given = [key.strip() for key in keys]
    given = [key for key in given if key]
    if not given:
        raise ValueError("has no key; unset it to serve without keys")
    for position, key in enumerate(given, 1):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(
                f"key {position} has characters that a header cannot carry: use letters and digits"
            )
        if len(key) < MIN_KEY_CHARS:
            raise ValueError(
                f"key {position} has {len(key)} characters and needs at least {MIN_KEY_CHARS}: "
                "make one by `openssl rand -hex 24`"
            )
    return tuple(dict.fromkeys(map(digest, (key.encode() for key in given))))


def parse_list(value: object) -> object:
    """Parse a comma-separated list of keys; digests are returned unchanged."""
    return parse(value.split(",")) if isinstance(value, str) else value


def parse_file(path: Path) -> Digests:
    """Digests of the keys in a file, one key per line.

    Raises
    ------
    OSError, ValueError
    """
    return parse(path.read_text().splitlines())


def digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def holds(keys: Digests, given: bytes) -> bool:
    """Whether a key is one of these, compared in constant time."""
    given_digest, found = digest(given), False
    for key in keys:
        found |= hmac.compare_digest(given_digest, key)
    return found
