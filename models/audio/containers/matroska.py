"""Matroska without an index (Cues): clusters are found by bisection, the last one tells the end.

Live recordings (MediaRecorder in browsers) have no Cues and no duration. FFmpeg then steps through
every cluster up to the position that it seeks, seconds for a recording of hours. A cluster begins
with its time, so an excerpt of the header and of the clusters of a window is a complete file.

Source: RFC 9559 (Matroska), RFC 8794 (EBML).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from models.audio.containers.walk import find_files

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
SEEK_HEAD, CUES, TIMESTAMP = 0x114D9B74, 0x1C53BB6B, 0xE7
CLUSTER_BYTES = CLUSTER.to_bytes(4)
# An entry of the SeekHead that says where the Cues are: SeekID (0x53AB) of four bytes, and the ID.
CUES_ENTRY = b"\x53\xab\x84" + CUES.to_bytes(4)
FILE_START = re.compile(rb"\x1aE\xdf\xa3.{0,48}?(?:webm|matroska)", re.DOTALL)
DOCUMENT_TYPE = re.compile(rb"webm|matroska")
MAX_EBML_BYTES = 64
# Elements before the first cluster, and those in a cluster before its time.
MAX_ELEMENTS, MAX_BEFORE_TIME = 1_000, 4
# Bytes that look like the beginning of a cluster, in the data of others.
MAX_FALSE_STARTS = 10_000
# Clusters are a few seconds long: bisection below this size saves nothing.
MIN_BISECTED_BYTES = 1 << 16


class Element(NamedTuple):
    """An EBML element: its data in bytes [begin, end); `end` is None for an unknown size."""

    name: int
    begin: int
    end: int | None


class Cluster(NamedTuple):
    """A cluster: the byte at which it begins, and its time in the segment's ticks."""

    position: int
    time: int


@dataclass(frozen=True)
class Clusters:
    """The clusters of a Matroska file that has no Cues.

    Attributes
    ----------
    header : the bytes before the first cluster, with a segment of unknown size
    first, last : clusters
    """

    path: Path
    header: bytes
    first: Cluster
    last: Cluster

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """None for a file with Cues, without clusters, or that is not Matroska."""
        with closing(_map(path)) as data:
            header = _read_header(data)
            first = _next_cluster(data, len(header), len(data)) if header else None
            last = _last_cluster(data, len(header), len(data)) if first else None
        return cls(path, header, first, last) if first and last else None

    def excerpt(self, from_time: int, to_time: int) -> bytes:
        """A file of the clusters of times [from_time, to_time], and of some around them."""
        with closing(_map(self.path)) as data:
            first, _ = self._around(data, from_time)
            _, after = self._around(data, to_time)
            end = after.position if after else len(data)
            return self.header + data[first.position : end]

    def _around(self, data: mmap.mmap, time: int) -> tuple[Cluster, Cluster | None]:
        """Two clusters around a time, not far from each other; None at the end."""
        low, high = self.first, self.last
        if time >= high.time:
            return high, None
        while high.position - low.position > MIN_BISECTED_BYTES:
            middle = (low.position + high.position) // 2
            found = _next_cluster(data, middle, high.position)
            found = found or _last_cluster(data, low.position + len(CLUSTER_BYTES), middle)
            if found is None:
                break
            low, high = (found, high) if found.time <= time else (low, found)
        return low, high


def joined_starts(data: mmap.mmap, begin: int = 0) -> list[int]:
    """The byte at which each file begins: after a segment of known size, or anywhere."""
    return find_files(data, begin, _file_end, FILE_START)


def _file_end(data: mmap.mmap, begin: int) -> int | None:
    """The byte after the segment, or of the next file if its size is unknown; None without one."""
    ebml = _element(data, begin)
    segment = _element(data, ebml.end) if ebml and ebml.name == EBML and ebml.end else None
    if segment is None or segment.name != SEGMENT:
        return None
    return segment.end or _next_file(data, segment.begin)


