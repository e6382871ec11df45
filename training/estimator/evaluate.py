"""Encoder evaluation: held-out artists, against baselines and the folded-in ceiling."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.audio.patch_cutting import cut_patches
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.cf.logs import read_logs
from training.errors import NothingToEvaluate
from training.estimator.artist_split import load_split
from training.estimator.clips import join_targets
from training.estimator.mel_baseline import mel_statistics, predict_by_ridge
from training.estimator.ranking_metrics import (
    HeldOut,
    Vectors,
    bootstrap_over_groups,
    clip_measures,
    compare,
)
from training.estimator.ranking_metrics import held_out as held_out_of
from training.estimator.report import write_measures
from training.estimator.space import Warn, check_space
from training.estimator.train import load_network
from training.networks.base import Encoder
from training.networks.inference import Track, run_over_rows, torch_forward

K = 10  # of recall@k and nDCG@k
BATCH_SIZE = 8


def run(
    run_dir: Path,
    prepared_dir: Path,
    factors_dir: Path,
    logs: Path,
    out: Path,
    *,
    user_column: str = "user_id",
    item_column: str = "item_id",
    count_column: str | None = None,
    min_listeners: int = 10,
    track: Track,
    warn: Warn = warnings.warn,
) -> None:
    """Write `measures.json`, `clips.csv` and `predictions.npy` (methods, clips, dim) into `out`.

    Parameters
    ----------
    min_listeners : held-out items with fewer listeners are left out
    track : shows progress over a list, see `training.networks.inference.Track`
    warn : called with what cannot be checked

    Raises
    ------
    OtherSpace
        If the network was not trained on these factors.
    NothingToEvaluate
        If no held-out item has enough listeners.
    """
    prepared, factors = Prepared.load(prepared_dir), Factorization.load(factors_dir)
    check_space(run_dir, factors, factors_dir, warn)
    network, settings = load_network(run_dir)
    split = load_split(run_dir / "split.csv")
    tracks = prepared.tracks.merge(split[["track_id", "part"]], on="track_id")
    test = tracks[tracks["part"] == "test"]
    all_logs = read_logs(
        logs, user_column=user_column, item_column=item_column, count_column=count_column
    )
    data, enough = held_out_of(test["item_id"], all_logs, factors, min_listeners)
    if not len(data.items):
        raise NothingToEvaluate(len(test), min_listeners)
    test = test[enough]
    # If items are songs, an artist has several: intervals are over artists, not items.
    artists = test["artist"].factorize()[0]
    data = replace(data, artist_index=artists.astype(np.int64))
    statistics = mel_statistics(prepared, prepared_dir, track)
    fitting = tracks[tracks["part"] != "test"]
    rows, targets = join_targets(fitting, factors, settings.targets)
    test_rows = test["row"].to_numpy(np.int64)
    network_vectors = predict(network, prepared, test_rows, track)
    predictions = {
        "shuffled network": shuffle_items(network_vectors, data.item_index),
        "mean vector": np.tile(targets.mean(0), (len(test), 1)),
        "ridge on mel statistics": predict_by_ridge(
            statistics[rows], targets, statistics[test_rows]
        ),
        "network": network_vectors,
        "ceiling (folded in)": data.folded_in[data.item_index],
    }
    out.mkdir(parents=True, exist_ok=True)
    test.assign(item_index=data.item_index).to_csv(out / "clips.csv", index=False)
    np.save(out / "predictions.npy", np.stack(list(predictions.values())))
    write_measures(
        out,
        {
            "n_clips": len(test),
            "n_items": len(data.items),
            "n_artists": int(artists.max()) + 1,
            "min_listeners": min_listeners,
            "space": factors.space,
            "methods": compare(predictions, data, factors, K),
            "network_minus_ridge": _difference(predictions, data, factors),
        },
    )


def predict(network: Encoder, prepared: Prepared, rows: NDArray[np.int64], track: Track) -> Vectors:
    """Embeddings of windows, or of their patches, shape (len(rows), embedding_dim)."""
    forward = torch_forward(network, network.make_front_end())
    heard = cut_patches(prepared, network.audio)
    embedding, _ = run_over_rows(
        forward, heard, rows, batch_size=BATCH_SIZE, label="network", track=track
    )
    return embedding


def shuffle_items(predicted: Vectors, item_index: NDArray[np.int64], seed: int = 0) -> Vectors:
    """Permute predictions between items: same distribution of vectors, unrelated to the clips."""
    items = np.random.default_rng(seed).permutation(item_index.max() + 1)
    clips = {item: np.flatnonzero(item_index == item) for item in items}
    other = dict(zip(items, np.roll(items, 1), strict=True))
    rng = np.random.default_rng(seed)
    return predicted[[rng.choice(clips[other[item]]) for item in item_index]]


def _difference(
    predictions: dict[str, Vectors], data: HeldOut, factors: Factorization
) -> dict[str, list[float]]:
    """Paired difference, network minus ridge: mean and 95 % interval over artists."""
    network = clip_measures(predictions["network"], data, factors)
    ridge = clip_measures(predictions["ridge on mel statistics"], data, factors)
    return {
        name: list(bootstrap_over_groups(network[name] - ridge[name], data.groups))
        for name in network
    }
