"""ID3v2 tag skipping: where the tags at the start of a file end.

libsndfile and FFmpeg parse all of a tag's frames, in time that grows with the square of their
number: 100,000 frames in two megabytes took a minute. So these libraries start after the tags.

Source: ID3v2.4.0, section 3.1.
"""

from __future__ import annotations

from pathlib import Path

from models.errors import CorruptAudio

HEADER_BYTES, FOOTER = 10, 0x10
# Usually one; tools that do not recognise the first tag prepend another one.
MAX_TAGS = 16


def tags_end(path: Path) -> int:
    """The byte at which the tags at the start of a file end; 0 without tags.

    Raises
    ------
    CorruptAudio
        If there are more than `MAX_TAGS`.
    """
    end = 0
    with path.open("rb") as file:
        for _ in range(MAX_TAGS + 1):
            file.seek(end)
            length = tag_bytes(file.read(HEADER_BYTES))
            if not length:
                return end
            end += length
    raise CorruptAudio(
        f"the file begins with more than {MAX_TAGS} ID3 tags",
        value=MAX_TAGS + 1,
        limit=MAX_TAGS,
        remedy="remove all tags but one",
    )


def tag_bytes(header: bytes) -> int:
    """Length of the tag with this header, stated in four bytes of seven bits; 0 without a tag."""
    if len(header) < HEADER_BYTES or header[:3] != b"ID3":
        return 0
    version, size = header[3:5], header[6:10]
    if 0xFF in version or max(size) > 0x7F:
        return 0
    size_bytes = sum(byte << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
    return HEADER_BYTES + size_bytes + (HEADER_BYTES if header[5] & FOOTER else 0)