def _next_file(data: mmap.mmap, begin: int) -> int:
    """The next byte at which an EBML header with its document type begins; the end without one."""
    position = begin - 1
    for _ in range(MAX_FALSE_STARTS):
        position = data.find(EBML.to_bytes(4), position + 1)
        if position < 0:
            break
        if DOCUMENT_TYPE.search(data, position, position + MAX_EBML_BYTES):
            return position
    return len(data)


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _read_header(data: mmap.mmap) -> bytes:
    """The bytes before the first cluster; empty with Cues, or if the file is not Matroska."""
    ebml = _element(data, 0)
    if ebml is None or ebml.name != EBML or ebml.end is None:
        return b""
    segment = _element(data, ebml.end)
    if segment is None or segment.name != SEGMENT:
        return b""
    for position, element in _elements(data, segment.begin):
        if element.name == CLUSTER:
            size_at = ebml.end + 4
            unknown = _unknown_size(segment.begin - size_at)
            return data[:size_at] + unknown + data[segment.begin : position]
        is_index = element.name == SEEK_HEAD and CUES_ENTRY in data[element.begin : element.end]
        if element.name == CUES or is_index:
            break
    return b""


def _elements(data: mmap.mmap, position: int) -> Iterator[tuple[int, Element]]:
    """The elements from that byte on, each with its position, up to one of unknown size."""
    for _ in range(MAX_ELEMENTS):
        element = _element(data, position)
        if element is None:
            return
        yield position, element
        if element.end is None:
            return
        position = element.end


def _element(data: mmap.mmap, position: int) -> Element | None:
    """The element at that byte; None at the end, and for bytes that are no element."""
    head = data[position : position + 12]
    name_bytes = _length(head[:1])
    if not 1 <= name_bytes <= 4 or len(head) <= name_bytes:
        return None
    size_bytes = _length(head[name_bytes : name_bytes + 1])
    begin = position + name_bytes + size_bytes
    size = head[name_bytes : name_bytes + size_bytes]
    if not size_bytes or len(size) < size_bytes:
        return None
    value = int.from_bytes(size) & (1 << 7 * size_bytes) - 1
    is_unknown = size == _unknown_size(size_bytes)
    return Element(int.from_bytes(head[:name_bytes]), begin, None if is_unknown else begin + value)


def _length(first: bytes) -> int:
    """Bytes of a number, by the leading zeros of the first one; 0 if it states none."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def _unknown_size(size_bytes: int) -> bytes:
    return ((1 << 7 * size_bytes + 1) - 1).to_bytes(size_bytes)


def _cluster_at(data: mmap.mmap, position: int) -> Cluster | None:
    """The cluster at that byte; None if no time follows, as where its ID is in other data."""
    cluster = _element(data, position)
    if cluster is None or cluster.name != CLUSTER:
        return None
    for count, (_, element) in enumerate(_elements(data, cluster.begin)):
        if element.name == TIMESTAMP and element.end is not None and element.end <= len(data):
            return Cluster(position, int.from_bytes(data[element.begin : element.end][:8]))
        if count == MAX_BEFORE_TIME:
            break
    return None


def _next_cluster(data: mmap.mmap, begin: int, end: int) -> Cluster | None:
    """The first cluster that begins in bytes [begin, end)."""
    position = begin - 1
    for _ in range(MAX_FALSE_STARTS):
        position = data.find(CLUSTER_BYTES, position + 1, end)
        if position < 0:
            break
        if cluster := _cluster_at(data, position):
            return cluster
    return None


def _last_cluster(data: mmap.mmap, begin: int, end: int) -> Cluster | None:
    """The last cluster that begins in bytes [begin, end)."""
    position = end
    for _ in range(MAX_FALSE_STARTS):
        position = data.rfind(CLUSTER_BYTES, begin, position)
        if position < 0:
            break
        if cluster := _cluster_at(data, position):
            return cluster
    return None
