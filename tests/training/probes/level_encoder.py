"""An encoder of several levels: outputs beyond `embedding` and `features`, as a music tagger's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.bundle import Bundle, write
from models.card import AudioInput, Card, Graph
from models.card import Tensor as TensorCard
from tests.bundles import AUDIO
from training.export.bundle import make_provenance, sha256

OPSET = 18
# Each output is the level of equal stretches of the window; `embedding` equals `features`.
SIZES = {"embedding": 2, "features": 2, "quarters": 4, "whole": 1}


def write_level_encoder(
    folder: Path,
    *,
    sizes: Mapping[str, int] = SIZES,
    tags: int = 0,
    labels: tuple[str, ...] = (),
    audio: AudioInput = AUDIO,
) -> Bundle:
    """An encoder named like its folder.

    Parameters
    ----------
    sizes : output → number of stretches
    tags : size of a last output `tags`: sigmoids of a seeded linear map of `embedding`
    labels : names of the tags, for the card
    """
    content = _graph_bytes(sizes, tags, audio)
    outputs = {**sizes, **({"tags": tags} if tags else {})}
    card = Card(
        name=folder.name,
        version="1.0.0",
        kind="encoder",
        task="levels",
        labels=labels,
        audio=audio,
        input=TensorCard(name="waveform", shape=(audio.input_samples,), meaning="mono audio"),
        outputs=tuple(
            TensorCard(name=name, shape=(size,), meaning="levels") for name, size in outputs.items()
        ),
        graphs=(
            Graph(file="model.onnx", precision="float32", sha256=sha256(content), opset=OPSET),
        ),
        provenance=make_provenance(
            method="by hand", data=(), seed=0, hyperparameters={}, metrics={}, split="none"
        ),
    )
    return write(folder, card, {"model.onnx": content})


def _graph_bytes(sizes: Mapping[str, int], tags: int, audio: AudioInput) -> bytes:
    window = audio.input_samples
    nodes = [helper.make_node("Abs", ["waveform"], ["level"])]
    constants: dict[str, NDArray[Any]] = {"last": np.array([2], np.int64)}
    for name, size in sizes.items():
        constants[f"{name}_shape"] = np.array([-1, size, window // size], np.int64)
        nodes += [
            helper.make_node("Reshape", ["level", f"{name}_shape"], [f"{name}_parts"]),
            helper.make_node("ReduceMean", [f"{name}_parts", "last"], [name], keepdims=0),
        ]
    results = dict(sizes)
    if tags:
        results["tags"] = tags
        shape = (sizes["embedding"], tags)
        constants["weight"] = 20 * np.random.default_rng(0).standard_normal(shape)
        constants["offset"] = -0.1 * constants["weight"].sum(0)
        nodes += [
            helper.make_node("MatMul", ["embedding", "weight"], ["weighted"]),
            helper.make_node("Add", ["weighted", "offset"], ["tag_logits"]),
            helper.make_node("Sigmoid", ["tag_logits"], ["tags"]),
        ]
    tensors = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in {"waveform": window, **results}.items()
    }
    initializers = [
        numpy_helper.from_array(
            array if array.dtype == np.int64 else array.astype(np.float32), name
        )
        for name, array in constants.items()
    ]
    waveform, *outputs = tensors.values()
    graph = helper.make_graph(nodes, "levels", [waveform], outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
