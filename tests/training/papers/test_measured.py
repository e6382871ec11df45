"""The tables of the leaderboard's page are those of the measured files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean, pstdev
from typing import Any

import pytest

from tests.running import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "leaderboard.md").read_text()


def read_measures(name: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((DOCS / "leaderboard" / name).read_text())
    return content


def row_of(section: str, first: str) -> str:
    """The row of a section's table whose first cell this is."""
    lines = PAGE.split(f"### {section}")[1].split("\n#")[0].splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {first} |")]
    return row


@pytest.mark.parametrize("tested", ["artist", "album", "track"])
def test_table_of_concepts_is_what_was_measured(tested: str) -> None:
    content = read_measures("concepts.json")
    row = row_of("Which concept is learnt?", tested)
    counts = content["tested"][tested]
    assert row.startswith(f"| {tested} | {counts['n_anchors']} | {counts['n_artists']} |")
    cells = [cell.split(" [")[0].strip() for cell in row.split("|")[4:9]]
    learnt = [content["measures"][name][tested] for name in content["concepts"]]
    assert cells == [f"{middle:.3f} ({low:.3f}–{high:.3f})" for middle, low, high in learnt]


@pytest.mark.parametrize("task", ["emotify-genre", "mood-quadrant", "mood-cluster"])
def test_table_of_transfer_is_what_was_measured(task: str) -> None:
    content = read_measures("concept-transfer.json")["tasks"][task]
    cells = [cell.strip() for cell in row_of("Transfer of artist", task).split("|")[3:11]]
    accuracy = content["accuracy"]
    learners = ("trained directly", "artist", "album", "track", "joint", "published")
    of_fold = [accuracy[name][0] for name in learners]
    published = accuracy["published"]
    pooled = f"{mean(published):.3f} ± {pstdev(published):.3f}"
    assert cells == [*(f"{value:.3f}" for value in (content["largest_class"], *of_fold)), pooled]


@pytest.mark.parametrize("tested", ["artist", "track"])
def test_table_of_concepts_of_renderings_is_what_was_measured(tested: str) -> None:
    content = read_measures("concepts-renderings.json")
    measured = content["measures"].values()
    learnt = [
        f"{m:.3f} ({low:.3f}–{high:.3f})" for m, low, high in (one[tested] for one in measured)
    ]
    counts = content["tested"][tested]
    expected = [tested, str(counts["n_anchors"]), str(counts["n_artists"]), *learnt]
    assert row_of("Concepts of renderings", tested) == f"| {' | '.join(expected)} |"


TABLES = {
    "Number of negatives": ("negatives.json", 2, ("1", "2", "4", "8", "16")),
    "Number of training artists": ("artists.json", 2, ("50", "100", "200", "452")),
    "Levels of a sample-level": (
        "levels.json",
        3,
        ("last layer", "three levels", "second", "both"),
    ),
}


@pytest.mark.parametrize("section", list(TABLES))
def test_tables_of_accuracy_are_what_was_measured(section: str) -> None:
    name, first, columns = TABLES[section]
    tasks = read_measures(name)["tasks"]
    assert tasks
    for task, found in tasks.items():
        cells = [cell.strip() for cell in row_of(section, task).split("|")[first:-1]]
        earlier = found.get("earlier_run", {}).values()
        measured = [found["accuracy"][column] for column in columns]
        assert cells == [show(values) for values in (*measured, *earlier)]


def test_table_of_margins_is_what_was_measured() -> None:
    concepts = read_measures("margins.json")["concepts"]
    expected = [
        f"| {concept} | {margin} | {', '.join(str(n) for n in one['epochs'])} | "
        f"{', '.join(f'{value:.3f}' for value in one['found'])} |"
        for concept, margins in concepts.items()
        for margin, one in margins.items()
    ]
    section = PAGE.split("### Margins")[1].split("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith(("| artist", "| al", "| tr"))]
    assert rows == expected


def show(values: Sequence[float]) -> str:
    spread = f" ± {pstdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


@pytest.mark.parametrize("task", ["emotify-genre", "mood-quadrant", "gtzan-mini"])
def test_table_of_preference_is_what_was_measured(task: str) -> None:
    accuracy = read_measures("preference.json")["tasks"][task]
    cells = [cell.strip() for cell in row_of("MusiCNN with and without", task).split("|")[3:5]]
    assert cells == [show(accuracy[name]) for name in ("without", "with")]


@pytest.mark.parametrize(
    ("method", "title"),
    [("popularity", "popularity"), ("als", "ALS"), ("youtube-dnn", "YoutubeDNN")],
)
def test_table_of_user_vectors_is_what_was_measured(method: str, title: str) -> None:
    measures = read_measures("users.json")["measures"]
    found = [
        measures[f"{method}: {name}"] for name in ("recall_at_10", "ndcg_at_10", "recall_at_100")
    ]
    cells = [cell.strip() for cell in row_of("User vectors", title).split("|")[2:5]]
    assert cells == [f"{one['mean']:.3f} ({one['low']:.3f}–{one['high']:.3f})" for one in found]
