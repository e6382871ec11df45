"""The figure of a run is drawn from its logs, of all its parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training.errors import MissingInput
from training.fitting.curves import best_measures, draw_curves, read_logs


def write_logs(run: Path, version: int, rows: list[dict[str, float]]) -> None:
    folder = run / "logs" / f"version_{version}"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)


def test_the_parts_of_a_resumed_run_are_one_curve(tmp_path: Path) -> None:
    write_logs(tmp_path, 0, [{"step": 1, "train_loss": 3.0}, {"step": 1, "val_loss": 2.0}])
    write_logs(tmp_path, 1, [{"step": 5, "val_loss": 1.0, "val_found/artist": 0.5}])
    logs = read_logs(tmp_path)
    assert list(logs["step"]) == [1, 1, 5]
    assert list(logs["val_loss"].dropna()) == [2.0, 1.0]
    drawn = draw_curves(tmp_path).read_text()
    for name in ("train_loss", "val_loss", "val_found/artist"):
        assert f"<!-- {name} -->" in drawn
    assert draw_curves(tmp_path).read_text() == drawn


def test_the_best_measures_are_those_of_the_lowest_loss(tmp_path: Path) -> None:
    write_logs(tmp_path, 0, [{"step": 1, "train_loss": 0.1}, {"step": 1, "val_loss": 2.0}])
    write_logs(tmp_path, 1, [{"step": 5, "val_loss": 1.0, "val_found": 0.5}, {"val_loss": 1.5}])
    assert best_measures(tmp_path) == {"val_loss": 1.0, "val_found": 0.5}


def test_a_run_without_logs_is_refused(tmp_path: Path) -> None:
    for read in (draw_curves, best_measures):
        with pytest.raises(MissingInput):
            read(tmp_path)
    write_logs(tmp_path, 0, [{"step": 1, "train_loss": 0.1}])
    with pytest.raises(MissingInput):
        best_measures(tmp_path)
