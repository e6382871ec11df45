"""Encoder evaluation: held-out artists, against baselines and the folded-in ceiling."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle
from training.cf.als import Factorization
from training.cf.logs import Logs
from training.datasets.accounts import Account, account_held_out, account_targets, count_join
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
    allow_missing: bool = False,
    track: Track,
    tell: Callable[[Account], None] = lambda account: None,
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
    allow_missing : judge where the logs do not know held-out items, or few tracks have a factor
    track : shows progress over a list, see `training.networks.inference.Track`
    tell : called with the accounts of each join, which `measures.json` has too
    warn : called with what cannot be checked

    Raises
    ------
    OtherSpace
        If the judged encoder was not trained on these factors.
    Unmatched
        If the logs do not know a held-out item, or too few other items have a factor.
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
    accounts = account_joins(sets.tracks, judged.split, logs, factors, allow_missing, warn)
    if renderings is not None:
        names = renderings.tracks["track_id"]
        accounts.append(
            count_join(test, "held out, prepared", names, "the renderings", key="track_id")
        )
    for account in accounts:
        tell(account)
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
        "accounts": [account.to_json() for account in accounts],
    }
    summarize_folders([out], out, list(groups), stated, space=factors.space)


def account_joins(
    tracks: pd.DataFrame,
    split: pd.DataFrame,
    logs: Logs,
    factors: Factorization,
    allow_missing: bool,
    warn: Warn,
) -> list[Account]:
    """Accounts of the held-out items in the logs, and of the others in the factors.

    Parameters
    ----------
    tracks : of the sets, with their `part`
    warn : called where the factors have held-out items

    Raises
    ------
    Unmatched
    """
    is_test = tracks["part"] == "test"
    of_split = split[split["part"] == "test"]
    names = tracks["track_id"]
    prepared = count_join(of_split, "held out", names, "the prepared sets", key="track_id")
    leaked = count_join(tracks[is_test], "held out, prepared", factors.items, "the factors")
    if leaked.met["items"] or leaked.is_same_id:
        warn(
            f"the factors were fitted with held-out items, {leaked.met['items']} of "
            f"{leaked.left_counts['items']}{leaked.describe_missing()}: the encoder looks better "
            "than it is; factorize with the --split that holds them out"
        )
    return [
        prepared,
        account_held_out(tracks, logs, allow_missing=allow_missing),
        account_targets(
            tracks[~is_test], "not held out", factors.items, allow_missing=allow_missing
        ),
        leaked,
    ]


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
