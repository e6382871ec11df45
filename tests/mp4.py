"""The boxes of an MP4 file (ISO/IEC 14496-12): made, and put in the place of others."""

from __future__ import annotations

import struct


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def replaced(content: bytes, path: list[bytes], by: bytes) -> bytes:
    """The boxes with the one at the end of the path replaced, and all sizes as they then are."""
    made, at = [], 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        whole = content[at : at + size]
        if kind == path[0]:
            whole = by if len(path) == 1 else box(kind, replaced(whole[8:], path[1:], by))
        made.append(whole)
        at += size
    return b"".join(made)
