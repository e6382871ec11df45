"""The figure of a run is drawn from its logs, of all its parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training.errors import MissingInput
from training.fitting.curves import draw_curves, read_logs


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


def test_a_run_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        draw_curves(tmp_path)
