"""Measures of an evaluation, from the scores on disk: of one fold, or of several pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.errors import OtherEvaluation
from training.evaluation.pairs import PairScores, summarize_pairs
from training.evaluation.report import read_measures
from training.evaluation.scores import Scores
from training.evaluation.summary import summarize
from training.tables.measures import write_measures

# What evaluations that are pooled have in common.
OPTIONS = ("min_listeners", "encoders")


def pool(evaluations: Sequence[Path], out: Path) -> None:
    """Pool evaluations of several folds into one `measures.json`.

    Raises
    ------
    MissingInput, SharedArtists
    OtherEvaluation
        If the evaluations differ in groups, encoders or the minimum of listeners.
    """
    measures = [read_measures(folder) for folder in evaluations]
    for name in OPTIONS:
        _require_equal(name, evaluations, [stated[name] for stated in measures])
    groups = [list(stated["groups"]) for stated in measures]
    _require_equal("groups", evaluations, groups)
    _require_equal("pairs", evaluations, [bool(stated.get("pairs")) for stated in measures])
    stated = {name: measures[0][name] for name in OPTIONS}
    summarize_folders(evaluations, out, groups[0], stated)


def summarize_folders(
    folders: Sequence[Path],
    out: Path,
    groups: Sequence[str],
    stated: Mapping[str, Any],
    *,
    space: str | None = None,
) -> None:
    """Write `measures.json` from the scores in the folders, one for each fold.

    Parameters
    ----------
    stated : the values of `OPTIONS`
    space : CF space of the factors; None of several folds, as each has another
    """
    measures: dict[str, Any] = {**stated, "n_folds": len(folders)}
    if space is not None:
        measures["space"] = space
    measures["groups"] = {
        group: summarize(
            [Scores.load(scores_path(folder, group)) for folder in folders], stated["encoders"]
        )
        for group in groups
    }
    if pairs_path(folders[0]).exists():
        measures["pairs"] = summarize_pairs(
            [PairScores.load(pairs_path(folder)) for folder in folders]
        )
    write_measures(out, measures)


def scores_path(folder: Path, group: str) -> Path:
    return folder / "scores" / f"{group}.npz"


def pairs_path(folder: Path) -> Path:
    return folder / "scores" / "pairs of recordings and renderings.npz"


def _require_equal(what: str, folders: Sequence[Path], found: Sequence[object]) -> None:
    for folder, value in zip(folders, found, strict=True):
        if value != found[0]:
            raise OtherEvaluation(folder, what, found[0], value)
