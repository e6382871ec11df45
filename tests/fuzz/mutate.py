"""Damage, seeded: from good files to a mutant, the same for the same seed and number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Random = np.random.Generator
HEADER_BYTES = 512
MAX_BYTES = 1 << 20
# Where formats keep what they promise: sizes, rates, counts and offsets follow these within bytes.
FIELDS = re.compile(
    rb"RIFF|RF64|ds64|fmt |data|fact|LIST|FORM|COMM|SSND|fLaC|OggS|OpusHead|\x01vorbis|ID3|Xing"
    rb"|Info|ftyp|moov|mvhd|mdhd|stsd|stsz|stsc|stco|stts|esds|mp4a|alac|caff|desc|pakt|\x1a\x45\xdf\xa3"
)
EXTREMES = (0, 1, 2, 3, 255, 65_535, 384_001, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
OGG_POLYNOMIAL = 0x04C1_1DB7


@dataclass(frozen=True)
class Mutant:
    """A damaged file, and where it comes from: a file's name and what was done to it."""

    source: str
    done: tuple[str, ...]
    content: bytes


def mutant(files: dict[str, bytes], seed: int, number: int) -> Mutant:
    """Number `number` of a seed's mutants."""
    random = np.random.default_rng((seed, number))
    source = str(random.choice(list(files)))
    other = files[str(random.choice(list(files)))]
    content, done = files[source], []
    for _ in range(int(random.integers(1, 4))):
        name = str(random.choice(CHOICES))
        content = MUTATIONS[name](content, other, random)[:MAX_BYTES]
        done.append(name)
    if content.startswith(b"OggS") and random.random() < 0.5:
        # With the wrong checksum a page is left out, and nothing behind it ever sees the damage.
        content = with_checksums(content)
        done.append("checksums")
    return Mutant(source, tuple(done), content)


def _place(content: bytes, random: Random) -> int:
    """Anywhere, but half of the time in the header."""
    end = len(content) if random.random() < 0.5 else min(len(content), HEADER_BYTES)
    return int(random.integers(0, end + 1))


def _stretch(content: bytes, random: Random) -> tuple[int, int]:
    """A stretch of a length between one byte and all, short ones as likely as long ones."""
    start = _place(content, random)
    longest = max(1, len(content) - start)
    return start, start + int(longest ** random.random())


def flip_bits(content: bytes, other: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 33))):
        at = _place(content, random)
        if at < len(changed):
            changed[at] ^= 1 << int(random.integers(8))
    return bytes(changed)


def overwrite(content: bytes, other: bytes, random: Random) -> bytes:
    start, end = _stretch(content, random)
    end = min(end, start + 4096)
    fill = random.choice(["noise", "0", "255"])
    run = random.bytes(end - start) if fill == "noise" else bytes([int(fill)]) * (end - start)
    return content[:start] + run + content[end:]


def cut_end(content: bytes, other: bytes, random: Random) -> bytes:
    return content[: _place(content, random)]


def remove(content: bytes, other: bytes, random: Random) -> bytes:
    start, end = _stretch(content, random)
    return content[:start] + content[end:]


def repeat(content: bytes, other: bytes, random: Random) -> bytes:
    start, end = _stretch(content, random)
    return content[:end] + content[start:end] * int(random.integers(1, 9)) + content[end:]


def move(content: bytes, other: bytes, random: Random) -> bytes:
    start, end = _stretch(content, random)
    rest = content[:start] + content[end:]
    at = _place(rest, random)
    return rest[:at] + content[start:end] + rest[at:]


def splice(content: bytes, other: bytes, random: Random) -> bytes:
    return content[: _place(content, random)] + other[_place(other, random) :]


def insert(content: bytes, other: bytes, random: Random) -> bytes:
    at = _place(content, random)
    start, end = _stretch(other, random)
    return content[:at] + other[start:end] + content[at:]


def set_field(content: bytes, other: bytes, random: Random) -> bytes:
    """An extreme number into a header's field."""
    marks: Sequence[re.Match[bytes]] = list(FIELDS.finditer(content[: 64 * HEADER_BYTES]))
    at = _place(content, random)
    if marks and random.random() < 0.8:
        mark = marks[int(random.integers(len(marks)))]
        at = max(0, mark.end() + int(random.integers(-8, 32)))
    width, order = int(random.choice([1, 2, 4, 8])), str(random.choice(["little", "big"]))
    extremes = (*EXTREMES, len(content), len(content) + 1)
    value = extremes[int(random.integers(len(extremes)))] % 256**width
    field: bytes = value.to_bytes(width, "little" if order == "little" else "big")
    return content[:at] + field + content[at + width :]


MUTATIONS: dict[str, Callable[[bytes, bytes, Random], bytes]] = {
    "flip_bits": flip_bits,
    "overwrite": overwrite,
    "cut_end": cut_end,
    "remove": remove,
    "repeat": repeat,
    "move": move,
    "splice": splice,
    "insert": insert,
    "set_field": set_field,
}


# Small damage more often: a file whose half is missing is refused before it is decoded.
CHOICES = [*MUTATIONS, *2 * ["flip_bits", "set_field"], "overwrite"]


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (OGG_POLYNOMIAL if value & 1 << 31 else 0)
        table.append(value & 0xFFFF_FFFF)
    return table


CRC = _table()


def with_checksums(content: bytes) -> bytes:
    """Ogg pages with the checksums of what they now hold (RFC 3533, section 6)."""
    changed = bytearray(content)
    at = changed.find(b"OggS")
    while 0 <= at <= len(changed) - 27:
        segments = changed[at + 27 : at + 27 + changed[at + 26]]
        end = at + 27 + len(segments) + sum(segments)
        changed[at + 22 : at + 26] = bytes(4)
        value = 0
        for byte in changed[at:end]:
            value = (value << 8 & 0xFFFF_FFFF) ^ CRC[value >> 24 ^ byte]
        changed[at + 22 : at + 26] = value.to_bytes(4, "little")
        at = changed.find(b"OggS", max(end, at + 4))
    return bytes(changed)
