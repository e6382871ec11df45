"""Anonymous files in memory that another process of ours can open by their path."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

# What is left of samples that were taken: as float32 it is no number.
WIPED = memoryview(b"\xff" * (2 << 20))
# Larger ones are given back: four windows of 30 s at 16 kHz are kept.
MOST_KEPT_BYTES = 8 << 20


class AnonymousFile:
    """Gone when closed, or when this process ends.

    Attributes
    ----------
    path : opens the file from any process of the same user, until it is closed
    """

    def __init__(self, name: str) -> None:
        if sys.platform == "linux":
            self._file: BinaryIO = os.fdopen(os.memfd_create(name), "w+b", buffering=0)
            self.path = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")
        else:
            named = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
            self._file, self.path = cast(BinaryIO, named), Path(named.name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed


class Spool(AnonymousFile):
    """An upload's bytes, for a decoder to read. What is written after its end is gone."""

    def __init__(self) -> None:
        super().__init__("tasteprint")
        # The number of a file that a thread closes under a write may be another's by then.
        self._in_use = threading.Lock()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._in_use:
            if not self.closed:
                super().write(data)

    def close(self) -> None:
        with self._in_use:
            super().close()


class SampleFile(AnonymousFile):
    """A decoder's samples, to be taken out of it and wiped.

    Its memory stays for the next ones: to get it from the system, zeroed, and to give it back took
    longer than to write and to read them.
    """

    def __init__(self) -> None:
        super().__init__("samples")
        # A thread that still takes must not read on in a file that is closed under it.
        self._in_use = threading.Lock()

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """The first `size` bytes, whoever wrote them.

        Raises
        ------
        EOFError
            Where the file holds fewer.
        """
        with self._in_use:
            if size > (there := os.fstat(self._file.fileno()).st_size):
                raise EOFError(f"{size} bytes were promised, {there} are there")
            content = np.empty(size, np.uint8)
            self._file.seek(0)
            view = content.data
            while view:
                count = cast(int, self._file.readinto(view))  # type: ignore[attr-defined]
                if not count:
                    raise EOFError(f"{size} bytes were promised, {size - len(view)} are there")
                view = view[count:]
            self._wipe(size)
            return content

    def _wipe(self, size: int) -> None:
        self._file.seek(0)
        if size > MOST_KEPT_BYTES:
            self._file.truncate(0)
            return
        for start in range(0, size, len(WIPED)):
            self.write(WIPED[: size - start])

    def close(self) -> None:
        with self._in_use:
            super().close()
