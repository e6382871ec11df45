"""Addresses of files that Hadoop reads: `hdfs://…`, `s3a://…`, `file:///…`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from models.audio_names import choose_songs, may_be_audio
from service.cli.errors import BadArgument
from service.cli.songs import STDIN, Song, sort_songs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://[^/]*)?(/.*)?$", re.DOTALL)
# Hadoop takes these in a path for a pattern.
PATTERN = re.compile(r"([\\*?\[\]{}^])")
FILE_STATE = ["path", "modificationTime", "length"]


def is_uri(text: str) -> bool:
    """Whether it has a scheme, as Hadoop's paths have; `C:` alone is a drive."""
    return URI.match(text) is not None


def is_on_disk(uri: str) -> bool:
    """Whether it names a file of the machine that opens it, which then needs no Hadoop."""
    match = URI.match(uri)
    return match is not None and match.group(1).lower() == "file"


def local_path(text: str) -> Path:
    """A path of this machine; also as a URI, since `--out` of Spark's folder is one.

    Raises
    ------
    BadArgument
    """
    if not is_uri(text):
        return Path(text)
    if is_on_disk(text):
        return Path(_path_of(text))  # Hadoop takes %20 for itself, and no space
    raise BadArgument(
        f"{text} is not on this machine",
        value=text,
        limit="file",
        remedy="copy the folder here, as `hdfs dfs -get` and `aws s3 sync` do",
    )


def list_uris(session: SparkSession, given: Sequence[str]) -> list[Song]:
    """Every song in folders and files that Hadoop lists, sorted by track id.

    Raises
    ------
    BadArgument
        If a path has no scheme or does not exist, there is no song, or two have one track id.
    """
    local = next((text for text in given if not is_uri(text)), None)
    if local is not None:
        what = "standard input" if local == STDIN else local
        raise BadArgument(
            f"{what} is no URI, and {next(filter(is_uri, given))} is one",
            value=local,
            remedy="give paths or URIs, in runs of their own",
        )
    return sort_songs((song for uri in given for song in _list_below(session, uri)), given)


def open_files(session: SparkSession, uris: Sequence[str]) -> DataFrame:
    """Files as rows of Spark's source `binaryFile`: path, modificationTime, length, content."""
    reader = session.read.format("binaryFile").option("recursiveFileLookup", "true")
    return reader.load([PATTERN.sub(r"\\\1", uri) for uri in uris])


def _list_below(session: SparkSession, uri: str) -> Iterator[Song]:
    from pyspark.errors import AnalysisException

    try:
        found = open_files(session, [uri]).select(*FILE_STATE).toArrow()
    except AnalysisException as error:
        raise BadArgument(f"{uri} cannot be listed: {_first_line(error)}", value=uri) from error
    states = {
        PurePosixPath(_path_of(row["path"])): (row["path"], row)
        for row in found.set_column(1, "modificationTime", _as_ns(found)).to_pylist()
    }
    top = PurePosixPath(_path_of(uri))
    hidden = [path for path in states if path != top and _is_hidden(path.relative_to(top))]
    files = [path for path in states if may_be_audio(path) and path not in hidden]
    for path in choose_songs(sorted(files)):
        address, row = states[path]
        track_id = path.stem if path == top else str(path.relative_to(top).with_suffix(""))
        yield Song(track_id, Path(path), row["length"], row["modificationTime"], address)


def _as_ns(found: pa.Table) -> pa.ChunkedArray:
    """Times of change in nanoseconds since 1970; Spark's are of microseconds."""
    return found["modificationTime"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64())


def _path_of(uri: str) -> str:
    match = URI.match(uri)
    assert match
    return match.group(2) or "/"


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
