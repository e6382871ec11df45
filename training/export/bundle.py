"""A trained network -> its bundle: the graph, and a card with every fact of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from models import bundle
from models.bundle import Bundle
from models.card import NAME, AudioInput, Card, Data, Graph, Head, Kind, Provenance, Scalar
from models.card import Tensor as TensorCard
from training.errors import BadExport
from training.export.onnx_graph import OPSET
from training.networks.mel import WINDOW

GRAPH_FILE, HEAD_FILE = "model.onnx", "head.onnx"
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


def read_data(path: Path) -> tuple[Data, ...]:
    try:
        return TypeAdapter(tuple[Data, ...]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadExport(str(path), f"no JSON list of name, use and licence ({error})") from error


def as_teacher(source: Bundle) -> tuple[Data, ...]:
    """What the teacher was trained on: its licence holds for what it taught, too."""
    return tuple(
        each.model_copy(update={"use": f"teacher ({source.card.name}): {each.use}"})
        for each in source.card.provenance.data
    )
