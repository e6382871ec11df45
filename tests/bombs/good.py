"""Valid files that bombs are made from."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tests.sounds import golden, write


@cache
def good(kind: str) -> bytes:
    """Two seconds of the golden chord."""
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / f"good.{kind}", golden(2.0)).read_bytes()
