"""Encoder evaluation: held-out artists, against baselines and the folded-in ceiling."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle
from training.cf.als import Factorization
from training.cf.logs import Logs
from training.errors import NoPairs, NothingToEvaluate
from training.estimator.space import Warn, require_space
from training.evaluation.judged import Judged, join_parts
from training.evaluation.methods import Clips, Method, make_fitting, method_vectors, select
from training.evaluation.pairs import match_pairs, score_pairs
from training.evaluation.pooling import pairs_path, scores_path, summarize_folders
from training.evaluation.ranking_metrics import HeldOut, held_out
from training.evaluation.scores import Scores, score
from training.evaluation.sets import EvaluationSets
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
    renderings: EvaluationSets | None = None,
    min_listeners: int = 10,
    track: Track,
    warn: Warn = warnings.warn,
) -> None:
    """Write `measures.json`, `clips.csv` and the scores that it is drawn from into `out`.

    Each set is a group, and all of them together are one where there are several.

    Parameters
    ----------
    logs : all of the logs, held-out items included
    encoders : bundles that the judged encoder is compared with
    renderings : of tracks of the sets, under the same track ids; the held-out ones become pairs
    min_listeners : held-out items with fewer listeners are left out
    track : shows progress over a list, see `training.networks.inference.Track`
    warn : called with what cannot be checked

    Raises
    ------
    OtherSpace
        If the judged encoder was not trained on these factors.
    NothingToEvaluate
        If no held-out item has enough listeners.
    NoPairs
        If no held-out track has a rendering.
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
    clips = Clips(sets, np.flatnonzero(is_test))
    methods = method_vectors(judged, encoders, fitting, clips, track)
    groups = score_groups(select(methods, enough), test[enough], data, factors)
    for name, group in groups.items():
        group.save(scores_path(out, name))
    pairs_path(out).unlink(missing_ok=True)  # of an earlier evaluation
    if renderings is not None:
        partners, clips = _match_renderings(test, renderings)
        rendered = method_vectors(judged, encoders, fitting, clips, track)
        artists = test["artist"].to_numpy(str)[partners]
        score_pairs(select(methods, partners), rendered, artists).save(pairs_path(out))
    test[enough].to_csv(out / "clips.csv", index=False)
    stated = {
        "min_listeners": min_listeners,
        "encoders": [encoder.card.name for encoder in encoders],
    }
    summarize_folders([out], out, list(groups), stated, space=factors.space)


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
    artists = clips["artist"].to_numpy(str)[mask]
    return score(select(methods, mask), artists, data.of_clips(mask), factors)


def _match_renderings(
    test: pd.DataFrame, renderings: EvaluationSets
) -> tuple[NDArray[np.int64], Clips]:
    """Positions of the test tracks that have a rendering, and those renderings.

    Raises
    ------
    NoPairs
    """
    partners, positions = match_pairs(test, renderings.tracks)
    if not len(partners):
        raise NoPairs(len(renderings.tracks), len(test))
    return partners, Clips(renderings, positions)
