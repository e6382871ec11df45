"""Bombs in containers: WAV, AIFF, CAF, MP4, Matroska."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

from tests.bombs.good import good
from tests.mp4 import box, replaced
from tests.sounds import golden

MiB = 1 << 20
COVER_BYTES = 8 * MiB
RATE = 44_100
TABLES = [b"moov", b"trak", b"mdia", b"minf", b"stbl"]
UNKNOWN_SIZE = b"\x01" + b"\xff" * 7  # of an EBML element, in eight bytes


def wav(rate: int = RATE, channels: int = 1, chunks: bytes = b"", seconds: float = 2.0) -> bytes:
    """16-bit noise under any header."""
    random = np.random.default_rng(0)
    data = random.integers(-9999, 9999, round(seconds * RATE)).astype("<i2").tobytes()
    data = data[: len(data) // (2 * channels) * 2 * channels]
    facts = (1, channels, rate, rate * channels * 2 & 0xFFFF_FFFF, channels * 2 & 0xFFFF, 16)
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *facts) + chunks
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav_of_chunks(count: int = 100_000) -> bytes:
    return wav(chunks=(b"junk" + bytes(4)) * count)


def aiff_of_chunks() -> bytes:
    content = good("aiff")
    body = content[8:12] + (b"ANNO" + bytes(4)) * 500_000 + content[12:]
    return b"FORM" + struct.pack(">I", len(body)) + body


def m4a_with_cover() -> bytes:
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0), bytes(COVER_BYTES)))
    handler = box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    return with_box_in_moov(box(b"udta", box(b"meta", bytes(4), handler, box(b"ilst", cover))))


def with_box_in_moov(extra: bytes) -> bytes:
    content = good("m4a")
    at = content.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", content, at)
    return content[:at] + box(b"moov", content[at + 8 : at + size], extra) + content[at + size :]


def nested(kind: bytes, depth: int = 200_000) -> bytes:
    sizes = range(8 * depth, 0, -8)
    return b"".join(struct.pack(">I4s", size, kind) for size in sizes)


def m4a_of_nested(kind: bytes) -> bytes:
    return with_box_in_moov(nested(kind))


def m4a_with_table(kind: bytes, *numbers: int) -> bytes:
    """A good file, one of whose sample tables says another number of entries."""
    table = box(kind, struct.pack(f">{len(numbers) + 1}I", 0, *numbers))
    return replaced(good("m4a"), [*TABLES, kind], table)


def m4a_of_empty_samples() -> bytes:
    """Four thousand million samples of a byte each, in tables of twenty bytes."""
    most = 0xFFFF_FFFF
    content = m4a_with_table(b"stsz", 1, most)
    content = replaced(content, [*TABLES, b"stts"], box(b"stts", struct.pack(">4I", 0, 1, most, 1)))
    return replaced(content, [*TABLES, b"stsc"], box(b"stsc", struct.pack(">5I", 0, 1, 1, most, 1)))


def m4a_of_many_chunks() -> bytes:
    """A million chunks, all at the same place."""
    count = 1_000_000
    table = box(b"stco", struct.pack(">II", 0, count), struct.pack(">I", 48) * count)
    return replaced(good("m4a"), [*TABLES, b"stco"], table)


def element(kind: bytes, content: bytes, size: bytes | None = None) -> bytes:
    """An EBML element (RFC 8794); its size in eight bytes unless given."""
    return kind + ((1 << 56 | len(content)).to_bytes(8) if size is None else size) + content


def webm_of_unknown_sizes() -> bytes:
    """As a live stream has it: where its segment and clusters end is not said."""
    content = good("webm")
    segment = content.index(b"\x18\x53\x80\x67") + 4
    content = content[:segment] + UNKNOWN_SIZE + content[segment + 8 :]
    cluster = content.index(b"\x1f\x43\xb6\x75") + 4
    width = 9 - content[cluster].bit_length()
    return (
        content[:cluster]
        + bytes([255 >> width - 1])
        + b"\xff" * (width - 1)
        + content[cluster + width :]
    )


def webm_of_recursive_tags() -> bytes:
    """Tags in tags, which are the elements that may hold themselves."""
    tag = b""
    for _ in range(2_000):
        tag = element(b"\x67\xc8", tag)
    return _webm_and(element(b"\x12\x54\xc3\x67", element(b"\x73\x73", tag)))


def webm_of_many_tags(count: int = 100_000) -> bytes:
    """Each with a name of its own: FFmpeg reads them in a minute."""
    names = (element(b"\x45\xa3", b"%d" % number) for number in range(count))
    tags = b"".join(element(b"\x67\xc8", name + element(b"\x44\x87", b"x")) for name in names)
    return _webm_and(element(b"\x12\x54\xc3\x67", element(b"\x73\x73", tags)))


def webm_of_recursive_segments() -> bytes:
    return good("webm")[:40] + (b"\x18\x53\x80\x67" + UNKNOWN_SIZE) * 500_000


def webm_of_tracks() -> bytes:
    """Fifty thousand streams."""
    entry = element(b"\xae", element(b"\xd7", b"\1") + element(b"\x83", b"\2"))
    return _webm_and(element(b"\x16\x54\xae\x6b", entry * 50_000))


def _webm_and(extra: bytes) -> bytes:
    """A good file of a segment of unknown size, with an element before the others."""
    content = good("webm")
    segment = content.index(b"\x18\x53\x80\x67") + 4
    return content[:segment] + UNKNOWN_SIZE + extra + content[segment + 8 :]


def caf(channels: int = 1, packet_frames: int = 1) -> bytes:
    packet_bytes = 2 * channels & 0xFFFF_FFFF
    facts = struct.pack(">d4s5I", RATE, b"lpcm", 2, packet_bytes, packet_frames, channels, 16)
    data = bytes(4) + b"\1\2" * RATE
    chunks = b"desc" + struct.pack(">q", len(facts)) + facts
    return b"caff\0\1\0\0" + chunks + b"data" + struct.pack(">q", len(data)) + data


def channels_64() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, golden(0.5, channels=64), RATE, format="WAV")
    return buffer.getvalue()
