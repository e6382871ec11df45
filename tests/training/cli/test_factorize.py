"""`factorize` reads many files, searches, and refuses what an engine cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.training.cf.planted import plant
from training.cf.als import Factorization
from training.cli.main import app
from training.errors import BadEngine


@pytest.fixture
def plays(tmp_path: Path) -> Path:
    """Two TSV files with a row for each play, in a folder."""
    logs = plant()
    users, items = logs.user_items.nonzero()
    frame = pd.DataFrame({"user_id": logs.users[users], "item_id": logs.items[items]})
    frame["day"] = np.random.default_rng(0).integers(100, size=len(frame))
    folder = tmp_path / "plays"
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 2)):
        frame.iloc[part].to_csv(folder / f"{number}.tsv.gz", sep="\t", index=False)
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    if result.exception:
        raise result.exception
    return " ".join(result.output.split())


def test_a_search_over_files_of_a_pattern_factorises_by_what_it_found(
    plays: Path, tmp_path: Path
) -> None:
    out = tmp_path / "factors"
    printed = run(
        *("factorize", "--logs", plays / "*.tsv.gz", "--out", out, "--factors", 6),
        *("--weighted-regularization", "--time-column", "day", "--min-items", 2, "--min-users", 2),
        *("--search", "--search-regularization", "0.1,100", "--search-alpha", "4"),
        *("--search-iterations", "2,5"),
    )
    assert "best nDCG@10: regularization 0.1, alpha 4, " in printed
    found = Factorization.load(out)
    assert found.settings.regularization == 0.1
    assert found.settings.weighted_regularization
    assert found.report["later_than"] == pytest.approx(79, abs=3)
    assert found.report["held_out_ndcg_at_10"] > 0.2
    assert len(pd.read_csv(out / "search.csv")) == 4


def test_spark_without_a_weighted_penalty_is_refused(plays: Path, tmp_path: Path) -> None:
    with pytest.raises(BadEngine, match="give --weighted-regularization"):
        run("factorize", "--logs", plays, "--out", tmp_path, "--engine", "spark", "--no-check")


def test_values_that_are_no_positive_numbers_are_refused(plays: Path, tmp_path: Path) -> None:
    for value, reason in (("1,x", "is no list of numbers"), ("0,1", "not above 0")):
        words = ("factorize", "--logs", plays, "--out", tmp_path, "--search-alpha", value)
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 2
        assert reason in " ".join(result.output.split())
