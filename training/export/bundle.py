"""Bundle writer: checked ONNX graphs and a model's provenance -> a bundle with its card."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from models import bundle
from models.bundle import Bundle
from models.card import NAME, AudioInput, Card, Data, Graph, Head, Kind, Provenance, Scalar
from models.card import Tensor as TensorCard
from training.errors import BadExport
from training.export.parity import OPSET, CheckedGraph
from training.networks.registry import DEFAULT_ENCODER

GRAPH_FILE, HEAD_FILE = "model.onnx", "head.onnx"
PARITY_CLIPS = 8
MEANINGS = {
    "probabilities": "of each label, calibrated; they sum to 1",
    "values": "of each target, in its own unit",
    "embedding": "the encoder's last layer, which the answer is made from",
    "features": "the layer before it, after pooling",
}
MULTILABEL_MEANINGS = {"probabilities": "of each label on its own; they need not sum to 1"}
ENCODER_MEANINGS = MEANINGS | {
    "features": "penultimate layer, after pooling",
    "max_pool": "maximum over time of each channel",
    "mean_pool": "mean over time of each channel",
    "mel_statistics": "mean, standard deviation and mean absolute change in time of each mel band",
    "tags": "probability of each label, mean over the patches",
    "levels": "maximum over time of each of the last three hidden layers, the lowest first",
}


@dataclass(frozen=True)
class CheckedHead:
    """Head graph that passed the parity check; it takes the encoder outputs of `source`, in order.

    Several outputs are concatenated.
    """

    graph: CheckedGraph
    encoder: Bundle
    source: tuple[str, ...]


def make_provenance(
    *,
    method: str,
    data: tuple[Data, ...],
    seed: int,
    hyperparameters: Mapping[str, Scalar],
    metrics: Mapping[str, Scalar],
    split: str,
    teacher: str | None = None,
) -> Provenance:
    """Provenance of a model created now by this version."""
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
    graph: CheckedGraph,
    outputs: Mapping[str, int],
    provenance: Provenance,
    *,
    kind: Kind,
    task: str,
    audio: AudioInput,
    architecture: str | None,
    space: str | None = None,
    names: tuple[str, ...] = (),
    groups: Mapping[str, tuple[str, ...]] = {},
    meanings: Mapping[str, str] = {},
    head: CheckedHead | None = None,
    multilabel: bool = False,
    default: bool = True,
    card_version: str = "1.0.0",
) -> tuple[Bundle, dict[str, float]]:
    """Write the bundle of an encoder, task model or probe, named like its folder, and read it.

    Parameters
    ----------
    outputs : name → dimension, in the graph's order
    architecture : name of the encoder in the registry; None where the card states none
    space : the CF space that the output `embedding` lives in; None if it lives in none
    names : labels of a classifier or of an encoder's tags, or targets of a regressor
    groups : name of a group → labels of a classifier whose probabilities are added
    meanings : of outputs, where they differ from the usual ones
    head : graph that the service runs instead of `graph` if the encoder is loaded
    multilabel : each label of the classifier has a probability of its own
    default : whether the service loads the bundle at the start, not on its first use

    Returns
    -------
    The bundle, and the parity error of each output; those of the head as `head: <name>`.

    Raises
    ------
    BadExport, BundleError
    """
    if not re.fullmatch(NAME, folder.name):
        raise BadExport(f"the name {folder.name!r}", "lower-case letters, digits and hyphens only")
    usual = MEANINGS | (MULTILABEL_MEANINGS if multilabel else {})
    known = (ENCODER_MEANINGS if kind == "encoder" else usual) | dict(meanings)
    digest = sha256(graph.content)
    card = Card(
        name=folder.name,
        version=card_version,
        kind=kind,
        task=task,
        multilabel=multilabel,
        architecture=None if architecture == DEFAULT_ENCODER else architecture,
        space=space,
        default=default,
        labels=names if kind != "regressor" else (),
        groups=dict(groups),
        targets=names if kind == "regressor" else (),
        audio=audio,
        input=TensorCard(
            name="waveform",
            shape=(audio.input_samples,),
            meaning=_input_meaning(audio),
        ),
        outputs=tuple(
            TensorCard(name=name, shape=(size,), meaning=known[name])
            for name, size in outputs.items()
        ),
        graphs=(Graph(file=GRAPH_FILE, precision="float32", sha256=digest, opset=OPSET),),
        head=_describe_head(head) if head else None,
        provenance=provenance,
    )
    files, errors = {GRAPH_FILE: graph.content}, dict(graph.errors)
    if head:
        files[HEAD_FILE] = head.graph.content
        errors |= {f"head: {name}": error for name, error in head.graph.errors.items()}
    return bundle.write(folder, card, files), errors


def _input_meaning(audio: AudioInput) -> str:
    meaning = f"mono audio in [-1, 1] at {audio.sample_rate} Hz"
    return meaning if audio.patches is None else f"{meaning}: the patches, one after another"


def _describe_head(head: CheckedHead) -> Head:
    return Head.model_validate(
        {
            "file": HEAD_FILE,
            "sha256": sha256(head.graph.content),
            "opset": OPSET,
            "encoder": head.encoder.digest,
            "input": head.source if len(head.source) > 1 else head.source[0],
        }
    )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_data(path: Path) -> tuple[Data, ...]:
    """Read the data statement of a card: JSON, a list of {name, use, licence}.

    Raises
    ------
    BadExport
    """
    try:
        return TypeAdapter(tuple[Data, ...]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = f"not a JSON list of {{name, use, licence}} ({error})"
        raise BadExport(str(path), reason) from error


def as_teacher(source: Bundle, role: str = "teacher") -> tuple[Data, ...]:
    """Training data of a teacher: the licences also hold for the models trained on its outputs.

    Parameters
    ----------
    role : what the bundle is to the model
    """
    return as_source(role, source.card.name, source.card.provenance.data)


def as_source(role: str, name: str, data: tuple[Data, ...]) -> tuple[Data, ...]:
    """Training data of the bundle of that name, as the card of a model made with it states it."""
    return tuple(
        stated.model_copy(update={"use": f"{role} ({name}): {stated.use}"}) for stated in data
    )
