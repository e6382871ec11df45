"""The benchmark of logs makes the rows that it says, and states what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.training import logs


def test_rows_are_drawn_by_power_laws_with_the_papers_sizes(tmp_path: Path) -> None:
    logs.make_rows(tmp_path / "logs", 100_000)
    table = pq.read_table(tmp_path / "logs")
    assert table.num_rows == 100_000
    counts = np.sort(np.unique(table["item_id"].to_numpy(), return_counts=True)[1])[::-1]
    assert len(counts) <= 100_000 * logs.PAPER_ITEMS // logs.PAPER_ROWS
    assert counts[:5].sum() > 20 * counts[100:105].sum() / 5
    assert len(np.unique(table["user_id"].to_numpy())) > 400


def test_stages_are_measured_and_projected(tmp_path: Path) -> None:
    logs.make_rows(tmp_path / "logs", 20_000)
    read = logs.run_stage("read", tmp_path, 0)
    runs = {name: [logs.run_stage(name, tmp_path, 1)] for name in ("ours", "alone")}
    figures = {"read": read, "iterations": 1, **runs}
    assert read["rows"] == 20_000
    assert 0 < read["entries"] <= 20_000
    assert "projected to 991 M rows" in logs.table(figures)
    assert len(logs.goals(figures)) == 1  # the others are stated for 100 M rows
