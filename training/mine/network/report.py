"""The network's part of the report: how it was trained, on which folds it was judged, and how."""

from __future__ import annotations

from pathlib import Path

from training.evaluation.report import redraw
from training.fitting.curves import CURVES
from training.mine.network.settings import NetworkSettings
from training.mine.network.stage import SEARCH
from training.mine.network.training import RUN
from training.mine.network.verdict import NetworkVerdict


def describe_outcome(
    verdict: NetworkVerdict | None, n_songs: int, settings: NetworkSettings, *, is_update: bool
) -> str:
    """Whether a network was trained, and what became of it."""
    if verdict is not None:
        return verdict.describe()
    if is_update:
        return "No network was trained: an update keeps the encoder."
    start = settings.network_from
    if not settings.applies(n_songs):
        limit = f"it is tried from {start:,} on" if start else "--network-from is 0"
        return f"No network was trained: {n_songs:,} songs are heard and played, and {limit}."
    return "No network was trained: no fold has a song with enough listeners."


def describe_network(verdict: NetworkVerdict, folder: Path) -> list[str]:
    """Parts of the page.

    Parameters
    ----------
    folder : of the network's stage; the page lies beside it
    """
    parts = ["## The network", verdict.describe()]
    parts += [
        "It starts from the linear map, fitted without the artists that validate, and trains until "
        "their loss is lowest; then for as many steps on all songs but the fold's. The same songs "
        "chose between the two, so that the figure of the one that was chosen is slightly high."
    ]
    rows = [
        f"| {fold} | {length.steps} | {length.first_loss:.4f} | {length.loss:.4f} |"
        for fold, length in zip(verdict.folds, verdict.lengths, strict=True)
    ]
    heading = (
        "| fold | steps | validation loss of the linear map | of the network |\n|---|---|---|---|"
    )
    parts += ["\n".join([heading, *rows])]
    for fold in verdict.folds:
        picture = folder / f"fold{fold}" / SEARCH / RUN / CURVES
        if picture.exists():
            parts += [f"![Losses without fold {fold}]({picture.relative_to(folder.parent)})"]
    parts += ["*network* is the fine-tuned one, on these folds alone:", redraw(folder).strip()]
    return parts
