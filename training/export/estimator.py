"""Encoder export: the best checkpoint of a training run -> a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.card import Provenance, Scalar
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.estimator.artist_split import load_split
from training.estimator.report import read_measures
from training.estimator.train import load_network
from training.export.bundle import (
    PARITY_CLIPS,
    make_provenance,
    read_data,
    write_bundle,
)
from training.export.torch_to_onnx import export_checked
from training.networks.base import Encoder
from training.networks.registry import name_of
from training.networks.waveform import WaveformEncoder


def export_encoder(
    network: Encoder,
    folder: Path,
    windows: NDArray[np.float32],
    provenance: Provenance,
    *,
    task: str = "cf-embedding",
    labels: tuple[str, ...] = (),
    embedding: str = "predicted CF item factor",
    default: bool = True,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Export an encoder and write its bundle, after a parity check on real `windows`.

    Parameters
    ----------
    labels : of the output `tags`, if the encoder has it
    embedding : what the embedding is
    default : whether the service loads the bundle at the start

    Raises
    ------
    ParityFailed, BadExport, BundleError
    """
    outputs = {"embedding": network.embedding_dim, "features": network.features_dim}
    outputs |= network.levels
    graph = export_checked(WaveformEncoder(network).eval(), "waveform", windows, list(outputs))
    return write_bundle(
        folder,
        graph,
        outputs,
        provenance,
        kind="encoder",
        task=task,
        audio=network.audio,
        architecture=name_of(network),
        names=labels,
        meanings={"embedding": embedding},
        default=default,
        card_version=card_version,
    )


def export_run(
    run: Path,
    prepared_dir: Path,
    out: Path,
    data: Path,
    factors: Path,
    evaluation: Path | None,
    *,
    card_version: str,
) -> tuple[Bundle, Mapping[str, float]]:
    """Export the best checkpoint of a training run, with the parity check on its test clips.

    Parameters
    ----------
    data : JSON, a list of {name, use, licence}: the training data
    factors : folder of `tasteprint-train factorize`, for the settings of the factorisation
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
    provenance = make_provenance(
        method=f"{network.title}, MSE + cosine proximity",
        data=used,
        seed=settings.seed,
        hyperparameters=settings.to_record()
        | {f"als_{name}": value for name, value in asdict(als).items()},
        metrics=_metrics(evaluation) if evaluation else {},
        split="by artist, "
        + ", ".join(f"{part}: {n} artists" for part, n in sorted(counts.items())),
    )
    return export_encoder(
        network, out, prepared.waveforms(rows), provenance, card_version=card_version
    )


def _metrics(evaluation: Path) -> dict[str, Scalar]:
    measures = read_measures(evaluation)
    metrics: dict[str, Scalar] = {key: measures[key] for key in ("n_clips", "n_items")}
    for method, values in measures["methods"].items():
        for name, (mean, _, _) in values.items():
            metrics[f"{method}: {name}"] = round(mean, 4)
    return metrics
