"""Factors of another CF space than that of a training run are refused by both names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.cf.als import Factorization
from training.cf.settings import AlsSettings
from training.errors import OtherSpace
from training.estimator.space import SPACE, check_space


def factors_of(seed: int) -> Factorization:
    rng = np.random.default_rng(seed)
    item_factors, user_factors = rng.normal(size=(2, 5, 8)).astype(np.float32)
    ids = pd.Index([f"id-{number}" for number in range(5)])
    return Factorization(item_factors, user_factors, ids, ids, AlsSettings(factors=8), {})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training run in the space of `factors_of(0)`."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SPACE).write_text(f"{factors_of(0).space}\n")
    return tmp_path / "run"


def test_the_factors_of_the_run_are_accepted_without_a_word(run: Path, tmp_path: Path) -> None:
    warnings: list[str] = []
    check_space(run, factors_of(0), tmp_path / "factors", warnings.append)
    assert warnings == []


def test_other_factors_are_refused_with_both_spaces_and_the_remedy(
    run: Path, tmp_path: Path
) -> None:
    warnings: list[str] = []
    mine, others = factors_of(0).space[:12], factors_of(1).space[:12]
    message = f"run is of the CF space {mine}, and .*other of {others}: .* give --factors"
    with pytest.raises(OtherSpace, match=message):
        check_space(run, factors_of(1), tmp_path / "other", warnings.append)
    assert warnings == []


def test_a_run_without_a_record_is_accepted_with_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    check_space(tmp_path / "old", factors_of(1), tmp_path / "factors", warnings.append)
    (text,) = warnings
    assert f"{tmp_path / 'old'} does not record its CF space, so it cannot be checked" in text
    assert factors_of(1).space[:12] in text
