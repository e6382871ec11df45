"""memfd of samples: samples are wiped once read, and missing samples are detected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.decoding.memfd import MAX_KEPT_BYTES, SampleMemfd, UploadMemfd
from tests.running import DEADLINE_S


@pytest.fixture
def samples() -> Iterator[SampleMemfd]:
    file = SampleMemfd()
    yield file
    file.close()


def test_an_upload_is_not_closed_during_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor could be another file's by then, which would get the rest of the bytes."""
    upload, under_way, goes_on = UploadMemfd(), threading.Event(), threading.Event()

    class Slow:
        closed = False

        def write(self, data: memoryview) -> int:
            under_way.set()
            assert goes_on.wait(DEADLINE_S)
            assert not self.closed
            return len(data)

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(upload, "_file", Slow())
    with ThreadPoolExecutor(2) as threads:
        written = threads.submit(upload.write, b"audio")
        assert under_way.wait(DEADLINE_S)
        closing = threads.submit(upload.close)
        with pytest.raises(TimeoutError):
            closing.result(0.1)
        goes_on.set()
        written.result(DEADLINE_S)
        closing.result(DEADLINE_S)
    upload.write(b"more")  # is dropped: no decoder will read it


@pytest.mark.parametrize("count", [1, 1000, MAX_KEPT_BYTES // 4])
def test_samples_that_were_read_are_overwritten_with_nan(samples: SampleMemfd, count: int) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32)
    samples.write(sound.tobytes())
    assert np.array_equal(samples.take(4 * count).view(np.float32), sound)
    left = samples.path.read_bytes()
    assert left == b"\xff" * 4 * count
    assert np.isnan(np.frombuffer(left, np.float32)).all()


def test_memory_beyond_the_limit_is_returned(samples: SampleMemfd) -> None:
    samples.write(b"\1" * (MAX_KEPT_BYTES + 4))
    samples.take(MAX_KEPT_BYTES + 4)
    assert samples.path.stat().st_size == 0


def test_reading_more_than_the_file_holds_is_an_error(samples: SampleMemfd) -> None:
    samples.write(b"1234")
    with pytest.raises(EOFError, match="expected 8 bytes, the file holds 4"):
        samples.take(8)
