"""The header of an MP3 frame, and the two frames that a decoder needs in front of others.

Source: ISO/IEC 11172-3 and 13818-3 (frame header), the Xing/Info header as LAME writes it.
"""

from __future__ import annotations

from typing import NamedTuple

MPEG_1, RESERVED_VERSION = 3, 1
MONO = 3
LAYER_3 = 0xE2  # of the second header byte, without its version and protection bits
KBIT_PER_S = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
)
HIGHEST_BIT_RATE = 14
SAMPLE_RATES = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
HEADER_BYTES, CHECKSUM_BYTES, MAX_SIDE_BYTES = 4, 2, 32
# What a decoder adds in front of what the encoder did; mpg123 cuts both off.
DECODER_DELAY = 529


class Kind(NamedTuple):
    """What all frames of a file have in common."""

    version: int
    rate: int  # the header's index of the sample rate

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATES[self.version][self.rate]

    @property
    def frame_samples(self) -> int:
        return 1152 if self.version == MPEG_1 else 576

    def frame_bytes(self, third: int) -> int:
        """How long the frame is that has this third byte: bit rate and padding."""
        bits = KBIT_PER_S[self.version == MPEG_1][third >> 4] * 1000
        return self.frame_samples // 8 * bits // self.sample_rate + (third >> 1 & 1)

    def side_bytes(self, fourth: int) -> int:
        """How long the side information is of a frame with this fourth byte: its channels."""
        mono = fourth >> 6 == MONO
        if self.version == MPEG_1:
            return 17 if mono else MAX_SIDE_BYTES
        return 9 if mono else 17


class Stated(NamedTuple):
    """A Xing (VBR) or Info (CBR) header: frames of audio, samples to cut off at both ends."""

    n_frames: int
    skip: int
    skip_at_end: int


def kind_of(header: bytes | bytearray) -> Kind | None:
    """Of the frame that begins so; None where none does."""
    if len(header) < 3 or header[0] != 0xFF or header[1] & 0xE6 != LAYER_3:
        return None
    version, bit_rate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == RESERVED_VERSION or bit_rate in (0, 15) or rate == 3:
        return None
    return Kind(version, rate)


def stated_by(frame: bytes) -> Stated | None:
    """What a Xing or Info header states; None where there is none, or no number of frames."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, HEADER_BYTES, 64)
        if at > 0 and len(frame) >= at + 12 and frame[at + 7] & 1:
            flags, n_frames = frame[at + 7], int.from_bytes(frame[at + 8 : at + 12])
            # Numbers of frames and bytes, a table of contents, a quality: those that are flagged.
            after = at + 12 + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
            if not any(frame[after : after + 1]):  # no name of an encoder
                return Stated(n_frames, DECODER_DELAY, 0)
            delays = int.from_bytes(frame[after + 21 : after + 24])
            delay, padding = delays >> 12, delays & 0xFFF
            return Stated(n_frames, delay + DECODER_DELAY, max(0, padding - DECODER_DELAY))
    return None


def lead(frames: bytearray, n_frames: int) -> bytes:
    """What makes a file of these frames: an Info frame, and a silent one.

    Without the first, libsndfile guesses how many frames follow by the size of one, and reads no
    further. Where there is one, it leaves the decoder's delay out: that is of the second.
    """
    kind = kind_of(frames[:3])
    if kind is None:
        return b""
    third = HIGHEST_BIT_RATE << 4 | kind.rate << 2
    silent = bytearray(kind.frame_bytes(third))
    silent[:4] = 0xFF, frames[1] | 1, third, frames[3]
    says = b"Info\0\0\0\1" + (1 + n_frames).to_bytes(4)
    at = HEADER_BYTES + kind.side_bytes(frames[3])
    return bytes(silent[:at] + says + silent[at + len(says) :] + silent)


def silence(frames: bytearray, at: int) -> None:
    """Make the frame that begins there silent; its data stays, for those that follow."""
    kind = kind_of(frames[at : at + 3])
    if kind is None:
        return
    begin = at + HEADER_BYTES + (0 if frames[at + 1] & 1 else CHECKSUM_BYTES)
    length = kind.side_bytes(frames[at + 3])
    # Where its data begins is told by the first eight or nine bits: mpg123 keeps no more of it.
    ninth = frames[begin + 1] & 0x80 if kind.version == MPEG_1 else 0
    frames[begin + 1 : begin + length] = bytes([ninth]) + bytes(length - 2)
