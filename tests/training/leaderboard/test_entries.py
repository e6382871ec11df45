"""Entries: what each is judged with on a fold, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.errors import BadEntries
from training.leaderboard.entries import Entries, Entry, Part

HEARD = Part(bundle="models/a", bundle_of_fold="runs/fold{fold}/a", heard=("mood",))


@pytest.mark.parametrize(
    ("part", "task", "is_dealt", "expected"),
    [
        (HEARD, "genre", True, "models/a"),
        (HEARD, "mood", True, "runs/fold3/a"),
        # Folds of their own share artists with those that the encoders of folds have heard.
        (HEARD, "mood", False, None),
        (Part(bundle="models/a", heard=("mood",)), "mood", True, None),
        (Part(bundle="runs/fold{fold}/a"), "genre", False, "runs/fold3/a"),
        (Part(bundle="runs/fold{fold}/a", heard=("mood",)), "mood", True, "runs/fold3/a"),
    ],
)
def test_a_task_that_was_heard_is_judged_by_the_encoder_of_the_fold_or_by_none(
    part: Part, task: str, is_dealt: bool, expected: str | None
) -> None:
    found = part.bundle_for(task, 3, is_dealt=is_dealt)
    assert found == (None if expected is None else Path(expected))


MEL = {"name": "mel", "parts": [{"source": "mel statistics"}]}


def written(path: Path, *entries: dict[str, Any], baseline: str = "mel") -> Path:
    path.write_text(json.dumps({"baseline": baseline, "entries": [MEL, *entries]}))
    return path


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({}, "name a bundle"),
        ({"source": "untrained"}, "name a bundle"),
        ({"source": "untrained", "bundle": "a", "heard": ["mood"]}, "have heard nothing"),
        ({"source": "mel statistics", "output": "features"}, "have no bundle, no output"),
        ({"bundle": "a", "bundle_of_fold": "b"}, "bundle_of_fold must contain {fold}"),
        ({"bundel": "a"}, "Extra inputs are not permitted"),
    ],
)
def test_a_part_that_contradicts_itself_is_refused_with_its_place(
    tmp_path: Path, part: dict[str, Any], reason: str
) -> None:
    path = written(tmp_path / "entries.json", {"name": "a", "parts": [part]})
    with pytest.raises(BadEntries, match=r"entries\.json: at entries\.1\.parts\.0") as refused:
        Entries.load(path)
    assert reason in str(refused.value)


def test_names_are_distinct_and_known(tmp_path: Path) -> None:
    path, part = tmp_path / "entries.json", {"bundle": "a"}
    with pytest.raises(BadEntries, match="two entries have one name or file name: mel, Mel"):
        Entries.load(written(path, {"name": "Mel", "parts": [part]}))
    with pytest.raises(BadEntries, match="there is no entry 'mell'"):
        Entries.load(written(path, baseline="mell"))
    with pytest.raises(BadEntries, match="there is no entry 'random'"):
        Entries.load(written(path, {"name": "a", "parts": [part], "untrained": "random"}))
    with pytest.raises(BadEntries, match="an entry needs a name"):
        Entries.load(written(path, {"name": "a", "parts": []}))
    with pytest.raises(BadEntries, match="cannot be read"):
        Entries.load(tmp_path / "none.json")


def test_entries_are_chosen_by_name_in_the_order_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "entries.json", {"name": "a b", "parts": [{"bundle": "a"}]})
    entries = Entries.load(path)
    assert [entry.name for entry in entries.choose((), path)] == ["mel", "a b"]
    assert [entry.name for entry in entries.choose(("a b", "mel"), path)] == ["a b", "mel"]
    with pytest.raises(BadEntries, match="has no entry 'c'; choose of mel, a b"):
        entries.choose(("c",), path)


def test_the_first_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    there = tmp_path / "a"
    there.mkdir()
    (there / "card.json").touch()
    of_fold = str(tmp_path / "fold{fold}" / "a")
    assert Entry(name="a", parts=(Part(bundle=of_fold),)).missing() == tmp_path / "fold0" / "a"
    # Without encoders of folds it is judged on what it has not heard.
    part = Part(bundle=str(there), bundle_of_fold=of_fold, heard=("mood",))
    assert Entry(name="a", parts=(part,)).missing() is None


def test_the_entries_of_the_project_are_valid() -> None:
    entries = Entries.load(Path(__file__).parents[3] / "training" / "leaderboard.json")
    assert entries.baseline in {entry.name for entry in entries.entries}
