"""A table of many files is read in batches, and its ids become numbers of distinct ids."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.cf.logs import read_logs
from training.errors import BadLogs, BadTable
from training.tables import batches, encoding
from training.tables.batches import read_batches
from training.tables.encoding import IdDictionary, encode_ids
from training.tables.ids import bare_id, bare_ids
from training.tables.sources import list_tables

CSV, TSV = b"user_id,item_id\nu1,i1\n", b"user_id\titem_id\nu2\ti2\n"


def test_files_of_a_pattern_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "2026" / "01").mkdir(parents=True)
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(CSV.replace(b"i1", b"i3")))
    (tmp_path / "2026" / "01" / "c.csv.bz2").write_bytes(bz2.compress(CSV.replace(b"i1", b"i4")))
    assert read_logs(tmp_path / "*.csv*").items.tolist() == ["i1", "i3"]
    assert read_logs(tmp_path / "**" / "*.csv*").items.tolist() == ["i1", "i3", "i4"]
    with pytest.raises(BadLogs, match=r"x-\*.csv: no file has a name of this pattern"):
        read_logs(tmp_path / "x-*.csv")


def test_a_name_with_brackets_is_a_file_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "plays[1].csv").write_bytes(CSV)
    (tmp_path / "plays1.csv").write_bytes(TSV)
    assert list_tables(tmp_path / "plays[1].csv") == [tmp_path / "plays[1].csv"]


def test_several_paths_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(CSV)
    pd.DataFrame({"user_id": ["u1"], "item_id": [7]}).to_parquet(tmp_path / "a.parquet")
    paths = [tmp_path / "b.csv", tmp_path / "a.parquet"]
    found = [batch.file for batch in read_batches(paths, ["user_id", "item_id"])]
    assert found == paths
    assert read_logs(paths).items.tolist() == ["7", "i1"]


@pytest.mark.parametrize("name", ["a.tsv", "a.TAB", "a.tsv.gz"])
def test_a_file_that_is_named_tsv_is_separated_by_tabs(tmp_path: Path, name: str) -> None:
    content = gzip.compress(TSV) if name.endswith("gz") else TSV
    (tmp_path / name).write_bytes(content)
    assert read_logs(tmp_path / name).items.tolist() == ["i2"]


def test_a_tab_in_a_quotation_of_tsv_is_text_and_an_open_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b'user_id\titem_id\nu\t"a\tb"\nv\ti\n')
    assert read_logs(path).items.tolist() == ["a\tb", "i"]
    path.write_bytes(b'user_id\titem_id\tt\nu\ti\t"a\nv\ti\tb\n')
    with pytest.raises(BadLogs, match="a quotation mark in or before line 3"):
        read_logs(path)


def test_a_folder_of_csv_and_tsv_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.tsv").write_bytes(TSV)
    assert read_logs(tmp_path).items.tolist() == ["i1", "i2"]
    (tmp_path / "notes.txt").write_text("of last week")
    with pytest.raises(BadLogs, match="is a folder without Parquet files, and not of CSV and TSV"):
        read_logs(tmp_path)


def test_a_file_of_a_folder_is_named_by_its_refusal(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.csv").write_bytes(b"user,item\nu,i\n")
    with pytest.raises(BadLogs, match=r"b\.csv: has no column user_id"):
        read_logs(tmp_path)


def test_batches_of_any_size_give_the_same_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(300, size=5000), rng.integers(90, size=5000)
    frame = pd.DataFrame({"user_id": users, "item_id": [f"song-{item}" for item in items]})
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=700)
    whole = read_logs(tmp_path / "a.parquet", sum_repeats=True)
    monkeypatch.setattr(batches, "BATCH_ROWS", 64)
    monkeypatch.setattr(encoding, "MIN_WAITING", 100)
    in_parts = read_logs(tmp_path / "a.parquet", sum_repeats=True)
    assert in_parts.users.equals(whole.users)
    assert in_parts.items.equals(whole.items)
    assert (in_parts.user_items != whole.user_items).nnz == 0
    expected = frame.astype(str).groupby(["user_id", "item_id"]).size()
    assert whole.user_items.sum() == 5000
    assert whole.user_items.nnz == len(expected)
    assert whole.user_items.max() == expected.max()


def test_a_dictionary_numbers_an_id_once_over_batches() -> None:
    dictionary = IdDictionary()
    numbers = []
    for names in (["b", "a", None, "b"], ["a", " ", "c"], [], ["c", "b"]):
        dictionary.add(encode_ids(pa.chunked_array([pa.array(names, pa.string())])))
        numbers += dictionary.flush().tolist()
    assert dictionary.ids.to_pylist() == ["b", "a", "c"]
    assert numbers == [0, 1, -1, 0, 1, -1, 2, 2, 0]


def test_an_id_of_dropped_rows_alone_is_no_id() -> None:
    batch = encode_ids(pa.chunked_array([["a", "b", "a", "c"]]))
    kept = batch.select(np.array([False, True, False, True]))
    assert kept.ids.to_pylist() == ["b", "c"]
    assert kept.codes.tolist() == [0, 1]


def test_an_id_is_refused_in_a_later_batch_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 10)
    items = pa.array([float(number) for number in range(25)] + [0.5])
    pq.write_table(pa.table({"user_id": ["u"] * 26, "item_id": items}), tmp_path / "a.parquet")
    with pytest.raises(BadTable, match=r"the column item_id holds .*0\.5.*, which is no id"):
        list(read_batches(tmp_path / "a.parquet", ["user_id", "item_id"]))


def test_bare_ids_are_the_bare_id_of_each() -> None:
    names = [" a", "12.0", "12.00", "12.", "12.5", "e\u0301", "a.0", "\u0661.0", "007", "1.0.0", ""]
    assert bare_ids(pa.array(names)).to_pylist() == [bare_id(name) for name in names]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([3, 1, None]), [3, 1, np.nan]),
        (pa.array([1.5, float("nan"), 2.0]), [1.5, np.nan, 2.0]),
        (pa.array([86_400_000_000, None, 0], pa.timestamp("us")), [86400, np.nan, 0]),
        (pa.array([1, 0, None], pa.date32()), [86400, 0, np.nan]),
        (pa.array(["1970-01-02", "", "x"]), [86400, np.nan, np.nan]),
        (pa.array(["1970-01-01T00:00:01Z", "1970-01-01 01:00:00+01:00"]), [1, 0]),
        (pa.array(["12", "", "3.5"]), [12, np.nan, 3.5]),
    ],
)
def test_times_are_numbers_or_dates(tmp_path: Path, times: pa.Array, expected: list[float]) -> None:
    pq.write_table(pa.table({"t": times}), tmp_path / "a.parquet")
    (batch,) = read_batches(tmp_path / "a.parquet", [], times=["t"])
    np.testing.assert_array_equal(batch.times["t"], expected)


def test_a_column_without_any_time_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,t\nu,i,monday\n")
    with pytest.raises(BadLogs, match=r"the column t holds 'monday', which is no time"):
        read_logs(tmp_path / "a.csv", time_column="t")
