"""Matrix factorization by Spark's MLlib (`pyspark.ml.recommendation.ALS`, implicit feedback).

Spark's confidence is 1 + alpha · rating, and ours alpha · count; so its rating is
alpha · count − 1, and its alpha 1. Spark multiplies the penalty by the number of a row's entries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from models.spark import SparkOptions, open_session
from training.cf.models import Factors
from training.cf.settings import AlsSettings, Engine
from training.errors import BadEngine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Of a task: of many more, one has no room in an executor's memory.
BLOCK_ENTRIES = 10_000_000
PART_ROWS = 1 << 22
SCHEMA = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("rating", pa.float32())])


def fit_on_spark(
    user_items: sparse.csr_matrix, settings: AlsSettings, options: SparkOptions
) -> tuple[Factors, Factors]:
    """Factors of users and items, shapes (n_users, dim) and (n_items, dim).

    Raises
    ------
    BadEngine
        Of a constant penalty, or a confidence of 1 or less.
    MissingSpark
    """
    _check(user_items, settings)
    name = "tasteprint-train factorize"
    with _folder(options) as folder, open_session(name, options) as session:
        entries = folder / "entries"
        _write_entries(user_items, settings.alpha, entries)
        session.sparkContext.setCheckpointDir(str(folder / "checkpoints"))
        from pyspark.ml.recommendation import ALS

        n_blocks = max(session.sparkContext.defaultParallelism, user_items.nnz // BLOCK_ENTRIES)
        model = ALS(
            rank=settings.factors,
            maxIter=settings.iterations,
            regParam=settings.regularization,
            implicitPrefs=True,
            alpha=1.0,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
            seed=settings.seed,
            numUserBlocks=n_blocks,
            numItemBlocks=n_blocks,
        ).fit(session.read.parquet(str(entries)))
        n_users, n_items = user_items.shape
        return (
            _collect(model.userFactors, n_users, settings.factors),
            _collect(model.itemFactors, n_items, settings.factors),
        )


def _check(user_items: sparse.csr_matrix, settings: AlsSettings) -> None:
    if not settings.weighted_regularization:
        raise BadEngine(
            Engine.SPARK,
            "multiplies the penalty by the number of a row's entries",
            "give --weighted-regularization, and a --regularization of about 0.3",
        )
    lowest = settings.alpha * float(user_items.data.min())
    if lowest <= 1:
        raise BadEngine(
            Engine.SPARK,
            f"needs confidences (alpha times count) above 1, and the lowest is {lowest:g}",
            "raise --alpha, or scale the counts up",
        )


@contextmanager
def _folder(options: SparkOptions) -> Iterator[Path]:
    parent = options.folder
    if parent:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tasteprint-als-", dir=parent) as name:
        yield Path(name)


def _write_entries(user_items: sparse.csr_matrix, alpha: float, folder: Path) -> None:
    """Entries as Parquet files of `PART_ROWS` rows, which Spark reads in parallel."""
    folder.mkdir()
    users = np.arange(user_items.shape[0], dtype=np.int32)
    for number, start in enumerate(range(0, user_items.nnz, PART_ROWS)):
        part = slice(start, min(start + PART_ROWS, user_items.nnz))
        first, last = np.searchsorted(user_items.indptr, [part.start, part.stop - 1], "right") - 1
        ends = np.clip(user_items.indptr[first : last + 2], part.start, part.stop)
        rating = alpha * user_items.data[part] - 1
        columns = [
            np.repeat(users[first : last + 1], np.diff(ends)),
            user_items.indices[part],
            rating,
        ]
        arrays = [
            pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)
        ]
        pq.write_table(pa.table(arrays, schema=SCHEMA), folder / f"part-{number:05}.parquet")


def _collect(factors: DataFrame, n_rows: int, dim: int) -> Factors:
    """Rows of `id` and `features` as one array; rows that Spark has none of are zero."""
    table = factors.toArrow()
    found = np.zeros((n_rows, dim), np.float32)
    features = table["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found[table["id"].to_numpy()] = features.reshape(-1, dim)
    return found
