"""Logs become a matrix, and every dropped row is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.cf.logs import read_logs
from training.errors import BadLogs

ROWS = pd.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "b", None, "c"],
        "item_id": ["x", "y", "x", "x", "z", "x", "y"],
        "plays": [3, 1, 2, 5, 0, 1, -1],
    }
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_are_counted_kept_and_dropped(tmp_path: Path, kind: str) -> None:
    path = write(ROWS, tmp_path, kind)
    logs = read_logs(path, count_column="plays")
    assert logs.users.tolist() == ["a", "b"]
    assert logs.items.tolist() == ["x", "y"]
    assert logs.user_items.toarray().tolist() == [[5, 1], [5, 0]]  # repeated pairs are summed
    assert logs.report["rows_read"] == 7
    assert logs.report["dropped_missing_id"] == 1
    assert logs.report["dropped_count_not_positive"] == 2
    assert logs.report["dropped_repeated_pair"] == 1
    assert logs.report["rows_kept"] == 3
    assert logs.report["density"] == 3 / 4


def test_without_counts_entries_are_binary(tmp_path: Path) -> None:
    logs = read_logs(write(ROWS, tmp_path, "csv"))
    assert set(logs.user_items.data) == {1.0}
    assert logs.user_items.shape == (3, 3)


def test_excluded_and_rare_items_are_left_out(tmp_path: Path) -> None:
    path = write(ROWS, tmp_path, "csv")
    assert read_logs(path, exclude_items={"x"}).items.tolist() == ["y", "z"]
    assert read_logs(path, min_item_users=2).items.tolist() == ["x", "y"]


def test_ids_join_whatever_their_file_type(tmp_path: Path) -> None:
    numbers = pd.DataFrame({"user_id": [1, 2, None], "item_id": [10, 20, 30]})
    logs = read_logs(write(numbers, tmp_path, "parquet"))
    assert logs.users.tolist() == ["1", "2"]
    assert logs.items.tolist() == ["10", "20"]


def test_ids_are_text_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "logs.csv"
    big = 2**53
    path.write_text(f"user_id,item_id\n007,NA\n7,null\n{big},x\n{big + 1},x\n,x\n")
    logs = read_logs(path)
    assert set(logs.users) == {"007", "7", str(big), str(big + 1)}
    assert set(logs.items) == {"NA", "null", "x"}
    assert logs.report["dropped_missing_id"] == 1


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadLogs, match="artist"):
        read_logs(write(ROWS, tmp_path, "csv"), item_column="artist")


def test_logs_without_usable_rows_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadLogs, match="item_with_few_users"):
        read_logs(write(ROWS, tmp_path, "csv"), min_item_users=9)


def test_a_million_rows_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "user_id": rng.integers(20_000, size=1_000_000),
            "item_id": rng.integers(5_000, size=1_000_000),
        }
    )
    logs = read_logs(write(rows, tmp_path, "parquet"))
    assert logs.user_items.nnz == len(rows.drop_duplicates())
    assert logs.user_items.shape == (20_000, 5_000)


def write(rows: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"logs.{kind}"
    rows.to_csv(path, index=False) if kind == "csv" else rows.to_parquet(path)
    return path


def test_an_excluded_item_is_left_out_in_every_spelling(tmp_path: Path) -> None:
    path = tmp_path / "logs.csv"
    items = ("12", "12.0", " 12", "e\u0301", "13", "12a")
    path.write_text("user_id,item_id\n" + "".join(f"u{n},{i}\n" for n in (1, 2) for i in items))
    assert read_logs(path, exclude_items={"12"}).items.tolist() == ["12a", "13", "e\u0301"]
    assert read_logs(path, exclude_items={"12.0", "\u00e9"}).items.tolist() == ["12a", "13"]
    report = read_logs(path).report
    assert report["items_spelled_twice"] == 2
    assert "users_spelled_twice" not in report


def test_ids_that_read_as_missing_stay_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "logs.csv"
    path.write_text("user_id,item_id\nu,nan\nNone,x\nv,NA\nw,x\n")
    logs = read_logs(path)
    assert set(logs.items) == {"nan", "x", "NA"}
    assert logs.report["rows_with_id_like_nan"] == 3
    assert "rows_with_id_like_nan" not in read_logs(write(ROWS, tmp_path, "parquet")).report


def test_repeated_rows_are_summed_if_asked_for(tmp_path: Path) -> None:
    logs = read_logs(write(ROWS, tmp_path, "csv"), sum_repeats=True)
    assert logs.user_items.toarray().tolist() == [[2, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_minima_hold_for_what_is_left(tmp_path: Path) -> None:
    """A chain in which each drop takes the next one below a minimum, and a block that stays."""
    chain = [(f"u{n + step}", f"i{n}") for n in range(4) for step in (0, 1)]
    block = [(user, item) for user in "xyz" for item in "abc"]
    frame = pd.DataFrame([*chain, *block], columns=["user_id", "item_id"])
    logs = read_logs(write(frame, tmp_path, "csv"), min_user_items=2, min_item_users=2)
    assert (logs.users.tolist(), logs.items.tolist()) == (["x", "y", "z"], ["a", "b", "c"])
    assert logs.report["filter_rounds"] == 3
    dropped = ("dropped_item_with_few_users", "dropped_user_with_few_items")
    assert [logs.report[name] for name in dropped] == [4, 4]
    assert logs.known_items.size == 7


def test_later_rows_are_left_out_of_earlier(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "user_id": ["u", "u", "v", "v", "w", "w"],
            "item_id": ["a", "b", "a", "b", "a", "b"],
            "when": [5, 10, 3, 4, 1, None],
        }
    )
    logs = read_logs(write(frame, tmp_path, "csv"), time_column="when", later_share=0.4)
    assert logs.earlier is not None
    assert logs.report["later_than"] == 4
    assert logs.report["dropped_no_time"] == 1
    assert logs.user_items.toarray().tolist() == [[1, 1], [1, 1], [1, 0]]
    assert logs.earlier.toarray().tolist() == [[0, 0], [1, 1], [1, 0]]


def test_a_count_that_is_too_large_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.tables.batches.BATCH_ROWS", 4)
    path = write(ROWS.assign(plays=[1.0] * 6 + [np.inf]), tmp_path, "parquet")
    with pytest.raises(BadLogs, match="the column plays holds inf in row 7 "):
        read_logs(path, count_column="plays")
