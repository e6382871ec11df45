"""Encoder export: the best checkpoint of a training run -> a bundle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.card import Provenance, Scalar
from training.audio.patch_cutting import cut_patches
from training.audio.windows import Prepared
from training.cf.als import Factorization
from training.errors import OtherSpace
from training.estimator.artist_split import load_split
from training.estimator.settings import EstimatorSettings
from training.estimator.sources import read_init, read_teacher
from training.estimator.space import Warn, check_space
from training.estimator.train import load_network
from training.evaluation.names import CEILING, MEAN, MEL, NETWORK, ridge_on
from training.evaluation.report import read_measures
from training.export.bundle import (
    PARITY_CLIPS,
    as_source,
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
    space: str | None = None,
    default: bool = True,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Export an encoder and write its bundle, after a parity check on real `windows`.

    Parameters
    ----------
    labels : of the output `tags`, if the encoder has it
    embedding : what the embedding is
    space : the CF space that the embedding lives in; None if it lives in none
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
        space=space,
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
    default: bool = True,
    card_version: str,
    warn: Warn = warnings.warn,
) -> tuple[Bundle, Mapping[str, float]]:
    """Export the best checkpoint of a training run, with the parity check on its test clips.

    Parameters
    ----------
    data : JSON, a list of {name, use, licence}: the training data
    factors : folder of `tasteprint-train factorize`, for the settings and space of the card
    evaluation : folder of `tasteprint-train evaluate`, for the card's metrics
    default : whether the service loads the bundle at the start
    warn : called with what cannot be checked

    Raises
    ------
    OtherSpace
        If run, factors and evaluation are of different CF spaces.
    ParityFailed, BundleError, MissingInput, BadExport
    """
    used = read_data(data)
    network, settings = load_network(run)
    factorization = Factorization.load(factors)
    check_space(run, factorization, factors, warn)
    metrics = read_metrics(evaluation, factorization.space, factors) if evaluation else {}
    prepared, split = Prepared.load(prepared_dir), load_split(run / "split.csv")
    held_out = split.loc[split["part"] == "test", "track_id"]
    tracks = prepared.tracks[prepared.tracks["track_id"].isin(held_out)]
    rows = tracks["row"].to_numpy(np.int64)[:PARITY_CLIPS]
    counts = split.groupby("part")["artist"].nunique().to_dict()
    taught, init = read_teacher(run), read_init(run)
    provenance = make_provenance(
        method=f"{network.title}, MSE + cosine proximity"
        + (f", from the weights of {init.name}" if init else "")
        + (f"; its features learn {taught.output} of {taught.name}" if taught else ""),
        teacher=taught.digest if taught else None,
        data=used
        + (as_source("teacher", taught.name, taught.data) if taught else ())
        + (as_source("initial weights", init.name, init.data) if init else ()),
        seed=settings.seed,
        hyperparameters=settings.to_record()
        | _settings_used(settings, taught=bool(taught), initialised=bool(init))
        | {f"als_{name}": value for name, value in asdict(factorization.settings).items()},
        metrics=metrics,
        split="by artist, "
        + ", ".join(f"{part}: {n} artists" for part, n in sorted(counts.items())),
    )
    return export_encoder(
        network,
        out,
        cut_patches(prepared, network.audio).waveforms(rows),
        provenance,
        space=factorization.space,
        default=default,
        card_version=card_version,
    )


def _settings_used(
    settings: EstimatorSettings, *, taught: bool, initialised: bool
) -> dict[str, Scalar]:
    """Settings that count with a teacher or initial weights alone; stated at their defaults too."""
    used: dict[str, Scalar] = {}
    if taught:
        used |= {
            "teacher_output": settings.teacher_output,
            "teacher_weight": settings.teacher_weight,
        }
    if initialised:
        used |= {"trainable": settings.trainable, "init_lr_scale": settings.init_lr_scale}
    return used


# The methods that a card states the metrics of; the evaluation has more.
CARD_METHODS = (MEAN, ridge_on(MEL), NETWORK, CEILING)


def read_metrics(evaluation: Path, space: str | None, factors: Path) -> dict[str, Scalar]:
    """Metrics for the card; refuses an evaluation in another space than the factors'.

    Those of several sets are named by their set. Folds that were pooled have spaces of their own.

    Parameters
    ----------
    space : None does not compare: metrics of folds, whose factors left out other artists each

    Raises
    ------
    MissingInput, OtherSpace
    """
    measures = read_measures(evaluation)
    measured_in = measures.get("space", space)
    if space is not None and measured_in != space:
        remedy = "give --evaluation the folder of `evaluate` with these factors"
        raise OtherSpace(evaluation, measured_in, factors, space, remedy)
    groups, n_folds = measures["groups"], measures["n_folds"]
    metrics: dict[str, Scalar] = {"n_folds": n_folds} if n_folds > 1 else {}
    for group, measured in groups.items():
        prefix = f"{group}: " if len(groups) > 1 else ""
        metrics |= {f"{prefix}{key}": measured[key] for key in ("n_clips", "n_items")}
        for method in CARD_METHODS:
            for name, (mean, _, _) in measured["methods"][method].items():
                metrics[f"{prefix}{method}: {name}"] = round(mean, 4)
    return metrics
