"""Length of a file: what its container states, what its packets hold, and the note of a difference.

The rule: the length that is answered is that of the audio that is there. A header states the
length of what one encoder wrote once; files are joined, recorded without an end, or cut afterwards.
So a stated length is checked against the end of the packets, and never limits what is read where
the packets go on. Where both differ by more than `MAX_UNNOTED_S`, a note says so.
"""

from __future__ import annotations

# Containers round durations, and encoders pad: such differences are in most files.
MAX_UNNOTED_S = 0.5
Notes = tuple[str, ...]


def length_notes(stated_s: float | None, held_s: float) -> Notes:
    """A note if the stated length, None without one, is not that of the audio in the file."""
    if stated_s is None or abs(stated_s - held_s) <= MAX_UNNOTED_S:
        return ()
    return (f"the header promises {stated_s:.1f} s, the file holds {held_s:.1f} s",)
