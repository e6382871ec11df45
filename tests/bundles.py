"""Small bundles that need no training: the service knows of a model only what its card says."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bundle import Bundle, write
from models.card import AudioInput, Card, Graph, Provenance, Tensor

AUDIO = AudioInput(sample_rate=8_000, window_s=1.0, short_audio="repeat", min_audio_s=0.5)
DIM, WIDTH = 40, 4


def graph_bytes(
    *, outputs: tuple[str, ...] = ("embedding", "features"), broken: bool = False
) -> bytes:
    """A graph whose outputs are the levels of stretches of the window; NaN where `broken`."""
    window = AUDIO.window_samples
    sizes = {"embedding": DIM, "features": WIDTH}
    nodes, constants = [helper.make_node("Abs", ["waveform"], ["level"])], []
    for name in outputs:
        shape = np.array([-1, sizes[name], window // sizes[name]], np.int64)
        constants.append(numpy_helper.from_array(shape, f"{name}_shape"))
        nodes += [
            helper.make_node("Reshape", ["level", f"{name}_shape"], [f"{name}_parts"]),
            helper.make_node("ReduceMean", [f"{name}_parts", "last"], [f"{name}_mean"], keepdims=0),
            # The logarithm of a negative number is NaN.
            helper.make_node("Neg" if broken else "Identity", [f"{name}_mean"], [f"{name}_sign"]),
            helper.make_node("Log" if broken else "Sqrt", [f"{name}_sign"], [name]),
        ]
    constants.append(numpy_helper.from_array(np.array([2], np.int64), "last"))
    graph = helper.make_graph(
        nodes,
        "levels",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", window])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", sizes[name]])
            for name in outputs
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_bundle(folder: Path, name: str, content: bytes | None = None) -> Bundle:
    """A bundle of that name in `folder`, with the graph given or a good one."""
    content = graph_bytes() if content is None else content
    card = Card(
        name=name,
        version="1.0.0",
        kind="encoder",
        task="levels",
        audio=AUDIO,
        input=Tensor(name="waveform", shape=(AUDIO.window_samples,), meaning="mono audio"),
        outputs=(
            Tensor(name="embedding", shape=(DIM,), meaning="levels"),
            Tensor(name="features", shape=(WIDTH,), meaning="levels"),
        ),
        graphs=(
            Graph(
                file="model.onnx",
                precision="float32",
                sha256=sha256(content).hexdigest(),
                opset=18,
            ),
        ),
        provenance=Provenance(
            method="by hand",
            data=(),
            seed=0,
            hyperparameters={},
            code_version="test",
            metrics={},
            split="none",
            created=date(2026, 1, 1),
        ),
    )
    return write(folder / name, card, {"model.onnx": content})
