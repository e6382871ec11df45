"""The file that takes a decoder's samples keeps none of them, and knows when some are missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from service.spool import MOST_KEPT_BYTES, SampleFile


@pytest.fixture
def samples() -> Iterator[SampleFile]:
    file = SampleFile()
    yield file
    file.close()


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
