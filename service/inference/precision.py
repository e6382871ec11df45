"""Precision: which of a bundle's graphs runs, by what was measured of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import onnxruntime as ort

from models.bundle import Bundle
from models.card import Graph, Precision

log = logging.getLogger("tasteprint")

Wanted = Literal["auto"] | Precision
# Least agreement with the float32 graph's outputs, over real windows, of what is taken unasked.
LEAST_AGREEMENT = 0.999
# What int8 must gain over float32: more than the noise of a measurement, so that another start on
# the same machine chooses the same.
LEAST_GAIN = 1.1
# In turn, the least of each counts; more than two where others blur the difference.
LEAST_RUNS, MOST_RUNS, CLEARLY_LESS = 2, 5, 0.75


def chosen_graph(
    bundle: Bundle, wanted: Wanted, on_gpu: bool, options: ort.SessionOptions
) -> Graph:
    """The graph of a bundle that runs.

    Unasked it is float16 on a GPU and int8 on a CPU, if the card states a least agreement of 0.999
    and, for int8, this machine runs it faster; else float32. A precision that was asked for by name
    is taken whatever its agreement; where the bundle lacks it, float32 and a warning.

    Parameters
    ----------
    options : of the CPU's sessions, to measure with

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    card, there = bundle.card, {graph.precision: graph for graph in bundle.card.graphs}
    if wanted != "auto":
        if wanted not in there:
            log.warning(
                "bundle %s has no %s graph, only %s: float32 runs",
                card.name,
                wanted,
                ", ".join(there),
            )
        return there.get(wanted, card.graph())
    graph = there.get("float16" if on_gpu else "int8")
    if graph is None or graph.agreement is None or graph.agreement.least < LEAST_AGREEMENT:
        return card.graph()
    return graph if on_gpu or is_quicker(bundle, graph, options) else card.graph()


def is_quicker(bundle: Bundle, graph: Graph, options: ort.SessionOptions) -> bool:
    """Whether float32 takes a tenth more of this machine's CPU than that graph, or yet more.

    Raises
    ------
    BundleError
        Or whatever onnxruntime raises.
    """
    runs = [_open_run(bundle, each, options) for each in (bundle.card.graph(), graph)]
    least = [math.inf, math.inf]
    gain = 0.0
    for turn in range(MOST_RUNS):
        least = [min(known, run()) for known, run in zip(least, runs, strict=True)]
        gain = least[0] / least[1]
        if turn + 1 >= LEAST_RUNS and not CLEARLY_LESS <= gain < LEAST_GAIN:
            break
    log.debug("%s: %s is %.2f times as fast", bundle.card.name, graph.precision, gain)
    return gain >= LEAST_GAIN


def _open_run(bundle: Bundle, graph: Graph, options: ort.SessionOptions) -> Callable[[], float]:
    """A run of one window, which says its CPU seconds: nothing else computes during the load."""
    content, card = bundle.graph_bytes(graph), bundle.card
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    silence = {card.input.name: np.zeros((1, *card.input.shape), np.float32)}

    def run() -> float:
        started = time.process_time()
        session.run(None, silence)
        return max(time.process_time() - started, 1e-9)

    return run
