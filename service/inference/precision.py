"""Precision selection: which of a bundle's graphs (float32, float16, int8) runs on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import onnxruntime as ort

from models.bundle import Bundle
from models.card import Graph, Precision
from service.inference.benchmark import is_faster

log = logging.getLogger("tasteprint")

PrecisionSetting = Literal["auto"] | Precision
# Minimum agreement of a graph's outputs with the float32 graph's, over real windows, for a graph
# that is chosen automatically.
MIN_AGREEMENT = 0.999


def choose_graph(
    bundle: Bundle, requested: PrecisionSetting, on_gpu: bool, options: ort.SessionOptions
) -> Graph:
    """Choose the graph of a bundle to run.

    `auto` chooses float16 on a GPU and int8 on a CPU, if the card states a minimum agreement of at
    least 0.999 and, for int8, this machine runs it faster; else float32. A precision that is set by
    name is used whatever its agreement; if the bundle has no such graph, float32 is used and a
    warning is logged.

    Parameters
    ----------
    options : options of the CPU sessions for the measurement, with one intra-op thread

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    card, graphs = bundle.card, {graph.precision: graph for graph in bundle.card.graphs}
    if requested != "auto":
        if requested not in graphs:
            log.warning(
                "bundle %s has no %s graph, only %s: float32 runs",
                card.name,
                requested,
                ", ".join(graphs),
            )
        return graphs.get(requested, card.graph())
    graph = graphs.get("float16" if on_gpu else "int8")
    if graph is None or graph.agreement is None or graph.agreement.minimum < MIN_AGREEMENT:
        return card.graph()
    return graph if on_gpu or _is_faster_graph(bundle, graph, options) else card.graph()


def _is_faster_graph(bundle: Bundle, graph: Graph, options: ort.SessionOptions) -> bool:
    """Whether the graph takes less CPU time per window than the float32 graph on this machine.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    candidate = _open_run(bundle, graph, options)
    baseline = _open_run(bundle, bundle.card.graph(), options)
    # CPU time, since other work blurs wall-clock time; of this thread, in which sessions with one
    # intra-op thread run, since requests may be computed beside the loading of a model.
    faster = is_faster(candidate, baseline, clock=time.thread_time)
    log.debug("%s: %s is%s faster", bundle.card.name, graph.precision, "" if faster else " not")
    return faster


def _open_run(bundle: Bundle, graph: Graph, options: ort.SessionOptions) -> Callable[[], object]:
    """A run of the graph on one silent window."""
    content, card = bundle.graph_bytes(graph), bundle.card
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    silence = {card.input.name: np.zeros((1, *card.input.shape), np.float32)}
    return lambda: session.run(None, silence)
