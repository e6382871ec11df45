"""A search finds the better penalty, goes on where it was stopped, and draws what it measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.training.cf.planted import plant
from training.cf.search import FIGURE, RECORDS, SEARCH, search
from training.cf.settings import AlsSettings, SearchGrid
from training.errors import NothingToSearch, OtherRun

GRID = SearchGrid(regularization=(1.0, 1000.0), alpha=(4.0,), iterations=(1, 6))
SETTINGS = AlsSettings(factors=6, regularization=7.0)


def test_the_better_penalty_is_chosen_and_the_fits_are_written(tmp_path: Path) -> None:
    told: list[float] = []
    found = search(
        plant(), SETTINGS, GRID, tmp_path, on_fit=lambda record: told.append(record["ndcg_at_10"])
    )
    table = pd.read_csv(tmp_path / SEARCH)
    assert (found.regularization, found.alpha) == (1.0, 4.0)
    assert found.factors == 6
    assert len(table) == len(told) == 4
    assert table["ndcg_at_10"].is_monotonic_decreasing
    assert table["ndcg_at_10"].iloc[0] > 1.5 * table["ndcg_at_10"].iloc[-1]
    assert {"recall_at_10", "recall_at_50", "ndcg_at_50", "seconds"} <= set(table)
    figure = (tmp_path / FIGURE).read_text()
    assert figure.startswith("<?xml")
    assert "regularization" in figure


def test_a_search_goes_on_after_its_last_whole_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(plant(), SETTINGS, GRID, tmp_path)
    lines = (tmp_path / RECORDS).read_text().splitlines(keepends=True)
    (tmp_path / RECORDS).write_text("".join(lines[:3]) + lines[3][:20])
    fitted: list[float] = []
    from training.cf import search as module

    fit = module._fit

    def count(training, held_out, settings, *rest):  # type: ignore[no-untyped-def]
        fitted.append(settings.regularization)
        return fit(training, held_out, settings, *rest)

    monkeypatch.setattr(module, "_fit", count)
    assert search(plant(), SETTINGS, GRID, tmp_path) == whole
    assert fitted == [1000.0]
    assert len(pd.read_csv(tmp_path / SEARCH)) == 4


def test_a_search_of_other_logs_is_not_gone_on_with(tmp_path: Path) -> None:
    search(plant(), SETTINGS, GRID, tmp_path)
    with pytest.raises(OtherRun):
        search(plant(seed=1), SETTINGS, GRID, tmp_path)
    with pytest.raises(OtherRun):
        search(plant(), replace(SETTINGS, factors=5), GRID, tmp_path)


def test_logs_without_an_entry_on_both_sides_are_refused(tmp_path: Path) -> None:
    logs = plant()
    nothing = replace(logs, earlier=logs.user_items)
    with pytest.raises(NothingToSearch, match=r"of 240 users and .* entries, none has both"):
        search(nothing, SETTINGS, GRID, tmp_path)
