"""The tables of the leaderboard's page are those of the measured files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    cells = [cell.strip() for cell in row_of("Transfer of artist", task).split("|")[3:10]]
    accuracy = content["accuracy"]
    of_fold = [accuracy[name][0] for name in ("artist", "album", "track", "joint", "published")]
    published = accuracy["published"]
    pooled = f"{mean(published):.3f} ± {pstdev(published):.3f}"
    assert cells == [*(f"{value:.3f}" for value in (content["largest_class"], *of_fold)), pooled]


@pytest.mark.parametrize("task", ["emotify-genre", "mood-quadrant", "gtzan-mini"])
def test_table_of_preference_is_what_was_measured(task: str) -> None:
    accuracy = read_measures("preference.json")["tasks"][task]
    cells = [cell.strip() for cell in row_of("MusiCNN with and without", task).split("|")[3:5]]
    spread = [f" ± {pstdev(accuracy[name]):.3f}" for name in ("without", "with")]
    means = [f"{mean(accuracy[name]):.3f}" for name in ("without", "with")]
    is_pooled = len(accuracy["with"]) > 1
    assert cells == [
        value + (deviation if is_pooled else "")
        for value, deviation in zip(means, spread, strict=True)
    ]


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
