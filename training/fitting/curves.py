"""Figure of a training run: losses and validation measures by step, from the run's CSV logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from training.errors import MissingInput

CURVES = "curves.svg"
LOSS, VALIDATION_LOSS = "loss", "val_loss"


def read_logs(run: Path) -> pd.DataFrame:
    """Every row that the run has logged, those of resumed parts too, ordered by step.

    Raises
    ------
    MissingInput
        If the run has logged nothing.
    """
    paths = sorted(run.glob("logs/version_*/metrics.csv"))
    if not paths:
        raise MissingInput(run, "tasteprint-train")
    return pd.concat([pd.read_csv(path) for path in paths]).sort_values("step", kind="stable")


def best_measures(run: Path) -> dict[str, Any]:
    """What the validation with the lowest loss has measured, by name.

    Raises
    ------
    MissingInput
        If the run has not validated.
    """
    logs = read_logs(run)
    if VALIDATION_LOSS not in logs:
        raise MissingInput(run, "tasteprint-train")
    best = logs.sort_values(VALIDATION_LOSS, kind="stable").iloc[0]
    measures = best[[name for name in logs if name.startswith("val_")]].dropna()
    return {name: round(float(value), 4) for name, value in measures.items()}


def draw_curves(run: Path) -> Path:
    """Draw the run's losses, and beside them what else its validations measure.

    Raises
    ------
    MissingInput
    """
    logs = read_logs(run)
    losses = [name for name in logs if name.endswith(LOSS) or f"_{LOSS}/" in name]
    measures = [name for name in logs if name.startswith("val_") and name not in losses]
    panels = [names for names in (losses, measures) if names]
    with matplotlib.rc_context({"svg.hashsalt": "tasteprint"}):  # reproducible files
        figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.2), squeeze=False)
        for axis, names in zip(axes[0], panels, strict=True):
            _draw_panel(axis, logs, names)
        figure.tight_layout()
        figure.savefig(run / CURVES, metadata={"Date": None})
        plt.close(figure)
    return run / CURVES


def _draw_panel(axis: Axes, logs: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        known = logs[logs[name].notna()]
        axis.plot(known["step"], known[name], marker=".", markersize=3, lw=1, label=name)
    axis.set_xlabel("step", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
