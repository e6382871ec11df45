"""Decompression bombs: small files with hours of sound, endless tables, or huge tags.

Some are as their format's specification has it, and whole; the others say more than they hold.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.bombs import containers as c
from tests.bombs import streams as s

MiB = 1 << 20

BOMBS: dict[str, Callable[[], bytes]] = {
    made.__name__: made
    for made in (
        *(s.flac_of_hours, s.flac_with_cover, s.flac_of_blocks),
        *(s.flac_with_comments_beyond_its_end, s.opus_of_hours),
        *(s.mp3_with_cover, s.mp3_with_many_tags, s.mp3_with_tag_beyond_its_end),
        *(s.mp3_of_small_frames, s.mp3_of_false_starts),
        *(s.ogg_of_streams, s.ogg_of_streams_and_a_good_one, s.ogg_with_comments_beyond_its_end),
        *(c.wav_of_chunks, c.aiff_of_chunks, c.channels_64),
        *(c.m4a_with_cover, c.m4a_of_empty_samples, c.m4a_of_many_chunks),
        *(c.webm_of_unknown_sizes, c.webm_of_recursive_tags, c.webm_of_recursive_segments),
        c.webm_of_tracks,
    )
} | {
    "wav of 65,535 channels": lambda: c.wav(channels=65_535),
    "wav of 1 Hz": lambda: c.wav(rate=1),
    "wav of 0 Hz": lambda: c.wav(rate=0),
    "wav of 2 GHz": lambda: c.wav(rate=2**31 - 1),
    "wav of 4 GHz": lambda: c.wav(rate=2**32 - 1),
    "flac of 1,048,575 Hz": lambda: s.flac_of_rate(2**20 - 1),
    "flac of 1 Hz": lambda: s.flac_of_rate(1),
    "caf of 65,536 channels": lambda: c.caf(channels=65_536),
    "caf of 4,294,967,295 channels": lambda: c.caf(channels=2**32 - 1),
    "caf of packets beyond its end": lambda: c.caf(packet_frames=0x45_0001),
    "m4a of nested trak": lambda: c.m4a_of_nested(b"trak"),
    "m4a of nested udta": lambda: c.m4a_of_nested(b"udta"),
    "m4a of nested moov": lambda: c.nested(b"moov"),
    "m4a of sizes beyond its end": lambda: c.m4a_with_table(b"stsz", 0, 2**32 - 1),
    "m4a of times beyond its end": lambda: c.m4a_with_table(b"stts", 2**28),
    "m4a of a time that lasts": lambda: c.m4a_with_table(b"stts", 1, 2**32 - 1, 2**31 - 1),
    "m4a of places beyond its end": lambda: c.m4a_with_table(b"stco", 2**28),
}
# For `make fuzz`: as large as uploads may be by default.
HEAVY: dict[str, Callable[[], bytes]] = {
    "webm of 100,000 tags": c.webm_of_many_tags,
    "mp3 of small frames, 95 MB": lambda: s.mp3_of_small_frames(95 * MiB),
    "mp3 of false starts, 95 MB": lambda: s.mp3_of_false_starts(95 * MiB),
    "wav of 10,000,000 chunks": lambda: c.wav_of_chunks(10_000_000),
    "flac of a hundred hours": lambda: s.flac_of_hours(100),
    "m4a of nested trak, 80 MB": lambda: c.with_box_in_moov(c.nested(b"trak", 10_000_000)),
}
