"""An anonymous file in memory that another process of ours can open by its path."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt


class Spool:
    """A growing anonymous file; gone when closed, or when this process ends.

    Attributes
    ----------
    path : opens the file from any process of the same user, while the spool is open
    size : bytes written
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._file: BinaryIO = os.fdopen(os.memfd_create("tasteprint"), "w+b", buffering=0)
            self.path = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")
        else:
            named = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
            self._file, self.path = cast(BinaryIO, named), Path(named.name)
        self.size = 0
        # A thread that still takes must not read on in a file that is closed under it.
        self._in_use = threading.Lock()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """The first `size` bytes, whoever wrote them; the file is empty afterwards.

        Raises
        ------
        EOFError
            Where the file holds fewer.
        """
        with self._in_use:
            if size > (there := os.fstat(self._file.fileno()).st_size):
                raise EOFError(f"{size} bytes were promised, {there} are there")
            content = np.empty(size, np.uint8)  # of zeros it would be written twice
            self._file.seek(0)
            view = content.data
            while view:
                count = cast(int, self._file.readinto(view))  # type: ignore[attr-defined]
                if not count:
                    raise EOFError(f"{size} bytes were promised, {size - len(view)} are there")
                view = view[count:]
            self._file.truncate(0)
            return content

    def close(self) -> None:
        with self._in_use:
            self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed
