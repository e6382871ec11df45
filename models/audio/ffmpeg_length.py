"""Length of a stream that FFmpeg reads: what the container states, and where its packets end.

The packets decide. A stated length is that of one edition of the file, may include the time at
which the stream begins (a recorder that stamps the time of day), and is missing in live recordings.
Only a container without an index is read from its start; of Matroska the last cluster is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.audio.length import MAX_UNNOTED_S, Notes, length_notes
from models.audio.libsndfile import truncated_error
from models.errors import TruncatedAudio

# May be missing at the end of a complete file: containers round durations, and encoders pad.
SLACK_S = 1.0


@dataclass(frozen=True)
class StreamLength:
    """Length of the audio, with a note or an error where the container states another one."""

    duration_s: float
    notes: Notes = ()
    truncation: TruncatedAudio | None = None


def compare_lengths(stated_s: float, held_s: float, origin_s: float) -> StreamLength:
    """The length of a stream that ends `held_s` seconds after its first packet.

    Parameters
    ----------
    stated_s : by the container; 0 for one that states none
    origin_s : time of the first packet, which some containers count in
    """
    if not stated_s:
        return StreamLength(held_s)
    if held_s < stated_s - SLACK_S and origin_s > 0:
        stated_s = max(0.0, stated_s - origin_s)
    if held_s < stated_s - SLACK_S:
        return StreamLength(held_s, truncation=truncated_error(stated_s, held_s))
    if held_s > stated_s + MAX_UNNOTED_S:
        return StreamLength(held_s, length_notes(stated_s, held_s))
    # A stated duration leaves out the encoder's padding, which packets include.
    return StreamLength(min(stated_s, held_s))


def find_end_s(last_packet_end_s: Callable[[float], float], stated_s: float) -> float:
    """The end of the last packet, searched shortly before the stated end, else further back."""
    starts_s = _search_starts_s(max(0.0, stated_s - 2 * SLACK_S))
    return next((end_s for end_s in map(last_packet_end_s, starts_s) if end_s > 0), 0.0)


def _search_starts_s(from_s: float) -> Iterator[float]:
    while from_s > SLACK_S:
        yield from_s
        from_s /= 2
    yield 0.0
