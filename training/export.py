"""A trained network -> its bundle: the graph, and a card with every fact of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from models import bundle
from models.card import NAME, AudioInput, Card, Data, Graph, Head, Kind, Provenance, Scalar
from models.card import Tensor as TensorCard
from training.errors import BadExport
from training.estimator import load_network
from training.factorize import Factorization
from training.graph import OPSET, WaveformEncoder, check_parity, to_onnx
from training.mel import SAMPLE_RATE
from training.networks.cf_estimator import CFEstimator
from training.prepare import Prepared
from training.report import read_measures
from training.split import load_split

GRAPH_FILE, HEAD_FILE = "model.onnx", "head.onnx"
WINDOW = AudioInput(sample_rate=SAMPLE_RATE, window_s=30.0, short_audio="repeat", min_audio_s=0.5)
PARITY_CLIPS = 8
MEANINGS = {
    "probabilities": "of each label, calibrated; they sum to 1",
    "values": "of each target, in its own unit",
    "embedding": "the encoder's last layer, which the answer is made from",
    "features": "the layer before it, after pooling",
}
ENCODER_MEANINGS = MEANINGS | {
    "embedding": "predicted CF item factor",
    "features": "penultimate layer, after pooling",
}


def provenance(
    *,
    method: str,
    data: tuple[Data, ...],
    seed: int,
    hyperparameters: Mapping[str, Scalar],
    metrics: Mapping[str, Scalar],
    split: str,
    teacher: str | None = None,
) -> Provenance:
    """Of a model made today by this version."""
    return Provenance(
        method=method,
        teacher=teacher,
        data=data,
        seed=seed,
        hyperparameters=dict(hyperparameters),
        code_version=f"tasteprint {version('tasteprint')}",
        metrics=dict(metrics),
        split=split,
        created=datetime.now(UTC).date(),
    )


def write_bundle(
    folder: Path,
    graph: bytes,
    outputs: Mapping[str, int],
    facts: Provenance,
    *,
    kind: Kind,
    task: str,
    names: tuple[str, ...] = (),
    head: tuple[bytes, Head] | None = None,
    audio: AudioInput = WINDOW,
    card_version: str = "1.0.0",
) -> bundle.Bundle:
    """Write a bundle, its name that of the folder, and read it back.

    Parameters
    ----------
    outputs : name → dimension, in the graph's order
    names : a classifier's labels or a regressor's targets
    head : what a service that has the encoder loaded runs in place of `graph`

    Raises
    ------
    BadExport, BundleError
    """
    if not re.fullmatch(NAME, folder.name):
        raise BadExport(f"the name {folder.name!r}", "lower-case letters, digits and hyphens only")
    meanings = ENCODER_MEANINGS if kind == "encoder" else MEANINGS
    card = Card(
        name=folder.name,
        version=card_version,
        kind=kind,
        task=task,
        labels=names if kind == "classifier" else (),
        targets=names if kind == "regressor" else (),
        audio=audio,
        input=TensorCard(
            name="waveform",
            shape=(audio.window_samples,),
            meaning=f"mono audio in [-1, 1] at {audio.sample_rate} Hz",
        ),
        outputs=tuple(
            TensorCard(name=name, shape=(size,), meaning=meanings[name])
            for name, size in outputs.items()
        ),
        graphs=(Graph(file=GRAPH_FILE, precision="float32", sha256=sha256(graph), opset=OPSET),),
        head=head[1] if head else None,
        provenance=facts,
    )
    files = {GRAPH_FILE: graph} | ({HEAD_FILE: head[0]} if head else {})
    return bundle.write(folder, card, files)


def describe_head(head: bytes, encoder: bundle.Bundle, source: str) -> Head:
    """A head graph's entry in the card; `source` is the encoder's output that it takes."""
    return Head.model_validate(
        {
            "file": HEAD_FILE,
            "sha256": sha256(head),
            "opset": OPSET,
            "encoder": encoder.digest,
            "input": source,
        }
    )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
        hyperparameters=asdict(settings)
        | {f"als_{name}": value for name, value in asdict(als).items()},
        metrics=_metrics(evaluation) if evaluation else {},
        split="by artist, "
        + ", ".join(f"{part}: {n} artists" for part, n in sorted(counts.items())),
    )
    return export_encoder(network, out, prepared.waveforms(rows), facts, card_version=card_version)


def read_data(path: Path) -> tuple[Data, ...]:
    try:
        return TypeAdapter(tuple[Data, ...]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadExport(str(path), f"no JSON list of name, use and licence ({error})") from error


def _metrics(evaluation: Path) -> dict[str, Scalar]:
    facts = read_measures(evaluation)
    metrics: dict[str, Scalar] = {key: facts[key] for key in ("n_clips", "n_items")}
    for method, measures in facts["methods"].items():
        for name, (mean, _, _) in measures.items():
            metrics[f"{method}: {name}"] = round(mean, 4)
    return metrics
