"""API keys: what a deployment gives, and what is kept of it: hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

MIN_KEY_CHARS = 16
DIGEST_BYTES = 32

# Of each key its SHA-256; the key itself is nowhere once the settings are read.
Digests = tuple[bytes, ...]


def parse(keys: Iterable[str]) -> Digests:
    """The digests of keys, each once; blanks around a key and empty ones do not count.

    Raises
    ------
    ValueError
        Naming a key by its place, never by what it is.
    """
    given = [key.strip() for key in keys]
    given = [key for key in given if key]
    if not given:
        raise ValueError("holds no key; leave it out to serve without keys")
    for place, key in enumerate(given, 1):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"key {place} holds what a header cannot carry: use letters, digits")
        if len(key) < MIN_KEY_CHARS:
            raise ValueError(
                f"key {place} has {len(key)} characters and needs at least {MIN_KEY_CHARS}: "
                "`openssl rand -hex 24` makes a good one"
            )
    return tuple(dict.fromkeys(map(digest, (key.encode() for key in given))))


def parse_list(value: object) -> object:
    """What an environment variable gives: keys between commas. Digests are left as they are."""
    return parse(value.split(",")) if isinstance(value, str) else value


def parse_file(path: Path) -> Digests:
    """The keys of a file, one a line.

    Raises
    ------
    OSError, ValueError
    """
    return parse(path.read_text().splitlines())


def digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def holds(keys: Digests, given: bytes) -> bool:
    """Whether it is one of the keys, in a time that does not tell how near it is, or to which."""
    found, one_of_them = digest(given), False
    for key in keys:
        one_of_them |= hmac.compare_digest(found, key)
    return one_of_them
