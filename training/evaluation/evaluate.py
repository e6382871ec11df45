"""Encoder evaluation: held-out artists, against baselines and the folded-in ceiling."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle
from training.cf.als import Factorization
from training.cf.logs import Logs
from training.errors import NothingToEvaluate, OtherEvaluation
from training.estimator.space import Warn, require_space
from training.evaluation.judged import Judged, join_parts
from training.evaluation.methods import Method, make_fitting, method_vectors
from training.evaluation.ranking_metrics import HeldOut, held_out
from training.evaluation.report import read_measures, write_measures
from training.evaluation.scores import Scores, score
from training.evaluation.sets import EvaluationSets
from training.evaluation.summary import summarize
from training.networks.inference import Track

# Name of the group of all sets.
ALL = "all sets"


def run(
    judged: Judged,
    sets: EvaluationSets,
    factors_dir: Path,
    logs: Logs,
    out: Path,
    *,
    encoders: Sequence[Bundle] = (),
    min_listeners: int = 10,
    track: Track,
    warn: Warn = warnings.warn,
) -> None:
    """Write `measures.json`, `scores/<group>.npz` and `clips.csv` into `out`.

    Each set is a group, and all of them together are one where there are several.

    Parameters
    ----------
    logs : all of the logs, held-out items included
    encoders : bundles that the judged encoder is compared with
    min_listeners : held-out items with fewer listeners are left out
    track : shows progress over a list, see `training.networks.inference.Track`
    warn : called with what cannot be checked

    Raises
    ------
    OtherSpace
        If the judged encoder was not trained on these factors.
    NothingToEvaluate
        If no held-out item has enough listeners.
    UnsplitTracks, OtherUsers, OtherAudio, BadEncoder
    """
    factors = Factorization.load(factors_dir)
    require_space(judged.name, judged.space, factors, factors_dir, warn)
    sets = replace(sets, tracks=join_parts(sets.tracks, judged.split))
    is_test = (sets.tracks["part"] == "test").to_numpy()
    test = sets.tracks[is_test]
    data, enough = held_out(test["item_id"], logs, factors, min_listeners)
    if not len(data.items):
        raise NothingToEvaluate(len(test), min_listeners)
    fitting = make_fitting(sets, is_test, factors, judged)
    methods = method_vectors(judged, encoders, fitting, track)
    clips = test[enough]
    scores = score_groups(
        {name: replace(method, vectors=method.vectors[enough]) for name, method in methods.items()},
        clips,
        data,
        factors,
    )
    for name, group in scores.items():
        group.save(scores_path(out, name))
    clips.to_csv(out / "clips.csv", index=False)
    _summarize_into(
        out,
        {name: [group] for name, group in scores.items()},
        {
            "min_listeners": min_listeners,
            "encoders": [encoder.card.name for encoder in encoders],
            "space": factors.space,
        },
    )


def score_groups(
    methods: Mapping[str, Method], clips: pd.DataFrame, data: HeldOut, factors: Factorization
) -> dict[str, Scores]:
    """Scores of the clips of each set that has some, and of all where several have."""
    sets = clips["set"].to_numpy(str)
    masks = {name: sets == name for name in dict.fromkeys(sets.tolist())}
    if len(masks) > 1:
        masks[ALL] = np.ones(len(clips), bool)
    return {name: _score_some(methods, clips, data, factors, mask) for name, mask in masks.items()}


def _score_some(
    methods: Mapping[str, Method],
    clips: pd.DataFrame,
    data: HeldOut,
    factors: Factorization,
    mask: NDArray[np.bool_],
) -> Scores:
    chosen = {
        name: replace(method, vectors=method.vectors[mask]) for name, method in methods.items()
    }
    return score(chosen, clips["artist"].to_numpy(str)[mask], data.of_clips(mask), factors)


def pool(evaluations: Sequence[Path], out: Path) -> None:
    """Pool evaluations of several folds into one `measures.json`.

    Raises
    ------
    MissingInput, SharedArtists
    OtherEvaluation
        If the evaluations differ in groups, encoders or the minimum of listeners.
    """
    stated = [read_measures(folder) for folder in evaluations]
    options = ("min_listeners", "encoders")
    for name in options:
        _require_equal(name, evaluations, [measures[name] for measures in stated])
    groups = [list(measures["groups"]) for measures in stated]
    _require_equal("groups", evaluations, groups)
    folds = {
        group: [Scores.load(scores_path(folder, group)) for folder in evaluations]
        for group in groups[0]
    }
    _summarize_into(out, folds, {name: stated[0][name] for name in options})


def _summarize_into(
    out: Path, folds: Mapping[str, Sequence[Scores]], stated: Mapping[str, Any]
) -> None:
    groups = {name: summarize(group, stated["encoders"]) for name, group in folds.items()}
    n_folds = max(map(len, folds.values()))
    write_measures(out, {**stated, "n_folds": n_folds, "groups": groups})


def scores_path(folder: Path, group: str) -> Path:
    return folder / "scores" / f"{group}.npz"


def _require_equal(what: str, folders: Sequence[Path], found: Sequence[object]) -> None:
    for folder, value in zip(folders, found, strict=True):
        if value != found[0]:
            raise OtherEvaluation(folder, what, found[0], value)
