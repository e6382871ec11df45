"""MP3 frame parser, and the Info and silent frames that are prepended to an excerpt.

Source: ISO/IEC 11172-3 and 13818-3 (frame header), the Xing/Info header as LAME writes it.
"""

from __future__ import annotations

from typing import NamedTuple

MPEG_1, RESERVED_VERSION = 3, 1
MONO = 3
LAYER_3 = 0xE2  # the second header byte without its version and protection bits
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
# Decoder delay in samples, in addition to the encoder's delay; mpg123 removes both.
DECODER_DELAY = 529


class FrameFormat(NamedTuple):
    """MPEG version, sample rate and channels, the same in all frames of a file."""

    version: int
    rate: int  # index into SAMPLE_RATES[version], as in the header
    is_mono: bool

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATES[self.version][self.rate]

    @property
    def frame_samples(self) -> int:
        return 1152 if self.version == MPEG_1 else 576

    def frame_bytes(self, third: int) -> int:
        """Length of a frame with this third header byte, which has bit rate and padding."""
        bits = KBIT_PER_S[self.version == MPEG_1][third >> 4] * 1000
        return self.frame_samples // 8 * bits // self.sample_rate + (third >> 1 & 1)

    @property
    def side_bytes(self) -> int:
        """Length of the side information."""
        if self.version == MPEG_1:
            return 17 if self.is_mono else MAX_SIDE_BYTES
        return 9 if self.is_mono else 17


class InfoHeader(NamedTuple):
    """A Xing (VBR) or Info (CBR) header: frames of audio, and samples to skip at both ends."""

    n_frames: int
    skip: int
    skip_at_end: int

    def audio_samples(self, frame_samples: int) -> int:
        """Samples per channel without what is to be skipped."""
        return self.n_frames * frame_samples - self.skip - self.skip_at_end


def parse_format(header: bytes | bytearray) -> FrameFormat | None:
    """The format in a frame's header, four bytes; None if they are not a frame header."""
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE6 != LAYER_3:
        return None
    version, bit_rate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == RESERVED_VERSION or bit_rate in (0, 15) or rate == 3:
        return None
    return FrameFormat(version, rate, header[3] >> 6 == MONO)


def parse_info_header(frame: bytes) -> InfoHeader | None:
    """The frame's Xing or Info header; None without one, or if it lacks the number of frames."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, HEADER_BYTES, 64)
        if at > 0 and len(frame) >= at + 12 and frame[at + 7] & 1:
            flags, n_frames = frame[at + 7], int.from_bytes(frame[at + 8 : at + 12])
            # Optional fields by flag: number of frames, of bytes, table of contents, quality.
            after = at + 12 + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
            if not any(frame[after : after + 1]):  # no encoder name, so no delay is stated
                return InfoHeader(n_frames, DECODER_DELAY, 0)
            delays = int.from_bytes(frame[after + 21 : after + 24])
            delay, padding = delays >> 12, delays & 0xFFF
            return InfoHeader(n_frames, delay + DECODER_DELAY, max(0, padding - DECODER_DELAY))
    return None


def make_prefix(frames: bytearray, n_frames: int) -> bytes:
    """An Info frame and a silent frame, to be prepended so that the frames form a complete file.

    Without an Info frame, libsndfile estimates the number of frames from the size of one, and reads
    no further. With an Info frame, it skips the decoder delay, which falls into the silent frame.
    """
    frame_format = parse_format(frames[:HEADER_BYTES])
    if frame_format is None:
        return b""
    third = HIGHEST_BIT_RATE << 4 | frame_format.rate << 2
    silent = bytearray(frame_format.frame_bytes(third))
    silent[:4] = 0xFF, frames[1] | 1, third, frames[3]
    info = b"Info\0\0\0\1" + (1 + n_frames).to_bytes(4)
    at = HEADER_BYTES + frame_format.side_bytes
    return bytes(silent[:at] + info + silent[at + len(info) :] + silent)


def mute_frame(frames: bytearray, at: int) -> None:
    """Silence the frame at that byte; its data stays, since later frames may refer to it."""
    frame_format = parse_format(frames[at : at + HEADER_BYTES])
    if frame_format is None:
        return
    begin = at + HEADER_BYTES + (0 if frames[at + 1] & 1 else CHECKSUM_BYTES)
    length = frame_format.side_bytes
    # The first eight or nine bits state where the frame's data begins; mpg123 needs only these.
    ninth = frames[begin + 1] & 0x80 if frame_format.version == MPEG_1 else 0
    frames[begin + 1 : begin + length] = bytes([ninth]) + bytes(length - 2)
