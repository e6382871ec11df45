"""Bundle of a head on a frozen encoder: both graphs checked, and written with the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.bundle import Bundle
from models.card import Kind, Provenance
from training.export.bundle import PARITY_CLIPS, CheckedHead, write_bundle
from training.export.parity import CheckedGraph, check_outputs
from training.probes.head_graph import ENCODER_OUTPUTS, Predictor, add_head, check_graph
from training.probes.inputs import ProbeInput


@dataclass(frozen=True)
class Destination:
    """Where a bundle is written, and what its card states of serving it."""

    out: Path
    card_version: str = "1.0.0"
    default: bool = True


def write_head_bundle(
    destination: Destination,
    model: Predictor,
    head: bytes,
    source: ProbeInput,
    provenance: Provenance,
    kind: Kind,
    names: tuple[str, ...],
    *,
    multilabel: bool = False,
) -> tuple[Bundle, Mapping[str, float]]:
    """Write the bundle of a head, whose task is that of the source's data set.

    Parameters
    ----------
    model : what the head's graph must predict
    head : the graph from the source's outputs to `probabilities` or `values`
    names : labels or targets, one for each output of the head

    Raises
    ------
    ParityFailed, BadExport, BundleError
    """
    encoder, data, outputs = source.encoder, source.data, source.source
    answer = "values" if kind == "regressor" else "probabilities"
    graph = add_head(encoder, head, outputs, answer)
    clips = np.unique(np.linspace(0, len(data.rows) - 1, PARITY_CLIPS).astype(int))
    waveforms, stored = data.prepared.waveforms(data.rows[clips]), source.values[clips]
    checked = CheckedGraph(head, check_outputs([model.predict(stored)], head, stored))
    tensors = {tensor.name: tensor for tensor in encoder.card.outputs}
    shared = [tensors[name] for name in ENCODER_OUTPUTS]
    return write_bundle(
        destination.out,
        CheckedGraph(graph, check_graph(model, encoder, outputs, graph, waveforms)),
        {answer: len(names)} | {tensor.name: tensor.shape[0] for tensor in shared},
        provenance,
        kind=kind,
        task=data.facts.card_task,
        names=names,
        groups=data.facts.groups,
        meanings={tensor.name: tensor.meaning for tensor in shared},
        head=CheckedHead(checked, encoder, outputs),
        multilabel=multilabel,
        default=destination.default,
        audio=encoder.card.audio,
        architecture=encoder.card.architecture,
        space=encoder.card.space,  # its embedding is the encoder's
        card_version=destination.card_version,
    )
