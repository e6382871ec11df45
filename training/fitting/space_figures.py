"""Pictures of predicted vectors: a map by artist and genre, nearest neighbours, cosines.

They are drawn from `space.npz`, so that they can be drawn again without the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Names = NDArray[np.str_]
SPACE_DATA = "space.npz"
MAP, NEIGHBOURS, COSINES = "map.svg", "neighbours.csv", "cosines.svg"
# Groups that have a colour, clips that have a list of neighbours, and neighbours of each.
MAX_COLOURS, MAX_QUERIES, N_NEAR = 10, 50, 5
# Of pairs whose cosines are drawn.
MAX_CLIPS = 2000
GREY = "0.85"
BINS = np.linspace(-1, 1, 61).tolist()


def draw_space(
    folder: Path,
    names: Names,
    predicted: Vectors,
    groups: Mapping[str, Names],
    targets: Vectors | None = None,
) -> None:
    """Write vectors, map, neighbours and histogram; nothing of fewer than three clips.

    Parameters
    ----------
    names : of the clips, shape (n,)
    predicted, targets : shape (n, dim)
    groups : `artist`, `genre` and the like → the group of each clip, shape (n,); empty if unknown
    """
    if len(names) < 3:
        return
    order = np.random.default_rng(0).permutation(len(names))[:MAX_CLIPS]
    order.sort()
    groups = {name: np.asarray(group, str)[order] for name, group in groups.items()}
    predicted, names = predicted[order], np.asarray(names, str)[order]
    known = {} if targets is None else {"targets": targets[order]}
    np.savez(
        folder / SPACE_DATA,
        names=names,
        predicted=predicted,
        **known,  # type: ignore[arg-type]
        **{f"group/{name}": group for name, group in groups.items()},  # type: ignore[arg-type]
    )
    redraw_space(folder)


def redraw_space(folder: Path) -> None:
    """Draw the pictures from the vectors that the folder holds."""
    data = np.load(folder / SPACE_DATA)
    groups = {
        key.removeprefix("group/"): data[key] for key in data.files if key.startswith("group/")
    }
    unit = to_unit(data["predicted"])
    with matplotlib.rc_context({"svg.hashsalt": "tasteprint"}):  # reproducible files
        _draw_map(folder / MAP, unit, groups)
        targets = to_unit(data["targets"]) if "targets" in data.files else None
        _draw_cosines(folder / COSINES, unit, groups, targets)
    list_neighbours(data["names"], unit, groups).to_csv(folder / NEIGHBOURS, index=False)


def to_unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def project(unit: Vectors) -> Vectors:
    """The two principal components: (n, dim) -> (n, 2)."""
    centred = unit - unit.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ axes[:2].T, np.float32)


def list_neighbours(names: Names, unit: Vectors, groups: Mapping[str, Names]) -> pd.DataFrame:
    """A row for each of the nearest clips of some, with both groups and the cosine."""
    rows = []
    step = max(1, len(names) // MAX_QUERIES)
    for clip in range(0, len(names), step)[:MAX_QUERIES]:
        cosine = unit @ unit[clip]
        cosine[clip] = -np.inf
        for rank, near in enumerate(np.argsort(-cosine, kind="stable")[:N_NEAR], 1):
            row: dict[str, object] = {"track_id": names[clip]}
            row |= {name: group[clip] for name, group in groups.items()}
            row |= {"rank": rank, "neighbour": names[near]}
            row |= {f"neighbour_{name}": group[near] for name, group in groups.items()}
            rows.append(row | {"cosine": round(float(cosine[near]), 4)})
    return pd.DataFrame(rows)


def _draw_map(path: Path, unit: Vectors, groups: Mapping[str, Names]) -> None:
    places = project(unit)
    figure, axes = plt.subplots(
        1, max(1, len(groups)), figsize=(4.6 * max(1, len(groups)), 4.2), squeeze=False
    )
    for axis, (name, group) in zip(axes[0], groups.items() or [("", None)], strict=True):
        axis.scatter(places[:, 0], places[:, 1], s=8, color=GREY)
        if group is not None:
            _colour(axis, places, group)
        axis.set_title(f"by {name}" if name else "", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    _save(figure, path)


def _colour(axis: Axes, places: Vectors, group: Names) -> None:
    """Colours for the groups of the most clips; the others stay grey."""
    counts = pd.Series(group[group != ""]).value_counts()
    for name in counts.index[:MAX_COLOURS]:
        of_group = places[group == name]
        axis.scatter(of_group[:, 0], of_group[:, 1], s=10, label=f"{name} ({counts[name]})")
    if len(counts):
        axis.legend(fontsize=6, frameon=False)


def _draw_cosines(
    path: Path, unit: Vectors, groups: Mapping[str, Names], targets: Vectors | None
) -> None:
    """Densities of cosines: of a clip and its target, and of two clips, of one group or any."""
    first, second = np.triu_indices(len(unit), 1)
    cosine = (unit @ unit.T)[first, second]
    lines = {"two clips": cosine}
    for name, group in groups.items():
        is_same = (group[first] == group[second]) & (group[first] != "")
        lines[f"two clips of one {name}"] = cosine[is_same]
    if targets is not None:
        lines["a clip and its target"] = (unit * targets).sum(1)
    figure, axis = plt.subplots(figsize=(4.6, 3.2))
    for label, values in lines.items():
        if len(values):
            axis.hist(values, BINS, density=True, histtype="step", label=label)
    axis.set_xlabel("cosine", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
