"""A training run of an encoder, exported as a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import bundle
from models.card import Provenance, Scalar
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.cf.artist_split import load_split
from training.estimator.report import read_measures
from training.estimator.train import load_network
from training.export.bundle import (
    PARITY_CLIPS,
    provenance,
    read_data,
    write_bundle,
)
from training.export.onnx_graph import check_parity, to_onnx
from training.networks.cf_estimator import CFEstimator
from training.networks.mel import WINDOW
from training.networks.waveform import WaveformEncoder


def export_encoder(
    network: CFEstimator,
    folder: Path,
    windows: NDArray[np.float32],
    facts: Provenance,
    *,
    card_version: str = "1.0.0",
) -> tuple[bundle.Bundle, Mapping[str, float]]:
    """Write an encoder's bundle, after parity with torch has been shown on real `windows`.

    Raises
    ------
    ParityFailed, BadExport, BundleError
    """
    encoder = WaveformEncoder(network).eval()
    outputs = {"embedding": network.embed.out_features, "features": network.width}
    graph = to_onnx(encoder, "waveform", WINDOW.window_samples, list(outputs))
    errors = check_parity(encoder, graph, windows)
    written = write_bundle(
        folder,
        graph,
        outputs,
        facts,
        kind="encoder",
        task="cf-embedding",
        card_version=card_version,
    )
    return written, errors


def export_run(
    run: Path,
    prepared_dir: Path,
    out: Path,
    data: Path,
    factors: Path,
    evaluation: Path | None,
    *,
    card_version: str,
) -> tuple[bundle.Bundle, Mapping[str, float]]:
    """Export the best checkpoint of a training run; parity is shown on its own test clips.

    Parameters
    ----------
    data : JSON, a list of {name, use, licence}: what the weights were trained on
    factors : folder of `tasteprint-train factorize`, for how the targets were made
    evaluation : folder of `tasteprint-train evaluate`, for the card's metrics

    Raises
    ------
    ParityFailed, BundleError, MissingInput, BadExport
    """
    used = read_data(data)
    network, settings = load_network(run)
    als = Factorization.load(factors).settings
    prepared, split = Prepared.load(prepared_dir), load_split(run / "split.csv")
    held_out = split.loc[split["part"] == "test", "track_id"]
    tracks = prepared.tracks[prepared.tracks["track_id"].isin(held_out)]
    rows = tracks["row"].to_numpy(np.int64)[:PARITY_CLIPS]
    counts = split.groupby("part")["artist"].nunique().to_dict()
    facts = provenance(
        method="CF estimator, MSE + cosine proximity",
        data=used,
        seed=settings.seed,
        hyperparameters=settings.to_record()
        | {f"als_{name}": value for name, value in asdict(als).items()},
        metrics=_metrics(evaluation) if evaluation else {},
        split="by artist, "
        + ", ".join(f"{part}: {n} artists" for part, n in sorted(counts.items())),
    )
    return export_encoder(network, out, prepared.waveforms(rows), facts, card_version=card_version)


def _metrics(evaluation: Path) -> dict[str, Scalar]:
    facts = read_measures(evaluation)
    metrics: dict[str, Scalar] = {key: facts[key] for key in ("n_clips", "n_items")}
    for method, measures in facts["methods"].items():
        for name, (mean, _, _) in measures.items():
            metrics[f"{method}: {name}"] = round(mean, 4)
    return metrics
