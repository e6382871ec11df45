"""The table and the picture of a leaderboard, drawn from its figures alone."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.training.leaderboard.test_ranking import FIGURES, entry, make_figures
from training.errors import BadPage, MissingInput
from training.leaderboard.cells import Cost
from training.leaderboard.figures import EntryFigures, Figures
from training.leaderboard.page import BEGIN, END, redraw, table, write
from training.leaderboard.picture import draw, find_points

SVG = "{http://www.w3.org/2000/svg}"


def cost(ms: float, **others: float) -> Cost:
    return Cost(bundles=("d",), parameters=787_159, mflop=8400.4, ms={"float32": ms, **others})


def with_cost(found: EntryFigures, ms: float) -> EntryFigures:
    return found.model_copy(update={"cost": cost(ms)})


def rows_of(figures: Figures, number: int = 0) -> dict[str, list[str]]:
    """Cells of each row by its first cell, of the first table or another one."""
    tables = [part for part in table(figures).split("\n\n") if part.startswith("|")]
    lines = tables[number].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_rows_are_in_the_order_of_the_mean_rank_with_the_best_in_bold() -> None:
    rows = rows_of(FIGURES)
    assert list(rows) == ["entry", "---", "heard", "tagger", "mel", "twin", "stopped"]
    assert rows["entry"][:5] == ["dim", "mean rank", "gain", "genre, accuracy", "gems, r²"]
    tagger = ["4", "1.8", "+15.0", "**0.700 ± 0.000**", "0.200 ± 0.100"]
    assert rows["tagger"] == [*tagger, "–", "–", "–"]
    assert rows["mel"][1:4] == ["3.0", "–", "0.500 ± 0.100"]
    assert rows["heard"][1:5] == ["1.0 (1)", "+30.0 (1)", "–", "**0.400 ± 0.000**"]
    assert rows["stopped"][3] == "0.900 (1 of 2 folds)"
    assert rows["twin"][2] == "+5.0"


def test_entries_of_some_folds_are_compared_on_the_folds_of_all() -> None:
    rows = rows_of(FIGURES, 1)  # genre: the second fold; gems: both
    assert list(rows) == ["entry", "---", "heard", "tagger", "stopped", "mel", "twin"]
    assert rows["entry"][-2:] == ["genre, accuracy", "gems, r²"]
    assert rows["stopped"][1:] == ["2.5", "+12.5", "**0.900**", "0.050 ± 0.000"]
    assert rows["tagger"][3:] == ["0.700", "0.200 ± 0.100"]
    assert "(genre 1, gems 2):" in table(FIGURES)


def test_a_task_that_no_fold_of_is_of_all_is_left_out_of_the_comparison() -> None:
    first = EntryFigures(
        name="first", dim=4, scores={"genre": {"accuracy": [0.5]}}, folds={"genre": (0,)}
    )
    figures = make_figures(*FIGURES.entries, first)
    assert rows_of(figures, 1)["entry"][-1] == "gems, r²"
    assert rows_of(figures, 1)["first"][1:] == ["–", "–", "–"]


def test_entries_of_all_folds_have_one_table() -> None:
    figures = make_figures(*FIGURES.entries[:3])
    assert table(figures).count("| entry |") == 1
    assert figures.on_same_folds() == figures


def test_a_task_that_was_heard_says_so_and_costs_are_those_of_all_precisions() -> None:
    heard = EntryFigures(
        name="trained",
        dim=40,
        scores={"gems": {"r2": [0.1, -0.3]}},
        heard=("genre",),
        untrained="mel",
        note="moods by folds.",
        cost=cost(31.04, int8=15.96),
    )
    figures = make_figures(entry("mel", [0.4, 0.6], [0.1, 0.1]), heard)
    row = rows_of(figures)["trained"]
    assert row[3:5] == ["heard", "−0.100 ± 0.200"]
    assert row[5:] == ["787,159", "8,400", "31.0 (int8 16.0)"]
    assert row[2] == "−20.0 (1)"
    text = table(figures)
    assert "network with random weights: trained on 0 of 1 tasks." in text
    assert "- trained: moods by folds." in text


def test_the_table_states_folds_seeds_and_the_probe() -> None:
    text = table(FIGURES)
    assert "(genre 9 tracks in 2, gems 8 tracks in 2), each the mean over 1 seed." in text
    assert "Probes: logistic regression (r²: ridge regression);" in text
    assert "10 or more listeners" in text
    changed = FIGURES.model_copy(update={"probe": "rbf-svm", "seeds": (1, 3), "cpu": "a CPU"})
    text = table(changed)
    assert "each the mean over 1 to 3 seeds." in text
    assert "Probes: RBF SVM;" in text
    assert "decoding aside; a CPU." in text


def test_the_drawn_part_of_a_page_is_replaced_and_the_text_around_it_stays(tmp_path: Path) -> None:
    page = tmp_path / "board.md"
    page.write_text(f"# Board\n\n{BEGIN}\nthe table before\n{END}\n\nTake the tagger.\n")
    write(FIGURES, tmp_path / "out", page)
    text = page.read_text()
    assert text.startswith("# Board\n\n")
    assert text.endswith("\n\nTake the tagger.\n")
    assert "the table before" not in text
    assert table(FIGURES) in text
    assert "](board/leaderboard.svg)" in text
    assert (tmp_path / "out" / "table.md").read_text() == table(FIGURES) + "\n"
    # The page is drawn from the files beside it.
    stored = Figures.load(tmp_path / "board" / "figures.json")
    assert stored == FIGURES
    assert redraw(page, stored) == text
    assert (tmp_path / "board" / "leaderboard.svg").read_text() == draw(stored)


def test_a_page_without_a_place_for_the_table_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    page = tmp_path / "board.md"
    page.write_text("# Board\n")
    with pytest.raises(BadPage, match="has no line '<!-- drawn by tasteprint-train leaderboard"):
        write(FIGURES, tmp_path / "out", page)
    assert page.read_text() == "# Board\n"
    assert not (tmp_path / "board").exists()
    with pytest.raises(MissingInput):
        Figures.load(tmp_path / "none.json")


def test_the_picture_has_a_dot_and_a_name_for_each_entry_with_cost_and_gain() -> None:
    mel = with_cost(entry("mel", [0.4, 0.6], [0.1, 0.1]), 3)
    tagger = with_cost(entry("a <tagger> & more", [0.7, 0.7], [0.3, 0.1]), 100)
    slow = with_cost(entry("slow", [0.3, 0.3], [0.1, 0.1]), 1000)
    unpriced = entry("unpriced", [0.7, 0.7], [0.3, 0.1])
    figures = make_figures(mel, tagger, slow, unpriced)
    points = find_points(figures)
    assert [(point.name, point.ms) for point in points] == [(tagger.name, 100), ("slow", 1000)]
    assert [point.gain for point in points] == pytest.approx([15, -10])
    drawn = ElementTree.fromstring(draw(figures))
    dots = {float(dot.get("cx", 0)): float(dot.get("cy", 0)) for dot in drawn.iter(f"{SVG}circle")}
    assert len(dots) == 2
    (left, high), (right, low) = sorted(dots.items())
    assert left < right
    assert high < low  # a gain is above a loss
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"a <tagger> & more", "slow", "mel", "0", "+10", "−10"} <= set(texts)
    assert "unpriced" not in texts


def test_names_in_the_picture_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(0)
    crowd = [
        with_cost(entry(f"an encoder {index:02}", [0.6 + 0.002 * index] * 2, []), ms)
        for index, ms in enumerate(30 * rng.uniform(0.9, 1.1, 14))
    ]
    figures = make_figures(entry("mel", [0.5, 0.5], []), *crowd)
    drawn = ElementTree.fromstring(draw(figures))
    places = [
        (float(text.get("x", 0)), float(text.get("y", 0)))
        for text in drawn.iter(f"{SVG}text")
        if (text.text or "").startswith("an encoder")
    ]
    assert len(places) == 14
    height, width = 10, 80
    for index, (x, y) in enumerate(places):
        for other_x, other_y in places[index + 1 :]:
            assert abs(x - other_x) >= width or abs(y - other_y) >= height


def test_a_leaderboard_without_costs_has_a_picture_without_dots() -> None:
    drawn = ElementTree.fromstring(draw(FIGURES))
    assert list(drawn.iter(f"{SVG}circle")) == []
