"""A table that lacks a column is refused with the columns that are there, and why that may be."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sounds import golden, write
from training.audio.manifest import read_manifest
from training.cf.logs import read_logs
from training.datasets.custom import read_custom
from training.errors import BadDataset, BadLogs, BadManifest

ROWS = [("u1", "i1"), ("u2", "i2")]
CASES = {
    "semicolons": (b"user_id;item_id\nu1;i1\n", r"'user_id;item_id'; is it separated by ';'\?"),
    "tabs": (b"user_id\titem_id\nu1\ti1\n", r"is it separated by tabs\?"),
    "bars": (b"user_id|item_id\nu1|i1\n", r"is it separated by '\|'\?"),
    "decimal commas": (b"user_id;x,item_id\nu;1,5;i\n", r"is it separated by ';'\?"),
    "UTF-16": ("user_id,item_id\nu1,i1\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "UTF-16 without a mark": ("user_id,item_id\nu,i\n".encode("utf-16-le"), "is UTF-16 text"),
    "UTF-32": ("user_id,item_id\nu,i\n".encode("utf-32"), "is UTF-32 text; .*iconv -f utf-32"),
    "UTF-32 without a mark": ("user_id,item_id\n".encode("utf-32-be"), "is UTF-32 text"),
    "Latin 1": ("user_id,item_id\nu1,Bj\u00f6rk\n".encode("latin-1"), "is not UTF-8 text"),
    "case": (b"User_ID,Item ID\nu1,i1\n", r"did you mean 'User_ID' and 'Item ID'\?"),
    "blanks": (b"user_id, item_id\nu1,i1\n", r"no column item_id; .* did you mean ' item_id'\?"),
    "no header": (b"2,51\n2,52\n", r"no column user_id, item_id; the columns are '2', '51'; has"),
    "other columns": (b"user,song\nu1,i1\n", "no column user_id, item_id; the columns are 'user'"),
    "twice": (b"user_id,item_id,item_id\nu,i,j\n", "has 2 columns item_id"),
    "JSON": (b'{"user_id": "u1"}\n', r"is it JSON\?"),
    "empty": (b"", "is empty"),
    "blank lines": (b"\n \n", "is empty"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(50), "is a spreadsheet or a ZIP archive; save it as"),
    "Feather": (b"ARROW1" + bytes(50), r"is an Arrow \(Feather\) file"),
    "damaged gzip": (gzip.compress(b"user_id,item_id\n")[:12], "cannot be unpacked"),
    "one column for two": (b"user_id,user_id\n", "has no column item_id"),
    "a quote that is not closed": (
        b'user_id,item_id\nu1,"Heroes\nu2,x\nu3,"Heroes\nu4,y\n',
        "a quotation mark in or before line 4 that is not closed",
    ),
    "a quote in another column": (
        b'user_id,item_id,title\nu1,i1,"Heroes\nu2,i2,x\nu3,i3,"Heroes\nu4,i4,y\n',
        "a quotation mark in or before line 4",
    ),
    "a quote up to the end": (
        b'user_id,item_id,title\nu1,i1,"Heroes\nu2,i2,x\n',
        "a quotation mark in or before line 3 .*unexpected end of data",
    ),
    "a quote that a later one closes": (
        b'user_id,item_id\nu1,"Heroes\nu2,x\nu3,Heroes"\nu4,y\n',
        r"the column item_id holds 'Heroes\\nu2,x.*, which has a line break",
    ),
    "separator and semicolons": (b"sep=;\nuser_id;item_id\nu;i\n", r"separated by ';'\?"),
    "ragged": (b"user_id,item_id\nu,i\nu,i,j\n", "Expected 2 columns, got 3"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_table_that_is_written_otherwise_is_refused_with_the_reason(
    tmp_path: Path, name: str
) -> None:
    content, reason = CASES[name]
    (tmp_path / "logs.csv").write_bytes(content)
    with pytest.raises(BadLogs, match=reason):
        read_logs(tmp_path / "logs.csv")
    if "user_id" not in reason and "item_id" not in reason and name != "case":
        with pytest.raises(BadManifest, match=reason):
            read_manifest(tmp_path / "logs.csv", tmp_path, track_column="user_id")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"file;label\na.wav;x\n", r"no column file or path or track_id; .* separated by ';'\?"),
        (b"File,label\na.wav,x\n", r"did you mean 'File'\?"),
        (b"file,Label\na.wav,x\n", "has a column 'Label'; name it label"),
        (b"file,label,Artist\na.wav,x,a\n", "has a column 'Artist'; name it artist"),
    ],
)
def test_a_table_of_labels_is_refused_likewise(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(BadDataset, match=reason):
        read_custom(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfuser_id,item_id\nu1,i1\nu2,i2\n",
        b"user_id,item_id\r\nu1,i1\r\n\r\nu2,i2\r\n",
        b'"user_id","item_id"\n"u1","i1"\n"u2","i2"\n',
        b'"a\nname",user_id,item_id\n"1,5",u1,i1\n2,u2,i2\n',
        b",user_id,,item_id\n0,u1,x,i1\n1,u2,y,i2\n",
        gzip.compress(b"user_id,item_id\nu1,i1\nu2,i2\n"),
        b"user_id,item_id\ru1,i1\ru2,i2\r",
        b"  \nuser_id,item_id\nu1,i1\nu2,i2\n",
        b"\xef\xbb\xbfsep=,\r\nuser_id,item_id\r\nu1,i1\r\nu2,i2\r\n",
        b'user_id,item_id,title\nu1,i1,"two\nlines"\nu2,i2,"12"" Mix"\n',
        b'user_id,item_id,title\nu1,i1,12" Mix\n\nu2,i2,7" Mix\n',
    ],
    ids=[
        "byte order mark",
        "CRLF",
        "quotes",
        "line break",
        "columns without a name",
        "gzip",
        "CR",
        "a line of blanks",
        "a line of the separator",
        "a cell of two lines",
        "inches",
    ],
)
def test_a_table_that_can_be_read_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "logs.csv").write_bytes(content)
    logs = read_logs(tmp_path / "logs.csv")
    assert list(zip(logs.users, logs.items, strict=True)) == ROWS


def test_a_folder_of_parquet_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "logs.parquet"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    for number, row in enumerate(ROWS):
        frame = pd.DataFrame([row], columns=["user_id", "item_id"])
        frame.to_parquet(folder / f"part-{number}.parquet")
    logs = read_logs(folder)
    assert list(zip(logs.users, logs.items, strict=True)) == ROWS
    pd.DataFrame({"user_id": [1], "item_id": [2]}).to_parquet(folder / "part-9.parquet")
    with pytest.raises(BadLogs, match="Parquet files of different columns"):
        read_logs(folder)


def test_the_first_bytes_say_what_a_file_is(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["user_id", "item_id"])
    frame.to_parquet(tmp_path / "a.csv")
    assert read_logs(tmp_path / "a.csv").items.tolist() == ["i1", "i2"]
    frame.to_csv(tmp_path / "a.parquet", index=False)
    with pytest.raises(BadLogs, match="is no Parquet file"):
        read_logs(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.csv").read_bytes()[:-40])
    with pytest.raises(BadLogs, match="cannot be read as Parquet"):
        read_logs(tmp_path / "b.parquet")


def test_a_folder_in_place_of_a_file_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadLogs, match="is a folder without Parquet files"):
        read_logs(tmp_path)
    with pytest.raises(BadLogs, match="no such file"):
        read_logs(tmp_path / "no.csv")


def test_a_manifest_with_a_header_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("track_id,item_id\n")
    with pytest.raises(BadManifest, match="has a header and no rows"):
        read_manifest(tmp_path / "m.csv", tmp_path)
    (tmp_path / "m.csv").write_text("track_id,item_id\na,i\n,j\n")
    with pytest.raises(BadManifest, match="1 of 2 rows have no track id"):
        read_manifest(tmp_path / "m.csv", tmp_path)
    with pytest.raises(BadManifest, match=r"there is no folder of audio .*nowhere"):
        read_manifest(tmp_path / "m.csv", tmp_path / "nowhere")


def test_every_file_of_a_folder_of_parquet_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "logs.parquet"
    for name in ("part-0.parquet", "date=1/part-1.parquet", "_day=2/0001", "000000000001"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame({"user_id": ["u", "v"], "item_id": f"in {name}"})
        frame.to_parquet(folder / name)
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "part-0.parquet").write_bytes(b"PAR1")
    (folder / ".part-0.parquet.crc").write_bytes(b"crc")
    (folder / "date=3").symlink_to(folder)  # a link in a circle
    logs = read_logs(folder)
    assert logs.items.tolist() == [
        "in 000000000001",
        "in _day=2/0001",
        "in date=1/part-1.parquet",
        "in part-0.parquet",
    ]
    assert logs.report["rows_read"] == 8
    (folder / "date=1" / "part-2.csv").write_text("user_id,item_id\n")
    with pytest.raises(
        BadLogs, match=r"holds date=1/part-2\.csv, which is no Parquet.*1 of 5 file"
    ):
        read_logs(folder)


def test_a_column_that_is_asked_for_twice_is_refused(tmp_path: Path) -> None:
    for write_table in ("csv", "parquet"):
        path, frame = tmp_path / f"l.{write_table}", pd.DataFrame(ROWS, columns=["id", "item_id"])
        frame.to_csv(path, index=False) if write_table == "csv" else frame.to_parquet(path)
        with pytest.raises(BadLogs, match="the column id is named for two of users, items and"):
            read_logs(path, user_column="id", item_column="id")
        with pytest.raises(BadLogs, match="the column item_id is named for two"):
            read_logs(path, user_column="id", count_column="item_id")


def test_a_repeated_column_is_refused_though_none_needs_it(tmp_path: Path) -> None:
    columns = [pa.array([text]) for text in ("a", "i", "x", "y")]
    table = pa.table(columns, names=["track_id", "item_id", "n", "n"])
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(BadManifest, match="has 2 columns n; rename all but one"):
        read_manifest(tmp_path / "m.parquet", tmp_path)


def test_missing_and_large_numbers_are_no_classes_and_artists(tmp_path: Path) -> None:
    for number in range(24):
        write(tmp_path / f"{number}.wav", golden(1))
    frame = pd.DataFrame(
        {
            "file": [f"{number}.wav" for number in range(24)],
            "label": [1.0, 2.0] * 12,
            "artist": [np.nan, 1e15, *np.arange(22.0)],
        }
    )
    frame.to_parquet(tmp_path / "labels.parquet")
    task = read_custom(tmp_path, tmp_path / "labels.parquet")
    assert task.labels == ("1", "2")
    assert task.tracks["artist"].tolist()[:4] == ["", f"1{'0' * 15}", "0", "1"]
    frame.assign(label=frame["label"].where(frame["label"] > 1)).to_parquet(
        tmp_path / "labels.parquet"
    )
    with pytest.raises(BadDataset, match=r"has no label in row 2 \(12 of 24 rows\)"):
        read_custom(tmp_path, tmp_path / "labels.parquet")
    frame.assign(artist=frame["artist"] * 2.0**53).to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(BadDataset, match=r"the column artist holds ids of 2\^53 and above"):
        read_custom(tmp_path, tmp_path / "labels.parquet")
    frame.assign(label=frame["label"] > 1).to_parquet(tmp_path / "labels.parquet")
    assert read_custom(tmp_path, tmp_path / "labels.parquet").labels == ("false", "true")
