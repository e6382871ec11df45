"""Two sets of clips, one without items, as most tests of a teacher use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.estimator.sets import make_set
from training.estimator.sources import TeacherRecord

ARTISTS = [f"artist {number}" for number in range(24)]
STRANGERS = [f"stranger {number}" for number in range(12)]
RECORD = TeacherRecord(name="wise", version="1", digest="0" * 64, output="features", data=())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A set with factors for most artists, and recordings without items."""
    folder = tmp_path_factory.mktemp("sets")
    more = dict.fromkeys([*ARTISTS[::2], *STRANGERS], 1)
    return (
        make_set(folder / "renderings", dict.fromkeys(ARTISTS, 2)),
        make_set(folder / "more", more, has_items=False, seed=1),
    )
