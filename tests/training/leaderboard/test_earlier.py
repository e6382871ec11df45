"""Entries of earlier figures stand beside those of now where both have judged the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.probes.level_encoder import write_level_encoder
from training.errors import MissingInput, OtherFigures
from training.leaderboard.cells import Cost, Costs, write_costs
from training.leaderboard.earlier import keep
from training.leaderboard.entries import Entries, Entry, Part
from training.leaderboard.figures import EntryFigures, Figures, TaskFigures

MEL = Entry(name="mel", parts=(Part(source="mel statistics"),))
NEW, OLD = (Entry(name=name, parts=(Part(bundle=f"models/{name}"),)) for name in ("new", "old"))
ENTRIES = Entries(baseline="mel", entries=(MEL, OLD, NEW))
MOOD = TaskFigures(
    name="mood",
    metrics=("accuracy",),
    n_folds=2,
    n_tracks=9,
    tracks_sha256=("a", "b"),
)


def cost(digest: str, ms: float = 2.0) -> Cost:
    return Cost(bundles=(digest,), parameters=3, mflop=1.5, ms={"float32": ms})


def figures_of(scores: dict[str, list[float]], seeds: int = 1) -> Figures:
    """Name of the entry → its accuracy on `mood`."""
    entries = [
        EntryFigures(
            name=name,
            dim=7,
            scores={"mood": {"accuracy": values}},
            cost=None if name == "mel" else cost(name),
        )
        for name, values in scores.items()
    ]
    return Figures(
        baseline="mel",
        probe="logistic",
        min_listeners=10,
        seeds=(seeds, seeds),
        cpu="a CPU",
        tasks=(MOOD,),
        entries=tuple(entries),
    )


NOW = figures_of({"mel": [0.5, 0.4], "new": [0.7, 0.6]})
BEFORE = figures_of({"mel": [0.5, 0.4], "new": [0.2, 0.2], "old": [0.6, 0.6]}, seeds=3)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    path = tmp_path / "figures.json"
    BEFORE.save(path)
    return path


def test_entries_that_are_not_judged_now_are_kept_in_the_order_of_the_file(
    earlier: Path, tmp_path: Path
) -> None:
    found = keep(NOW, earlier, ENTRIES, tmp_path)
    scores = [(entry.name, entry.scores["mood"]["accuracy"]) for entry in found.entries]
    assert scores == [("mel", [0.5, 0.4]), ("old", [0.6, 0.6]), ("new", [0.7, 0.6])]
    assert found.seeds == (1, 3)
    assert found.entries[1].cost == cost("old")


def test_a_kept_entry_costs_what_it_does_now(earlier: Path, tmp_path: Path) -> None:
    write_costs(tmp_path, Costs(cpu="a CPU", entries={"old": cost("old", ms=3.0)}))
    assert keep(NOW, earlier, ENTRIES, tmp_path).entries[1].cost == cost("old", ms=3.0)
    write_costs(tmp_path, Costs(cpu="another CPU", entries={"new": cost("new")}))
    assert keep(NOW, earlier, ENTRIES, tmp_path).entries[1].cost is None


@pytest.fixture
def trained_again(tmp_path: Path) -> Entries:
    """Entries whose bundle `old` is there, and is another than `BEFORE` was judged by."""
    bundle = write_level_encoder(tmp_path / "models" / "old")
    old = Entry(name="old", parts=(Part(bundle=str(bundle.folder)),))
    return Entries(baseline="mel", entries=(MEL, old))


@pytest.mark.parametrize("folds", [None, (1,)])
def test_scores_by_a_bundle_that_is_another_now_are_refused(
    earlier: Path, tmp_path: Path, trained_again: Entries, folds: tuple[int, ...] | None
) -> None:
    now = NOW
    if folds:
        judged = figures_of({"mel": [0.5, 0.4], "old": [0.9]})
        old = judged.entries[1].model_copy(update={"folds": {"mood": folds}})
        now = judged.model_copy(update={"entries": (judged.entries[0], old)})
    with pytest.raises(OtherFigures, match="scores of old by another bundle"):
        keep(now, earlier, trained_again, tmp_path)


def test_a_bundle_that_was_trained_again_and_judged_everywhere_takes_its_place(
    earlier: Path, tmp_path: Path, trained_again: Entries
) -> None:
    now = figures_of({"mel": [0.5, 0.4], "old": [0.9, 0.8]})
    assert keep(now, earlier, trained_again, tmp_path).entries == now.entries


def test_an_entry_has_the_folds_of_both_runs_and_scores_of_now_where_both_have_some(
    tmp_path: Path,
) -> None:
    genre = MOOD.model_copy(update={"name": "genre"})
    (mel,) = [entry for entry in NOW.entries if entry.name == "mel"]
    scores = {"genre": {"accuracy": [0.9]}, "mood": {"accuracy": [0.1, 0.2]}}
    then = mel.model_copy(update={"scores": scores, "folds": {"genre": (1,)}})
    path = tmp_path / "figures.json"
    NOW.model_copy(update={"entries": (then,), "tasks": (genre, MOOD)}).save(path)
    first = mel.model_copy(
        update={"scores": {"mood": {"accuracy": [0.7]}}, "folds": {"mood": (1,)}}
    )
    now = NOW.model_copy(update={"entries": (first,)})
    found = keep(now, path, ENTRIES, tmp_path).entries[0]
    assert found.scores == {"genre": {"accuracy": [0.9]}, "mood": {"accuracy": [0.1, 0.7]}}
    assert found.folds == {"genre": (1,)}


def other_tracks(digests: tuple[str, ...]) -> Figures:
    return NOW.model_copy(update={"tasks": (MOOD.model_copy(update={"tracks_sha256": digests}),)})


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        (NOW.model_copy(update={"probe": "rbf-svm"}), "probe 'logistic' in place of 'rbf-svm'"),
        (other_tracks(("a", "other")), "other tracks of the task mood"),
        (other_tracks(()), "other tracks of the task mood"),
    ],
)
def test_figures_of_other_tracks_or_another_recipe_are_refused(
    earlier: Path, tmp_path: Path, now: Figures, difference: str
) -> None:
    with pytest.raises(OtherFigures, match=difference):
        keep(now, earlier, ENTRIES, tmp_path)


def test_tasks_are_those_of_both_and_folds_of_one_are_no_difference(
    earlier: Path, tmp_path: Path
) -> None:
    genre = MOOD.model_copy(update={"name": "genre"})
    one_fold = MOOD.model_copy(update={"tracks_sha256": ("", "b")})
    now = NOW.model_copy(update={"tasks": (one_fold, genre)})
    assert keep(now, earlier, ENTRIES, tmp_path).tasks == (genre, MOOD)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"absent\.json"):
        keep(NOW, tmp_path / "absent.json", ENTRIES, tmp_path)
