"""Ids of logs and manifests are what the file holds; what is no id is refused."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sounds import golden, write
from training.audio.manifest import read_manifest
from training.cf.als import Factorization, factorize
from training.cf.logs import read_logs
from training.cf.settings import AlsSettings
from training.errors import BadLogs, BadManifest

BIG = [2**53 + number for number in range(40)]


def parquet(folder: Path, items: pa.Array) -> Path:
    path = folder / "logs.parquet"
    users = pa.array([f"u{number % 3}" for number in range(len(items))])
    pq.write_table(pa.table({"user_id": users, "item_id": items}), path)
    return path


@pytest.mark.parametrize("gap", [None, pd.NA])
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.decimal128(20, 0)])
def test_integers_beside_a_gap_stay_apart(tmp_path: Path, gap: Any, kind: pa.DataType) -> None:
    numbers = [decimal.Decimal(number) for number in BIG] if pa.types.is_decimal(kind) else BIG
    items = pa.array([*numbers, None if gap is pd.NA else gap], kind)
    logs = read_logs(parquet(tmp_path, items))
    assert set(logs.items) == {str(number) for number in BIG}
    assert logs.report["dropped_missing_id"] == 1


def test_integers_of_a_pandas_column_with_a_gap_stay_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": "u", "item_id": pd.array([*BIG, pd.NA], "Int64")})
    frame.to_parquet(tmp_path / "logs.parquet")
    assert set(read_logs(tmp_path / "logs.parquet").items) == {str(number) for number in BIG}


def test_floats_that_are_whole_numbers_are_those(tmp_path: Path) -> None:
    logs = read_logs(parquet(tmp_path, pa.array([12.0, 7.0, None, float("nan")])))
    assert set(logs.items) == {"12", "7"}
    assert logs.report["dropped_missing_id"] == 2


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (
            pa.array([float(number) for number in BIG]),
            r"2\^53 and above as floating-point .* int64 or text",
        ),
        (pa.array(np.arange(2**24, 2**24 + 40, dtype=np.float32)), r"2\^24 and above .*of 32 bits"),
        (pa.array(np.arange(2048, 2088).astype(np.float16)), r"2\^11 and above .* of 16 bits"),
        (pa.array(["i0", "i\r1"]), r"holds 'i\\r1', which has a line break .*1 of 2 rows"),
        (pa.array(["i\x000"]), "has a line break or control character"),
        (pa.array([1.5, 2.0]), r"holds .*1\.5.*, which is no id"),
        (pa.array([float("inf"), 2.0]), "inf.*, which is no id"),
        (
            pa.array([decimal.Decimal(10) ** 35, decimal.Decimal("1.5")]),
            r"holds 1\.5, which is no id",
        ),
        (pa.array([["i0", "z"], ["i1"]]), r"the type list<.*string>; ids are text or whole numb"),
        (pa.array([{"id": "i0"}]), r"the type struct<id: string>"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "the type map<string, int64"),
        (pa.array([True, False]), "the type bool"),
        (pa.array([datetime.date(2020, 1, 1)]), "the type date32"),
        (pa.array([b"\xff\xfe"]), "holds bytes that are no text"),
    ],
    ids=lambda value: "" if isinstance(value, pa.Array) else value,
)
def test_what_is_no_id_is_refused(tmp_path: Path, items: pa.Array, reason: str) -> None:
    with pytest.raises(BadLogs, match=reason):
        read_logs(parquet(tmp_path, items))


@pytest.mark.parametrize(
    "items",
    [
        pa.array(["007", "NA"]).dictionary_encode(),
        pa.array(["007", "NA"], pa.large_string()),
        pa.array([b"007", b"NA"]),
        pa.array(["007", "NA"], pa.string_view()),
    ],
)
def test_text_of_any_type_stays(tmp_path: Path, items: pa.Array) -> None:
    assert set(read_logs(parquet(tmp_path, items)).items) == {"007", "NA"}


@pytest.mark.parametrize("index", [["user_id"], ["user_id", "item_id"], ["other"]])
def test_an_index_of_pandas_is_a_column(tmp_path: Path, index: list[str]) -> None:
    rows = {"user_id": ["u", "v"], "item_id": BIG[:2], "other": [1, 2]}
    pd.DataFrame(rows).set_index(index).to_parquet(tmp_path / "logs.parquet")
    logs = read_logs(tmp_path / "logs.parquet")
    assert (set(logs.users), set(logs.items)) == ({"u", "v"}, {str(number) for number in BIG[:2]})


def test_an_index_without_a_name_is_named_among_the_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"item_id": ["i", "j"]}, index=["u", "v"])
    frame.to_parquet(tmp_path / "logs.parquet")
    with pytest.raises(BadLogs, match=r"no column user_id; .*'item_id', '__index_level_0__'"):
        read_logs(tmp_path / "logs.parquet")
    logs = read_logs(tmp_path / "logs.parquet", user_column="__index_level_0__")
    assert set(logs.users) == {"u", "v"}


def test_ids_of_a_manifest_are_exact_in_csv_and_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"track_id": ["007", "NA"], "item_id": pd.array([BIG[1], pd.NA], "Int64"), "n": [0.5, 1.0]}
    )
    frame.to_csv(tmp_path / "m.csv", index=False)
    frame.assign(lists=[[1], [2]]).to_parquet(tmp_path / "m.parquet")
    write(tmp_path / "007.wav", golden(1))
    for name in ("m.csv", "m.parquet"):
        manifest = read_manifest(tmp_path / name, tmp_path)
        assert manifest["track_id"].tolist() == ["007", "NA"]
        assert manifest["item_id"].tolist() == [str(BIG[1]), ""]
        assert manifest["path"].tolist() == [str(tmp_path / "007.wav"), ""]
        assert manifest["n"].tolist() == (["0.5", "1.0"] if name == "m.csv" else ["0.5", "1"])


def test_a_row_with_a_cell_too_many_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("track_id,item_id\na,i,\nb,j,\n")
    with pytest.raises(BadManifest, match="Expected 2 columns, got 3"):
        read_manifest(tmp_path / "m.csv", tmp_path)


@pytest.mark.parametrize(("kind", "largest"), [(np.float16, 2**11), (np.float32, 2**24)])
def test_narrow_floats_are_ids_up_to_what_they_tell_apart(
    tmp_path: Path, kind: type, largest: int
) -> None:
    numbers = np.arange(largest - 40, largest)
    logs = read_logs(parquet(tmp_path, pa.array(numbers.astype(kind))))
    assert set(logs.items) == {str(number) for number in numbers}


def test_decimals_of_many_digits_are_exact(tmp_path: Path) -> None:
    numbers = [decimal.Decimal(10**30 + number) for number in range(4)]
    logs = read_logs(parquet(tmp_path, pa.array(numbers, pa.decimal128(38, 0))))
    assert set(logs.items) == {str(number) for number in numbers}


def test_blanks_alone_are_no_id(tmp_path: Path) -> None:
    logs = read_logs(parquet(tmp_path, pa.array([" ", "\u00a0\u3000", " i1", "i2", "a\tb"])))
    assert set(logs.items) == {" i1", "i2", "a\tb"}
    assert logs.report["dropped_missing_id"] == 2


def test_ids_read_back_as_they_are_written(tmp_path: Path) -> None:
    items = pa.array([" i0", "a\tb", '"', "1,5", "\u2028x", "NA", "#1"] * 3)
    factors = factorize(
        read_logs(parquet(tmp_path, items)), AlsSettings(factors=2, iterations=1), check=False
    )
    factors.save(tmp_path / "factors")
    assert list(Factorization.load(tmp_path / "factors").items) == list(factors.items)


def test_names_of_a_manifest_are_exact_and_read_back(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"track_id": ["a", "b"], "item_id": ["i", "j"], "artist": [1e15, np.nan], "t": ["x\ry", ""]}
    )
    frame.to_parquet(tmp_path / "m.parquet")
    manifest = read_manifest(tmp_path / "m.parquet", tmp_path)
    assert manifest["t"].tolist() == ["x\ny", ""]
    manifest = read_manifest(tmp_path / "m.parquet", tmp_path, artist_column="artist")
    assert manifest["artist"].tolist() == ["1000000000000000", "j"]
