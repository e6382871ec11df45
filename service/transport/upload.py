"""Upload in memory, and the upload memory budget that all uploads share."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Protocol

from service.decoding.memfd import UploadMemfd
from service.errors import Busy, UploadTooLarge

CHUNK_BYTES = 32 << 10
# A file of this size or larger is written by a thread: writing it on the event loop would block
# for milliseconds.
BLOCKING_BYTES = 2 << 20
# Networks occasionally stall for this long: an upload less behind is not evicted.
EVICTABLE_BEHIND_S = 1.0


class AudioSource(Protocol):
    """A file to be decoded: an upload, or a file on disk. The owner closes it."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hexadecimal digits."""

    async def path(self) -> Path:
        """Path of the file, for a decoder; valid until `close`."""

    def close(self) -> None: ...


class Upload:
    """An uploaded file: its bytes and their SHA-256. The owner closes it.

    The bytes stay in the chunks in which they arrived until they are decoded: a cached answer,
    found by the digest, needs no file.

    Attributes
    ----------
    size : bytes received
    """

    def __init__(self, max_bytes: int, budget: UploadBudget) -> None:
        self._max_bytes, self._budget = max_bytes, budget
        self._hash = hashlib.sha256()
        self._chunks: list[bytes | bytearray | memoryview] = []
        self._memfd: UploadMemfd | None = None
        self._spilling: asyncio.Future[None] | None = None
        self._closed = False
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def held_bytes(self) -> int:
        return 0 if self._closed else self.size

    def write(self, data: bytes | memoryview) -> None:
        """Append a chunk of the file.

        Raises
        ------
        UploadTooLarge, Busy
        """
        if self.size + len(data) > self._max_bytes:
            raise upload_too_large(self._max_bytes)
        self._budget.reserve(len(data))
        self.size += len(data)
        self._hash.update(data)
        last = self._chunks[-1] if self._chunks else None
        if len(data) >= CHUNK_BYTES:
            self._chunks.append(data)
        elif isinstance(last, bytearray) and len(last) < CHUNK_BYTES:
            last += data
        else:  # small chunks are joined, since each object has a cost
            self._chunks.append(bytearray(data))

    def head(self) -> bytes:
        """The first bytes, at most `CHUNK_BYTES`, before `path` was called."""
        return bytes(self._chunks[0][:CHUNK_BYTES]) if self._chunks else b""

    async def path(self) -> Path:
        """Path of a memfd with the file, for a decoder; written once, valid until `close`."""
        if self._memfd is None:
            self._memfd = UploadMemfd()
            if self.size < BLOCKING_BYTES:
                self._spill(self._memfd)
            else:
                loop = asyncio.get_running_loop()
                self._spilling = loop.run_in_executor(None, self._spill, self._memfd)
                # Retrieved, so that asyncio logs none where every caller was cancelled first.
                self._spilling.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._spilling is not None:  # shielded: another caller may wait for it too
            await asyncio.shield(self._spilling)
        return self._memfd.path

    def _spill(self, memfd: UploadMemfd) -> None:
        while not self._closed:
            try:
                chunk = self._chunks.pop(0)
            except IndexError:  # all are written, or another thread closed the upload just now
                return
            memfd.write(chunk)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._budget.release(self.size)
            self._chunks.clear()
            if self._memfd is not None:
                self._memfd.close()


def upload_too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"the file is larger than {max_bytes} bytes", limit=max_bytes)


class Evictable(Protocol):
    """An incomplete upload that waits for its client."""

    @property
    def held_bytes(self) -> int: ...

    @property
    def behind_s(self) -> float:
        """Delay behind the minimum upload rate."""

    def evict(self) -> None: ...


class UploadBudget:
    """Upload memory budget: bounds the bytes of all uploads, complete or not.

    When the budget is exhausted, the uploads furthest below the minimum rate are evicted. An upload
    that keeps the rate is never evicted.

    Attributes
    ----------
    held_bytes : bytes currently reserved
    evictable : the incomplete uploads that wait for their clients
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self.evictable: set[Evictable] = set()

    def reserve(self, count: int) -> None:
        """Reserve bytes, evicting slow uploads if necessary.

        Raises
        ------
        Busy
        """
        if self.held_bytes + count > self.max_bytes:
            self._evict(self.held_bytes + count - self.max_bytes)
        self.held_bytes += count

    def release(self, count: int) -> None:
        self.held_bytes -= count

    def _evict(self, missing_bytes: int) -> None:
        uploads = select_evictions(self.evictable, missing_bytes)
        if not uploads:
            raise Busy(
                f"uploads in memory hold {self.held_bytes} bytes, the limit is {self.max_bytes}",
                value=self.held_bytes,
                limit=self.max_bytes,
            )
        for upload in uploads:
            upload.evict()


def select_evictions(evictable: set[Evictable], missing_bytes: int) -> list[Evictable]:
    """The uploads furthest behind that together hold that many bytes; none if all hold fewer."""
    behind_s = {upload: upload.behind_s for upload in evictable}
    slow = [upload for upload in evictable if behind_s[upload] >= EVICTABLE_BEHIND_S]
    selected = []
    for upload in sorted(slow, key=lambda upload: behind_s[upload], reverse=True):
        if missing_bytes <= 0:
            break
        selected.append(upload)
        missing_bytes -= upload.held_bytes
    return selected if missing_bytes <= 0 else []
