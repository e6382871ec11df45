"""A small encoder of two gated convolutions on levels in decibels; bundles of several graphs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bundle import Bundle, add_graph
from models.card import Agreement, Cosine, Data, Graph, Precision
from tests.bundles import (
    AUDIO,
    DIM,
    OPSET,
    OUTPUT,
    SIZES,
    WIDTH,
    Doing,
    Input,
    _head,
    _named,
    write_bundle,
)

# Of the inner channels: a tensor's one scale leaves the quieter of them few steps.
GAINS = (1.0, 0.5, 0.1, 0.02)
FRAMES, BANDS = 100, 80


def network_bytes(*, channels: int = 16, adds: tuple[Doing, Input] | None = None) -> bytes:
    """Waveform (batch, 8000) -> decibels (batch, 1, 100, 80) -> convolutions -> both outputs.

    Parameters
    ----------
    channels : the work grows with their square
    adds : as in `graph_bytes`
    """
    rng = np.random.default_rng(0)
    gains = np.resize(GAINS, channels)[:, None, None, None]
    weights: dict[str, Any] = {
        "first": rng.standard_normal((channels, 1, 3, 3)) * gains,
        "second": rng.standard_normal((channels, channels, 3, 3)),
        "project": rng.standard_normal((channels, WIDTH)),
        "embed": rng.standard_normal((WIDTH, DIM)),
        "tiny": np.array([1e-5]),
        "tenth": np.array([0.1]),
    }
    constants = [
        numpy_helper.from_array(np.asarray(w, np.float32), name) for name, w in weights.items()
    ]
    shape = np.array([-1, 1, FRAMES, BANDS], np.int64)
    constants.append(numpy_helper.from_array(shape, "image"))
    constants.append(numpy_helper.from_array(np.array([2, 3], np.int64), "pixels"))
    steps: Sequence[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Mul", ["waveform", "waveform"], "power", {}),
        ("Add", ["power", "tiny"], "loud", {}),
        ("Log", ["loud"], "decibels", {}),
        ("Mul", ["decibels", "tenth"], "levels", {}),
        ("Reshape", ["levels", "image"], "spectrogram", {}),
        ("Conv", ["spectrogram", "first"], "one", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["one"], "positive", {}),
        ("Conv", ["positive", "second"], "two", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["two"], "heard", {}),
        ("ReduceMean", ["two", "pixels"], "level", {"keepdims": 0}),
        ("Sigmoid", ["level"], "share", {}),
        ("Unsqueeze", ["share", "pixels"], "gate", {}),
        ("Mul", ["heard", "gate"], "gated", {}),
        ("ReduceMean", ["gated", "pixels"], "pooled", {"keepdims": 0}),
        ("MatMul", ["pooled", "project"], "features", {}),
        ("MatMul", ["features", "embed"], "embedding", {}),
    ]
    nodes = [
        helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes)
        for kind, inputs, output, attributes in steps
    ]
    ends = [("waveform", AUDIO.window_samples), *SIZES.items()]
    if adds is not None:
        head_nodes, head_constants = _head(*adds)
        nodes, constants = nodes + head_nodes, constants + head_constants
        ends.append((OUTPUT[adds[0]], len(_named(adds[0]))))
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in ends
    ]
    graph = helper.make_graph(nodes, "network", infos[:1], infos[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_network(folder: Path, name: str, content: bytes | None = None) -> Bundle:
    return write_bundle(folder, name, network_bytes() if content is None else content)


def add_precision(
    bundle: Bundle, precision: Precision, content: bytes, least: float | None
) -> Bundle:
    """The bundle with that graph too, which states this least agreement; None states none."""
    agreement = Agreement(
        reference=bundle.card.graph().sha256,
        windows=10,
        outputs={tensor.name: Cosine(mean=1.0, least=least or 0) for tensor in bundle.card.outputs},
        data=(Data(name="noise", use="agreement", licence="ours"),),
    )
    graph = Graph(
        file=f"model.{precision}.onnx",
        precision=precision,
        sha256=sha256(content).hexdigest(),
        opset=OPSET,
        agreement=None if least is None else agreement,
    )
    return add_graph(bundle, graph, content)
