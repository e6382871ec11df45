"""memfd files: anonymous files in memory, which a decoder process opens by path."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

# Overwrites samples that have been read: as float32, 0xFF bytes are NaN.
WIPED = memoryview(b"\xff" * (2 << 20))
# Memory of larger files is returned to the system: four windows of 30 s at 16 kHz are kept.
MAX_KEPT_BYTES = 8 << 20


class Memfd:
    """An anonymous file in memory, freed when closed or when this process exits.

    On systems other than Linux, a temporary file on disk.

    Attributes
    ----------
    path : opens the file from any process of the same user, until the file is closed
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


class UploadMemfd(Memfd):
    """An upload's bytes, for a decoder to read. A write after `close` is dropped."""

    def __init__(self) -> None:
        super().__init__("tasteprint")
        # Closed while another thread writes, the descriptor could already belong to another file.
        self._lock = threading.Lock()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._lock:
            if not self.closed:
                super().write(data)

    def close(self) -> None:
        with self._lock:
            super().close()


class SampleMemfd(Memfd):
    """A decoder's samples, which are read once and then wiped.

    The memory is kept for the next samples: getting zeroed memory from the system and returning it
    took longer than writing and reading the samples.
    """

    def __init__(self) -> None:
        super().__init__("samples")
        # A thread that is reading must not continue in a file that was closed in the meantime.
        self._lock = threading.Lock()

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """Read and wipe the first `size` bytes, whichever process wrote them.

        Raises
        ------
        EOFError
            Where the file holds fewer bytes.
        """
        with self._lock:
            if size > (held := os.fstat(self._file.fileno()).st_size):
                raise EOFError(f"expected {size} bytes, the file holds {held}")
            content = np.empty(size, np.uint8)
            self._file.seek(0)
            view = content.data
            while view:
                count = cast(int, self._file.readinto(view))  # type: ignore[attr-defined]
                if not count:
                    held = size - len(view)
                    raise EOFError(f"expected {size} bytes, the file holds {held}")
                view = view[count:]
            self._wipe(size)
            return content

    def _wipe(self, size: int) -> None:
        self._file.seek(0)
        if size > MAX_KEPT_BYTES:
            self._file.truncate(0)
            return
        for start in range(0, size, len(WIPED)):
            self.write(WIPED[: size - start])

    def close(self) -> None:
        with self._lock:
            super().close()
