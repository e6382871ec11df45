"""A join says how many ids were on each side and how many met, and refuses what is not held out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from training.cf.logs import Logs, read_logs
from training.datasets.accounts import (
    ACCOUNTS,
    MIN_SHARE,
    account_held_out,
    account_targets,
    check_account,
    count_join,
    write_accounts,
)
from training.errors import Unmatched

TRACKS = pd.DataFrame(
    {
        "track_id": ["t0", "t1", "t2", "t3", "t4"],
        "item_id": ["i0", "i0", "i1", "i2", ""],
        "artist": ["a", "a", "a", "b", "c"],
        "part": ["test", "test", "test", "train", "test"],
    }
)


def logs_of(*items: str) -> Logs:
    matrix = sparse.csr_matrix(np.ones((2, len(items)), np.float32))
    return Logs(matrix, pd.Index(["u", "v"]), pd.Index(items), {"rows_read": 9})


def test_both_sides_and_what_met_are_counted_with_examples() -> None:
    account = count_join(TRACKS, "prepared", ["i0", "i2", "i7"], "the factors")
    assert account.left_counts == {"tracks": 5, "items": 3, "artists": 3, "ids": 3}
    assert account.right_counts == {"ids": 3}
    assert account.met == {"tracks": 3, "items": 2, "artists": 2, "ids": 2}
    assert (account.missing, account.examples, account.without_id) == (1, ("i1",), 1)
    assert account.share == pytest.approx(2 / 3)
    assert str(account) == (
        "prepared: 3 of 5 tracks, 2 of 3 items, 2 of 3 artists are in the factors (3 ids); 1 have "
        "no id; not there: 'i1'"
    )


def test_accounts_are_stored(tmp_path: Path) -> None:
    write_accounts(tmp_path / "run", [count_join(TRACKS, "prepared", ["i0"], "the factors")])
    (stored,) = json.loads((tmp_path / "run" / ACCOUNTS).read_text())
    assert stored["met"]["tracks"] == 2
    assert stored["examples"] == ["i1", "i2"]


def test_a_held_out_item_that_the_logs_do_not_know_is_refused() -> None:
    logs = logs_of("i0", "i2")
    with pytest.raises(Unmatched, match=r"held out: 2 of 4 tracks, 1 of 2 items.*'i1'.*allow-miss"):
        account_held_out(TRACKS, logs, allow_missing=False)
    assert account_held_out(TRACKS, logs, allow_missing=True).missing == 1
    account = account_held_out(TRACKS, logs_of("i0", "i1"), allow_missing=False)
    assert account.right_counts == {"rows": 9, "users": 2, "items": 2}
    assert account.without_id == 1  # a track of no item is no item that the logs do not know


def test_items_that_the_logs_leave_out_are_known(tmp_path: Path) -> None:
    (tmp_path / "logs.csv").write_text("user_id,item_id\nu,i0\nu,i1\nv,i1\nu,i2\nv,i2\n")
    logs = read_logs(tmp_path / "logs.csv", exclude_items={"i1"}, min_item_users=2)
    assert logs.items.tolist() == ["i2"]
    assert account_held_out(TRACKS, logs, allow_missing=False).missing == 0


def test_an_item_in_two_spellings_is_held_out_in_both_and_said(tmp_path: Path) -> None:
    rows = [f"{user},{item}\n" for user in "uv" for item in ("12", "12.0", "7", "8", "9.0")]
    (tmp_path / "logs.csv").write_text("user_id,item_id\n" + "".join(rows))
    split = pd.DataFrame({"item_id": ["12", "7", "8"], "part": ["test", "train", "train"]})
    logs = read_logs(tmp_path / "logs.csv", exclude_items={"12"})
    assert logs.items.tolist() == ["7", "8", "9.0"]
    account = account_held_out(split, logs, allow_missing=False)
    assert (account.spelled_twice, account.two_spellings) == (1, ("12", "12.0"))
    assert "1 ids are spelled in two ways on one side, as '12' and '12.0'" in str(account)
    assert count_join(split, "left", ["7", "8.0"], "right").spelled_twice == 0
    both = pd.DataFrame({"item_id": ["7", "7.0"]})
    assert count_join(both, "left", ["7"], "right").two_spellings == ("7", "7.0")


def test_half_of_the_items_must_have_a_factor() -> None:
    half = pd.Index(["i0", "i9"])
    tracks = TRACKS[TRACKS["item_id"].isin(["i0", "i1"])]
    assert account_targets(tracks, "train part", half, allow_missing=False).share == 0.5
    with pytest.raises(Unmatched, match=r"train part: 2 of 4 tracks, 1 of 3 items"):
        account_targets(TRACKS[:4], "train part", half, allow_missing=False)
    account_targets(TRACKS[:4], "train part", half, allow_missing=True)


@pytest.mark.parametrize(
    ("spelled", "there", "is_same"),
    [
        ("12", "12.0", True),
        ("12.00", "12", True),
        ("12", " 12", True),
        ("Jo\u0301ga", "J\u00f3ga", True),
        ("12", "012", False),
        ("AbC", "abc", False),
    ],
)
def test_another_spelling_is_shown_and_refused_if_it_is_the_same_id(
    spelled: str, there: str, is_same: bool
) -> None:
    tracks = pd.DataFrame({"item_id": ["a", "b", "c", "d", "e", "f", spelled]})
    account = count_join(tracks, "tracks", [*"abcdef", there], "the logs")
    assert account.other_spelling == (spelled, there)
    assert account.examples[0] == spelled
    assert f"; {spelled!r} is spelled {there!r} there" in str(account)
    if is_same:
        with pytest.raises(Unmatched, match="write the ids of both sides alike"):
            check_account(account, MIN_SHARE, allow_missing=False, what="they are left out")
    else:
        check_account(account, MIN_SHARE, allow_missing=False, what="they are left out")


def test_ids_that_only_look_alike_are_no_other_spelling() -> None:
    tracks = pd.DataFrame({"item_id": ["1.5", "v1.0", "12"]})
    account = count_join(tracks, "tracks", ["1", "v1", "120", "12"], "the logs")
    assert account.other_spelling is None
