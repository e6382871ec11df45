"""Where Spark's rows go: the table of the command line, or a folder that Hadoop writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from service.cli.errors import BadArgument
from service.cli.scan import Rows
from service.cli.spark.folder import STATED_IN, order_of_row, stated_source
from service.cli.spark.task import from_spark
from service.cli.table import METADATA, EmbeddingTable, Source, describe_source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

# Path, size, mtime_ns and status of a row, by track id.
Known = dict[str, tuple[str, int, int, str]]
STATE = ["track_id", "path", "size", "mtime_ns", "status"]


class Sink(Rows, Protocol):
    """Takes the rows of one job after another; a job that is stopped leaves none."""

    def write(self, rows: DataFrame, source: Source) -> pa.Table:
        """Run the job and keep its rows; returns the columns `STATE` and `detail` of them."""
        ...

    def finish(self) -> None: ...


class TableSink:
    """The Parquet file of the command line, to the last byte; rows pass through the driver."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = EmbeddingTable(path)

    def find_source(self) -> Source | None:
        return self._table.find_source()

    def read_known(self) -> Known:
        return self._table.read_known()

    def write(self, rows: DataFrame, source: Source) -> pa.Table:
        table = from_spark(rows.toArrow(), source)
        self._table.write_table(table)
        return table

    def finish(self) -> None:
        self._table.merge()


class FolderSink:
    """A folder of Parquet files that the tasks write, at an address that Hadoop reaches.

    The columns are those of the command line's file, with lists of any length. The metadata of the
    column `embedding` states the source.
    """

    def __init__(self, session: SparkSession, path: str) -> None:
        self.path = path
        self._session = session

    def find_source(self) -> Source | None:
        found = self._read()
        if found is None:
            return None
        try:
            return stated_source(found.schema[STATED_IN].metadata[METADATA.decode()])
        except (KeyError, TypeError) as error:
            raise BadArgument(
                f"{self.path} has Parquet files that are no embeddings",
                value=self.path,
                remedy="give another --out, or remove the folder",
            ) from error

    def read_known(self) -> Known:
        found = self._read()
        if found is None:
            return {}
        # A song that changed or was tried again has several rows.
        rows = sorted(found.select(*STATE).toArrow().to_pylist(), key=order_of_row)
        return {
            row["track_id"]: (row["path"], row["size"], row["mtime_ns"], row["status"])
            for row in rows
        }

    def write(self, rows: DataFrame, source: Source) -> pa.Table:
        kept = rows.persist()
        try:
            kept.write.mode("append").parquet(self.path)
            return kept.select(*STATE, "detail").toArrow()
        finally:
            kept.unpersist()

    def finish(self) -> None: ...

    def _read(self) -> DataFrame | None:
        from pyspark.errors import AnalysisException

        try:
            return self._session.read.parquet(self.path)
        except AnalysisException:  # no folder, or no file in it
            return None


def row_type(source: Source, schema: pa.Schema) -> StructType:
    """Spark's type of a row, whose column of embeddings states the source."""
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructField, StructType

    stated = {METADATA.decode(): describe_source(source)}
    fields = from_arrow_schema(schema).fields
    return StructType(
        [
            StructField(field.name, field.dataType, True, stated)
            if field.name == STATED_IN
            else field
            for field in fields
        ]
    )
