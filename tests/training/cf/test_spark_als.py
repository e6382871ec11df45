"""Spark's factorisation ranks as ours with a penalty per entry does, and has its neighbours."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.spark import SparkOptions, open_session
from tests.running import ROOT
from tests.training.cf.planted import N_GROUPS, plant
from training.cf import spark_als
from training.cf.als import Factorization, factorize
from training.cf.engines import fit_factors
from training.cf.logs import Logs, read_logs
from training.cf.models import Factors, model_of
from training.cf.ranking import hold_out, rank_held_out
from training.cf.settings import AlsSettings, Engine
from training.errors import BadEngine

SETTINGS = AlsSettings(
    factors=6, iterations=6, regularization=0.1, weighted_regularization=True, alpha=8.0
)
OPTIONS = SparkOptions("local[2]", conf={"spark.sql.shuffle.partitions": "2"})
LOGS = ROOT.parent / "shared" / "data" / "lastfm-hetrec2011" / "user_artists.csv"
is_installed = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
needs_spark = pytest.mark.skipif(not is_installed, reason="needs pyspark and Java")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkOptions]:
    """One session for all tests, as a JVM takes seconds to start."""
    with open_session("tests", OPTIONS):
        yield OPTIONS


def neighbours(result: Factorization, n: int) -> NDArray[np.int64]:
    return neighbours_of(result.item_factors, n)


def neighbours_of(item_factors: Factors, n: int) -> NDArray[np.int64]:
    unit = item_factors / np.linalg.norm(item_factors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    return np.argsort(-cosine, axis=1)[:, :n]


def rank(logs: Logs, factors: tuple[Factors, Factors]) -> float:
    training, held_out = hold_out(logs, seed=0)
    return rank_held_out(model_of(SETTINGS, *factors), training, held_out, [10], seed=0)[
        "ndcg_at_10"
    ]


@needs_spark
def test_both_engines_find_the_planted_groups(spark: SparkOptions, tmp_path: Path) -> None:
    logs = plant()
    ours = factorize(logs, SETTINGS, check=False)
    theirs = factorize(logs, SETTINGS, check=False, engine=Engine.SPARK, spark=spark)
    theirs.save(tmp_path)
    loaded = Factorization.load(tmp_path)
    assert loaded.report["engine"] == "spark"
    assert loaded.items.equals(logs.items)
    group = np.arange(len(logs.items)) % N_GROUPS
    for result in (ours, loaded):
        assert (group[neighbours(result, 10)] == group[:, None]).mean() > 0.95
    # Of users' scores, as cosines of items within a group are of chance.
    scores = [result.user_factors @ result.item_factors.T for result in (ours, loaded)]
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.97


@needs_spark
@pytest.mark.skipif(not LOGS.exists(), reason="needs the listening logs of the shared data")
def test_both_engines_are_alike_on_real_logs(spark: SparkOptions) -> None:
    logs = read_logs(LOGS, item_column="artist_id", min_item_users=20)
    settings = replace(SETTINGS, factors=16, regularization=0.3, alpha=10.0)
    training, _ = hold_out(logs, seed=0)
    ours, theirs = (
        fit_factors(training, settings, engine, spark) for engine in (Engine.IMPLICIT, Engine.SPARK)
    )
    assert rank(logs, ours) > 0.15
    assert rank(logs, theirs) == pytest.approx(rank(logs, ours), abs=0.015)
    found = [neighbours_of(items, 10) for _, items in (ours, theirs)]
    shared = [len(set(one) & set(two)) / 10 for one, two in zip(*found, strict=True)]
    assert np.mean(shared) > 0.5


@needs_spark
def test_counts_are_the_confidences_that_ours_has(spark: SparkOptions) -> None:
    counts = plant().user_items
    counts.data = np.random.default_rng(0).integers(1, 20, counts.nnz).astype(np.float32)
    settings = replace(SETTINGS, alpha=1.5, iterations=10)
    users, items = fit_factors(counts, settings)
    scores = [users @ items.T]
    users, items = fit_factors(counts, settings, Engine.SPARK, spark)
    scores.append(users @ items.T)
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.98


def test_a_constant_penalty_and_a_low_confidence_are_refused_before_spark_starts() -> None:
    entries = plant().user_items
    with pytest.raises(BadEngine, match=r"--engine spark multiplies the penalty.*--weighted-regul"):
        spark_als.fit_on_spark(entries, replace(SETTINGS, weighted_regularization=False), OPTIONS)
    with pytest.raises(BadEngine, match=r"above 1, and the lowest is 0\.5; raise --alpha"):
        spark_als.fit_on_spark(entries, replace(SETTINGS, alpha=0.5), OPTIONS)


def test_entries_of_any_number_of_parts_are_all_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    entries = plant().user_items
    monkeypatch.setattr(spark_als, "PART_ROWS", 97)
    spark_als._write_entries(entries, 3.0, tmp_path / "entries")
    table = pq.read_table(tmp_path / "entries")
    rebuilt = np.zeros(entries.shape, np.float32)
    rebuilt[table["user"].to_numpy(), table["item"].to_numpy()] = table["rating"].to_numpy()
    np.testing.assert_array_equal(rebuilt, 2 * entries.toarray())
    assert table.num_rows == entries.nnz
