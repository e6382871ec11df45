"""The file that takes a decoder's samples keeps none of them, and knows when some are missing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.decoding.memfd import MOST_KEPT_BYTES, SampleFile, Spool


@pytest.fixture
def samples() -> Iterator[SampleFile]:
    file = SampleFile()
    yield file
    file.close()


def test_a_spool_is_not_closed_under_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number would be another file's by then, and take the rest."""
    spool, under_way, goes_on = Spool(), threading.Event(), threading.Event()

    class Slow:
        closed = False

        def write(self, data: memoryview) -> int:
            under_way.set()
            assert goes_on.wait(30)
            assert not self.closed
            return len(data)

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(spool, "_file", Slow())
    with ThreadPoolExecutor(2) as threads:
        written = threads.submit(spool.write, b"audio")
        assert under_way.wait(30)
        closing = threads.submit(spool.close)
        with pytest.raises(TimeoutError):
            closing.result(0.1)
        goes_on.set()
        written.result(30)
        closing.result(30)
    spool.write(b"more")  # is gone: nobody decodes it any longer


@pytest.mark.parametrize("count", [1, 1000, MOST_KEPT_BYTES // 4])
def test_what_was_taken_is_wiped_and_is_no_number(samples: SampleFile, count: int) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32)
    samples.write(sound.tobytes())
    assert np.array_equal(samples.take(4 * count).view(np.float32), sound)
    left = samples.path.read_bytes()
    assert left == b"\xff" * 4 * count
    assert np.isnan(np.frombuffer(left, np.float32)).all()


def test_more_than_is_kept_is_given_back(samples: SampleFile) -> None:
    samples.write(b"\1" * (MOST_KEPT_BYTES + 4))
    samples.take(MOST_KEPT_BYTES + 4)
    assert samples.path.stat().st_size == 0


def test_more_than_is_there_is_not_given(samples: SampleFile) -> None:
    samples.write(b"1234")
    with pytest.raises(EOFError, match="8 bytes were promised, 4 are there"):
        samples.take(8)
