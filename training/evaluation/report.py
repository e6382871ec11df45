"""Report of an evaluation: tables and figure, drawn from `measures.json` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from training.tables import measures as measures_file

HEADINGS = {
    "user_auc": "user AUC",
    "cosine": "cosine",
    "recall_at_10": "recall@10",
    "ndcg_at_10": "nDCG@10",
    "who_listens": "who listens",
}
PAIR_HEADINGS = {
    "cosine": "cosine",
    "centred_cosine": "centred cosine",
    "percentile": "other renderings less near",
    "first": "partner first",
}
# What a random prediction has, where that is known.
CHANCE = {"user_auc": 0.5, "who_listens": 0.0}
COLOURS = {"network": "#c2410c", "ceiling (folded in)": "#a3a3a3"}
OTHER = "#57534e"
# Measure → [mean, low and high end of the 95 % interval].
Row = dict[str, list[float]]


def read_measures(folder: Path) -> Any:
    """Read `measures.json`.

    Raises
    ------
    MissingInput
        Where there is none, or one of a version that did not measure sets apart.
    """
    return measures_file.read_measures(folder, "evaluate", "groups")


def redraw(folder: Path) -> str:
    """Write `table.md` and `evaluation.svg` beside `measures.json`; returns the tables.

    Raises
    ------
    MissingInput
        Where the folder holds no `measures.json`.
    """
    measures = read_measures(folder)
    groups = measures["groups"]
    parts = []
    for name, group in groups.items():
        title = f"### {name}\n\n" if len(groups) > 1 else ""
        parts.append(f"{title}{_table('', group['methods'])}\n\n{_describe(group, measures)}")
        if group["differences"]:
            parts.append(_table("paired difference", group["differences"], sign="+"))
    if pairs := measures.get("pairs"):
        table = _table("", pairs["methods"], headings=PAIR_HEADINGS)
        parts.append(f"### Recordings and their renderings\n\n{table}\n\n{_describe_pairs(pairs)}")
    text = "\n\n".join([*parts, _notes(measures)]) + "\n"
    (folder / "table.md").write_text(text)
    _draw(measures, folder / "evaluation.svg")
    return text


def _describe(group: dict[str, Any], measures: dict[str, Any]) -> str:
    folds = f" in {measures['n_folds']} folds" if measures["n_folds"] > 1 else ""
    return (
        f"{group['n_clips']} clips of {group['n_items']} held-out items with "
        f"{measures['min_listeners']} or more listeners, by {group['n_artists']} artists{folds}; "
        "95 % intervals over artists (users for recall and nDCG)."
    )


def _describe_pairs(pairs: dict[str, Any]) -> str:
    return (
        f"{pairs['n_pairs']} held-out recordings of {pairs['n_artists']} artists, and a rendering "
        "of each song. The mean of the recordings and that of the renderings are subtracted for "
        "the centred cosine and the rank, which is among the renderings of the fold. By chance "
        "half of the other renderings are less near; 95 % intervals over artists."
    )


def _notes(measures: dict[str, Any]) -> str:
    within = ", computed within each fold and averaged" if measures["n_folds"] > 1 else ""
    return (
        "Who listens: Spearman's correlation, over pairs of artists, of the cosine of their "
        "embeddings (mean over an artist's clips, centred on the mean over these artists) and the "
        f"cosine of their listeners{within}. An encoder by its name alone is untouched; what is in "
        "no CF space of these factors ranks no users."
    )


def _table(
    corner: str, rows: dict[str, Row], sign: str = "", headings: dict[str, str] = HEADINGS
) -> str:
    """Rows → a Markdown table; a measure that a row lacks is a dash."""
    lines = [
        f"| {corner} | " + " | ".join(headings.values()) + " |",
        "|---" * (len(headings) + 1) + "|",
    ]
    for name, row in rows.items():
        cells = [_cell(row.get(measure), sign) for measure in headings]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(numbers: list[float] | None, sign: str) -> str:
    if numbers is None:
        return "–"
    mean, low, high = (f"{number:{sign}.3f}" for number in numbers)
    return f"{mean} ({low} {'to' if sign else '–'} {high})"


def _draw(measures: dict[str, Any], path: Path) -> None:
    """One row of panels for each group, one panel for each measure, one line for each method."""
    matplotlib.rcParams["svg.hashsalt"] = "tasteprint"  # the same numbers give the same file
    groups = measures["groups"]
    heights = [len(group["methods"]) for group in groups.values()]
    figure, panels = plt.subplots(
        len(groups),
        len(HEADINGS),
        figsize=(14, 0.28 * sum(heights) + 1.1 * len(groups)),
        sharey="row",
        sharex="col",
        squeeze=False,
        height_ratios=heights,
    )
    for axes, (name, group) in zip(panels, groups.items(), strict=True):
        names = list(group["methods"])[::-1]
        for axis, (measure, heading) in zip(axes, HEADINGS.items(), strict=True):
            _draw_panel(axis, measure, [group["methods"][method] for method in names], names)
            axis.set_title(heading, fontsize=10)
        axes[0].set_yticks(range(len(names)), names, fontsize=8)
        artists = f"{group['n_clips']} clips by {group['n_artists']} artists"
        label = f"{name}: {artists}" if len(groups) > 1 else artists
        axes[0].annotate(label, (0, 1), (0, 24), "axes fraction", textcoords="offset points")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_panel(axis: Axes, measure: str, rows: list[Row], names: list[str]) -> None:
    for position, (row, name) in enumerate(zip(rows, names, strict=True)):
        if measure in row:
            mean, low, high = row[measure]
            colour = COLOURS.get(name, OTHER)
            axis.plot([low, high], [position, position], color=colour, linewidth=2)
            axis.plot(mean, position, "o", color=colour, markersize=4)
    if measure in CHANCE:
        axis.axvline(CHANCE[measure], color=OTHER, linewidth=0.8, linestyle=":")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False, labelbottom=True, labelsize=8)
    axis.grid(axis="x", alpha=0.3)
