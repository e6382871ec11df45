"""Figures of a comparison: figure 4 of the paper, and one confusion matrix per task."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from training.transfer.results import Result
from training.transfer.settings import METHODS

COLOURS = {
    "base": "#57534e",
    "fix": "#a16207",
    "init": "#0369a1",
    "kd": "#c2410c",
    "kd-pool": "#be185d",
    "init-kd": "#7e22ce",
}
LINES = {
    "majority or mean": ":",
    "RBF SVM on mel statistics": "--",
    "linear on untrained features": "-.",
    "linear on features": "-",
}
GREY = "#a8a29e"
# What figure 1 of the paper compares: the teacher's embedding, and a network trained on the labels.
PILOT = {"linear on embedding": COLOURS["kd"], "base": COLOURS["base"]}
# Methods stand side by side at each width, in powers of two.
STEP = 0.14


def draw(runs: list[Result], path: Path) -> None:
    """One panel per task, one line per method over the width; dots are runs, bars their spread.

    The grey lines are baselines. Source: Lee et al. 2020, figure 4.
    """
    tasks = sorted({run.task for run in runs})
    with matplotlib.rc_context({"svg.hashsalt": "tasteprint"}):  # reproducible files
        figure, axes = plt.subplots(1, len(tasks), figsize=(3.4 * len(tasks), 3.8), squeeze=False)
        for axis, task in zip(axes[0], tasks, strict=True):
            _draw_task(axis, [run for run in runs if run.task == task], task)
        handles: dict[str, Artist] = {}
        for axis in axes[0]:
            handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
        names = list(handles)
        figure.legend([*handles.values()], names, loc="lower center", ncols=4, fontsize=8)
        figure.tight_layout(rect=(0, 0.14, 1, 1))
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _draw_task(axis: Axes, runs: list[Result], task: str) -> None:
    widths = sorted({run.width for run in runs})
    for position, method in enumerate(METHODS):
        shift = STEP * (position - (len(METHODS) - 1) / 2)
        means = {}
        for width in widths:
            values = [run.measure for run in runs if (run.label, run.width) == (method, width)]
            if values:
                x = np.log2(width) + shift
                means[x] = np.mean(values)
                axis.plot([x] * len(values), values, ".", color=COLOURS[method], alpha=0.35)
                axis.errorbar(x, means[x], np.std(values), color=COLOURS[method], capsize=3)
        if means:
            axis.plot(list(means), list(means.values()), "o-", color=COLOURS[method], label=method)
    for baseline, style in LINES.items():
        values = [run.measure for run in runs if run.method == baseline]
        if values:
            axis.axhline(float(np.mean(values)), color=GREY, linestyle=style, lw=1, label=baseline)
    axis.set_xticks(np.log2(widths), [str(width) for width in widths])
    axis.set_xlim(np.log2(widths[0]) - 0.5, np.log2(widths[-1]) + 0.5)
    axis.set_title(task, fontsize=10)
    axis.set_xlabel("width", fontsize=8)
    axis.set_ylabel("accuracy" if runs[0].kind == "classification" else "r²", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def confusion(runs: list[Result]) -> NDArray[np.int64]:
    """Number of clips by true class (rows) and predicted class (columns), over all runs."""
    size = len(runs[0].labels)
    matrix = np.zeros((size, size), np.int64)
    for run in runs:
        np.add.at(matrix, (np.array(run.targets), np.array(run.predicted)), 1)
    return matrix


def draw_confusion(runs: list[Result], folder: Path, task: str, method: str) -> None:
    """Draw `confusion-<task>.svg`: the share of each class that was predicted as each class."""
    matrix, labels = confusion(runs), runs[0].labels
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = 1.6 + 0.42 * len(labels)
    with matplotlib.rc_context({"svg.hashsalt": "tasteprint"}):
        figure, axis = plt.subplots(figsize=(size, size))
        axis.imshow(shares, cmap="Oranges", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                colour = "white" if share > 0.6 else "black"
                axis.text(
                    column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=7
                )
        axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
        axis.set_yticks(range(len(labels)), labels, fontsize=7)
        axis.set_title(f"{task}, {method}", fontsize=9)
        axis.set_xlabel("predicted", fontsize=8)
        axis.set_ylabel("is", fontsize=8)
        figure.tight_layout()
        figure.savefig(folder / f"confusion-{task}.svg", metadata={"Date": None})
        plt.close(figure)


def draw_classes(runs: list[Result], path: Path) -> bool:
    """Draw the recall of each class by `PILOT`'s methods, a panel a task, with runs as dots.

    Tasks that not both methods have run are left out. Source: Lee et al. 2020, figure 1.

    Returns
    -------
    Whether there was a task to draw.
    """
    by_task: dict[str, dict[str, list[Result]]] = {}
    for run in runs:
        if run.kind == "classification" and run.label in PILOT:
            by_task.setdefault(run.task, {}).setdefault(run.label, []).append(run)
    drawn = {task: found for task, found in sorted(by_task.items()) if found.keys() == PILOT.keys()}
    if not drawn:
        return False
    sizes = [len(found["base"][0].labels) for found in drawn.values()]
    with matplotlib.rc_context({"svg.hashsalt": "tasteprint"}):
        figure, axes = plt.subplots(
            1,
            len(drawn),
            figsize=(1.2 * len(drawn) + 0.55 * sum(sizes), 3.4),
            width_ratios=sizes,
            squeeze=False,
        )
        for axis, (task, found) in zip(axes[0], drawn.items(), strict=True):
            _draw_recall(axis, found, task)
        axes[0][0].set_ylabel("recall", fontsize=8)
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="lower center", ncols=len(PILOT), fontsize=8)
        figure.tight_layout(rect=(0, 0.08, 1, 1))
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return True


def _draw_recall(axis: Axes, found: dict[str, list[Result]], task: str) -> None:
    labels = found["base"][0].labels
    for position, (method, colour) in enumerate(PILOT.items()):
        x = np.arange(len(labels)) + 0.4 * (position - 0.5)
        axis.bar(x, recall(found[method]), 0.38, color=colour, label=method)
        for run in found[method]:
            axis.plot(x, recall([run]), ".", color="black", alpha=0.35, markersize=4)
    axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=8)
    axis.set_ylim(0, 1)
    axis.set_title(task, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)


def recall(runs: list[Result]) -> NDArray[np.float64]:
    """Share of each class's clips that was predicted as that class; NaN where it has no clips."""
    matrix = confusion(runs)
    counts = matrix.sum(1)
    return np.where(counts > 0, matrix.diagonal() / np.maximum(counts, 1), np.nan)
