"""Report of an evaluation: table and figure, drawn from `measures.json` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from training.errors import MissingInput

MEASURES = "measures.json"
HEADINGS = {
    "user_auc": "user AUC",
    "cosine": "cosine",
    "recall_at_10": "recall@10",
    "ndcg_at_10": "nDCG@10",
}
COLOURS = {"network": "#c2410c", "ceiling (folded in)": "#a3a3a3"}
OTHER = "#57534e"


def write_measures(folder: Path, measures: dict[str, object]) -> None:
    """Write `measures.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MEASURES).write_text(json.dumps(measures, indent=2) + "\n")


def read_measures(folder: Path) -> Any:
    """Read `measures.json`.

    Raises
    ------
    MissingInput
    """
    try:
        return json.loads((folder / MEASURES).read_text())
    except FileNotFoundError as error:
        raise MissingInput(folder, "tasteprint-train evaluate") from error


def redraw(folder: Path) -> str:
    """Write `table.md` and `evaluation.svg` beside `measures.json`; returns the table.

    Raises
    ------
    MissingInput
        Where the folder holds no `measures.json`.
    """
    measures = read_measures(folder)
    table = _table(measures["methods"])
    note = (
        f"{measures['n_clips']} clips of {measures['n_items']} held-out items "
        f"with {measures['min_listeners']} or more listeners, by {measures['n_artists']} artists; "
        "95 % intervals over artists (users for recall and nDCG)."
    )
    text = f"{table}\n\n{note}\n"
    (folder / "table.md").write_text(text)
    _draw(measures["methods"], note, folder / "evaluation.svg")
    return text


def _table(methods: dict[str, dict[str, list[float]]]) -> str:
    lines = [
        "| | " + " | ".join(HEADINGS.values()) + " |",
        "|---" * (len(HEADINGS) + 1) + "|",
    ]
    for method, measures in methods.items():
        cells = [
            "{:.3f} ({:.3f} – {:.3f})".format(*measures[name])  # mean, low, high
            for name in HEADINGS
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _draw(methods: dict[str, dict[str, list[float]]], note: str, path: Path) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "tasteprint"  # the same numbers give the same file
    figure, axes = plt.subplots(1, len(HEADINGS), figsize=(12, 3), sharey=True)
    names = list(methods)[::-1]
    for axis, (measure, heading) in zip(axes, HEADINGS.items(), strict=True):
        for row, name in enumerate(names):
            mean, low, high = methods[name][measure]
            axis.plot([low, high], [row, row], color=COLOURS.get(name, OTHER), linewidth=2)
            axis.plot(mean, row, "o", color=COLOURS.get(name, OTHER))
        axis.set_title(heading, fontsize=10)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
        axis.grid(axis="x", alpha=0.3)
    axes[0].axvline(0.5, color=OTHER, linewidth=0.8, linestyle=":")  # chance
    axes[0].set_yticks(range(len(names)), names)
    figure.text(0.01, 0.01, note, fontsize=7, color=OTHER)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
