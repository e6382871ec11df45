"""How long an MP3 file is, from its frame headers.

Only some MP3 files state their length, and libsndfile guesses that of the others from the size of
the file, tags and all. Stepping from header to header takes a millisecond a minute of audio.

Source: ISO/IEC 11172-3 and 13818-3 (frame header), the Xing/Info header as LAME writes it.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

MPEG_1, RESERVED_VERSION = 3, 1
LAYER_3 = 0xE2  # of the second header byte, without its version and protection bits
KBIT_PER_S = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
)
SAMPLE_RATES = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
# Eleven bits of sync, any version, layer III; a valid bit rate and sample rate.
FRAME_START = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]", re.DOTALL)
# Damage is stepped over, but a file of something else is not searched to its end.
MAX_RESYNC_BYTES = 1 << 20
# What may follow the last frame: ID3v1, APE, Lyrics3, ID3v2 footers.
TRAILING_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")


@dataclass(frozen=True)
class Mp3Length:
    """What the headers tell.

    Attributes
    ----------
    n_frames : samples a channel, of all whole frames
    promised_frames : as the file's Xing or Info header states them; None where it has none
    missing_bytes : of a last frame that is cut short
    """

    n_frames: int
    promised_frames: int | None
    missing_bytes: int


def measure(path: Path) -> Mp3Length:
    """Step through the frame headers of a layer III file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _walk(data)


def _walk(data: mmap.mmap) -> Mp3Length:
    size, position = len(data), _after_id3(data)
    count, samples, missing = 0, 0, 0
    promised: int | None = None
    while position + 4 <= size:
        length, n_samples = _frame(data[position : position + 3])
        if not length:
            position = _next_frame(data, position)
            continue
        if position + length > size:
            missing = position + length - size
            break
        if count == 0 and (stated := _stated_frames(data[position : position + length])):
            promised, n_samples = stated * n_samples, 0  # this frame holds no audio
        count, samples, position = count + 1, samples + n_samples, position + length
    return Mp3Length(samples, promised, missing)


def _after_id3(data: mmap.mmap) -> int:
    """Where the ID3v2 tag at the start ends; its size is in four bytes of seven bits."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    footer = 10 if data[5] & 0x10 else 0
    return 10 + size + footer


def _frame(header: bytes) -> tuple[int, int]:
    """Bytes and samples of the frame that begins so; (0, 0) where none does."""
    if header[0] != 0xFF or header[1] & 0xE6 != LAYER_3:
        return 0, 0
    version, bit_rate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == RESERVED_VERSION or bit_rate in (0, 15) or rate == 3:
        return 0, 0
    first = version == MPEG_1
    bits = KBIT_PER_S[first][bit_rate] * 1000
    padding = header[2] >> 1 & 1
    samples = 1152 if first else 576
    return samples // 8 * bits // SAMPLE_RATES[version][rate] + padding, samples


def _next_frame(data: mmap.mmap, position: int) -> int:
    """The next place where two frames follow each other; the end where there is none, or a tag."""
    if data[position : position + 11].startswith(TRAILING_TAGS):
        return len(data)
    for found in FRAME_START.finditer(data, position + 1, position + MAX_RESYNC_BYTES):
        length, _ = _frame(found[0])
        after = data[found.start() + length : found.start() + length + 3]
        if length and len(after) == 3 and _frame(after)[0]:
            return found.start()
    return len(data)


def _stated_frames(frame: bytes) -> int:
    """Frames of audio as a Xing (VBR) or Info (CBR) header states; 0 where there is none."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 64)
        if at > 0 and len(frame) >= at + 12 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12])
    return 0
