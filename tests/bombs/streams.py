"""Bombs in streams of frames and pages: FLAC, Opus, MP3, Ogg."""

from __future__ import annotations

import struct
from functools import cache

from tests.bombs.good import good
from tests.fuzz.mutate import with_checksums

MiB = 1 << 20
TAG_BYTES = 8 * MiB
RATE = 44_100
HOURS = 3
FLAC_BLOCK = 65_535
PICTURE = 6  # a FLAC metadata block


@cache
def _crc_table(polynomial: int, width: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (width - 1) & 1 else 0)
        table.append(value & ((1 << width) - 1))
    return table


def _crc(content: bytes, polynomial: int, width: int) -> int:
    table, value = _crc_table(polynomial, width), 0
    for byte in content:
        value = (value << 8 & ((1 << width) - 1)) ^ table[value >> (width - 8) ^ byte]
    return value


def flac_of_hours(hours: int = HOURS) -> bytes:
    """A level that changes its sign with every block, 14 bytes each (RFC 9639)."""
    frames = hours * 3600 * RATE // FLAC_BLOCK
    facts = RATE << 44 | 15 << 36 | frames * FLAC_BLOCK
    info = struct.pack(">HH6xQ16x", FLAC_BLOCK, FLAC_BLOCK, facts)
    made = [b"fLaC", struct.pack(">I", 1 << 31 | len(info)), info]
    for number in range(frames):
        # Blocks of one size, which 16 bits state; 44.1 kHz, one channel, 16 bits; the number.
        head = (
            b"\xff\xf8\x79\x08"
            + chr(number).encode("utf-8", "surrogatepass")
            + struct.pack(">H", FLAC_BLOCK - 1)
        )
        head += bytes([_crc(head, 0x07, 8)])
        frame = head + struct.pack(">Bh", 0, 3000 * (-1) ** number)  # one constant sample
        made.append(frame + struct.pack(">H", _crc(frame, 0x8005, 16)))
    return b"".join(made)


def ogg_page(serial: int, sequence: int, granule: int, flags: int, packets: list[bytes]) -> bytes:
    """A page without its checksum (RFC 3533, section 6)."""
    sizes = [len(packet) for packet in packets]
    lacing = b"".join(bytes([*[255] * (size // 255), size % 255]) for size in sizes)
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, serial, sequence, 0)
    return head + bytes([len(lacing)]) + lacing + b"".join(packets)


def opus_of_hours() -> bytes:
    """Packets of two bytes that last 120 ms each (RFC 6716, section 3.2.5), without sound."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    pages = [ogg_page(1, 0, 0, 2, [head]), ogg_page(1, 1, 0, 0, [tags])]
    packet = bytes([11 << 3 | 7, 2])  # stereo, two frames of 60 ms of nothing
    count = HOURS * 3600 * 1000 // (120 * 255)
    for page in range(count):
        granule = (page + 1) * 255 * 5760
        pages.append(ogg_page(1, page + 2, granule, 4 * (page == count - 1), [packet] * 255))
    return with_checksums(b"".join(pages))


def flac_of_rate(rate: int) -> bytes:
    """A good file that says another rate; 20 bits hold it."""
    content = bytearray(good("flac"))
    facts = int.from_bytes(content[18:26])
    content[18:26] = (facts & ((1 << 44) - 1) | rate << 44).to_bytes(8)
    return bytes(content)


def id3(frames: bytes, size: int | None = None) -> bytes:
    size = len(frames) if size is None else size
    parts = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + parts + frames


def id3_frame(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack(">IH", len(content), 0) + content


def mp3_with_cover() -> bytes:
    picture = b"\0image/jpeg\0\3\0" + bytes(TAG_BYTES)
    return id3(id3_frame(b"APIC", picture)) + good("mp3")


def mp3_with_many_tags(count: int = 100_000) -> bytes:
    """Each with a name of its own: to read them takes the square of their number, a minute."""
    return id3(b"".join(id3_frame(b"TXXX", b"\0%d\0x" % number) for number in range(count))) + good(
        "mp3"
    )


def mp3_with_tag_beyond_its_end() -> bytes:
    return id3(bytes(100), size=(1 << 28) - 1) + good("mp3")


def mp3_of_small_frames(size: int = 4 * MiB) -> bytes:
    """Frames of 24 bytes (MPEG 2, 8 kbit/s, 24 kHz), more than an hour of them."""
    return (b"\xff\xf3\x14\xc4" + bytes(20)) * (size // 24)


def mp3_of_false_starts(size: int = 4 * MiB) -> bytes:
    return good("mp3")[:4000] + b"\xff\xfb\x90\xc4\xff" * (size // 5)


def flac_block(kind: int, content: bytes) -> bytes:
    return struct.pack(">I", kind << 24 | len(content)) + content


def flac_with_cover() -> bytes:
    content = good("flac")
    picture = struct.pack(">II", 3, 10) + b"image/jpeg" + struct.pack(">I20xI", 0, TAG_BYTES)
    return content[:42] + flac_block(PICTURE, picture + bytes(TAG_BYTES)) + content[42:]


def flac_of_blocks() -> bytes:
    content = good("flac")
    return content[:42] + flac_block(2, b"none") * 500_000 + content[42:]


def flac_with_comments_beyond_its_end() -> bytes:
    content = good("flac")
    comments = struct.pack("<I4sI", 4, b"none", 0xFFFF_FFFF) + b"\xff" * 100
    return content[:42] + flac_block(4, comments) + content[42:]


def ogg_of_streams(then: bytes = b"") -> bytes:
    """Ten thousand streams begin, each of Vorbis."""
    head = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 2, RATE, 0, 128_000, 0, 0xB8, 1)
    pages = (ogg_page(serial, 0, 0, 2, [head]) for serial in range(10_000))
    return with_checksums(b"".join(pages)) + then


def ogg_of_streams_and_a_good_one() -> bytes:
    return ogg_of_streams(good("ogg"))


def ogg_with_comments_beyond_its_end() -> bytes:
    content = good("opus")
    at = content.index(b"OpusTags") + 8
    changed = content[:at] + struct.pack("<II", 0, 0xFFFF_FFFF) + content[at + 8 :]
    return with_checksums(changed)
