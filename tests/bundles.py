"""Small bundles that need no training: the service knows of a model only what its card says."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bundle import CARD, Bundle, read, write
from models.card import CONCATENATED, AudioInput, Card, Graph, Head, Provenance, Tensor

AUDIO = AudioInput(sample_rate=8_000, window_s=1.0, short_audio="repeat", min_audio_s=0.5)
DIM, WIDTH = 40, 4
SIZES = {"embedding": DIM, "features": WIDTH}
# Further outputs of an encoder, in the order of its card.
LEVELS = {"fine": 8, "coarse": 2}
LABELS, TARGETS = ("calm", "loud", "odd"), ("arousal", "valence")
OUTPUT = {"classifier": "probabilities", "tagger": "probabilities", "regressor": "values"}
LAST = {"classifier": "Softmax", "tagger": "Sigmoid", "regressor": "Identity"}
OPSET = 18

# A tagger is a classifier whose labels each have a probability of their own.
Doing = Literal["classifier", "tagger", "regressor"]
# One output of an encoder or several.
Input = str | tuple[str, ...]


def graph_bytes(
    *,
    outputs: tuple[str, ...] = ("embedding", "features"),
    broken: bool = False,
    root: str = "Sqrt",
    limit: float | None = None,
    adds: tuple[Doing, Input] | None = None,
    audio: AudioInput = AUDIO,
) -> bytes:
    """A graph whose outputs are the levels of stretches of the window; NaN where `broken`.

    Parameters
    ----------
    root : the operator that makes outputs of mean levels; another one makes another encoder
    limit : the mean level above which the outputs are NaN; noise of ±0.5 has 0.25
    adds : what a task model has on top, and from which of the outputs: see `head_bytes`
    """
    window = audio.input_samples
    nodes, constants = [helper.make_node("Abs", ["waveform"], ["level"])], []
    for name in dict.fromkeys((*outputs, *(_output_names(adds[1]) if adds else ()))):
        size = _size(name)
        shape = np.array([-1, size, window // size], np.int64)
        constants.append(numpy_helper.from_array(shape, f"{name}_shape"))
        nodes += [
            helper.make_node("Reshape", ["level", f"{name}_shape"], [f"{name}_parts"]),
            helper.make_node("ReduceMean", [f"{name}_parts", "last"], [f"{name}_mean"], keepdims=0),
            # The logarithm of a negative number is NaN.
            helper.make_node("Neg" if broken else "Identity", [f"{name}_mean"], [f"{name}_sign"]),
            helper.make_node("Log" if broken else root, [f"{name}_sign"], [f"{name}_root"]),
            helper.make_node("Add", [f"{name}_root", "nothing"], [name]),
        ]
    constants.append(numpy_helper.from_array(np.array([2], np.int64), "last"))
    nodes[1:1] = _nothing(constants, limit)
    results = {name: _size(name) for name in outputs}
    if adds is not None:
        head_nodes, head_constants = _head(*adds)
        nodes, constants = nodes + head_nodes, constants + head_constants
        results[OUTPUT[adds[0]]] = len(_named(adds[0]))
    return _serialise(nodes, constants, {"waveform": window}, results)


def head_bytes(doing: Doing, on: Input, *, seed: int = 0, dim: int | None = None) -> bytes:
    """The last layer alone, from an encoder's outputs; `seed` and `dim` make one that does not fit.

    The probabilities or values are a seeded linear map of the input.
    """
    nodes, constants = _last_layer(doing, on, seed, dim)
    size = _size(on) if dim is None else dim
    return _serialise(nodes, constants, {_joined(on): size}, {OUTPUT[doing]: len(_named(doing))})


def _output_names(on: Input) -> tuple[str, ...]:
    return (on,) if isinstance(on, str) else on


def _joined(on: Input) -> str:
    """Name of a head's input."""
    return on if isinstance(on, str) else CONCATENATED


def _size(on: Input) -> int:
    return sum((SIZES | LEVELS)[name] for name in _output_names(on))


def _nothing(constants: list[Any], limit: float | None) -> list[Any]:
    """Nodes that make `nothing`: 0, or NaN where the mean level is above the limit."""
    if limit is None:
        constants.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
        return []
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "samples"))
    constants.append(numpy_helper.from_array(np.array([limit], np.float32), "limit"))
    return [
        helper.make_node("ReduceMean", ["level", "samples"], ["loudness"]),
        helper.make_node("Sub", ["limit", "loudness"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),  # NaN where there is no room
        helper.make_node("Sub", ["root", "root"], ["nothing"]),
    ]


def _head(doing: Doing, on: Input) -> tuple[list[Any], list[Any]]:
    nodes, constants = _last_layer(doing, on)
    if isinstance(on, tuple):
        nodes.insert(0, helper.make_node("Concat", list(on), [CONCATENATED], axis=-1))
    return nodes, constants


def _last_layer(
    doing: Doing, on: Input, seed: int = 0, dim: int | None = None
) -> tuple[list[Any], list[Any]]:
    shape = (_size(on) if dim is None else dim, len(_named(doing)))
    weight = 3 * np.random.default_rng(seed).standard_normal(shape)
    constants = [numpy_helper.from_array(weight.astype(np.float32), "weight")]
    nodes = [
        helper.make_node("MatMul", [_joined(on), "weight"], ["logits"]),
        helper.make_node(LAST[doing], ["logits"], [OUTPUT[doing]]),
    ]
    return nodes, constants


def _named(doing: Doing) -> tuple[str, ...]:
    return TARGETS if doing == "regressor" else LABELS


def _serialise(
    nodes: list[Any], constants: list[Any], inputs: dict[str, int], outputs: dict[str, int]
) -> bytes:
    def ends(sizes: dict[str, int]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
            for name, size in sizes.items()
        ]

    graph = helper.make_graph(nodes, "levels", ends(inputs), ends(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_bundle(
    folder: Path,
    name: str,
    content: bytes | None = None,
    audio: AudioInput = AUDIO,
    *,
    levels: bool = False,
) -> Bundle:
    """An encoder of that name in `folder`, with the graph given or a good one.

    Parameters
    ----------
    levels : whether it has the outputs `LEVELS` too
    """
    sizes = SIZES | LEVELS if levels else SIZES
    content = graph_bytes(outputs=tuple(sizes), audio=audio) if content is None else content
    return write(folder / name, _card(name, content, audio, sizes), {"model.onnx": content})


def small_models(folder: Path) -> dict[str, object]:
    """Settings of a service that starts quickly: one small model in `folder`, and one decoder."""
    write_bundle(folder / "models", "levels")
    return {"models_dir": folder / "models", "default_model": "levels", "decode_workers": 1}


def write_task(
    folder: Path,
    name: str,
    doing: Doing = "classifier",
    *,
    task: str = "mood",
    content: bytes | None = None,
    audio: AudioInput = AUDIO,
    groups: dict[str, tuple[str, ...]] | None = None,
) -> Bundle:
    """A classifier or regressor with a graph of its own."""
    if content is None:
        content = graph_bytes(adds=(doing, "embedding"), audio=audio)
    card = _task_card(_card(name, content, audio), doing, task, groups=groups)
    return write(folder / name, card, {"model.onnx": content})


def write_head(
    folder: Path,
    name: str,
    encoder: str,
    doing: Doing = "classifier",
    *,
    on: Input = "features",
    task: str = "mood",
    head: bytes | None = None,
    audio: AudioInput = AUDIO,
    groups: dict[str, tuple[str, ...]] | None = None,
) -> Bundle:
    """A classifier or regressor that is a head on the encoder of that digest."""
    content = graph_bytes(adds=(doing, on), audio=audio)
    head = head_bytes(doing, on) if head is None else head
    part = Head(
        file="head.onnx", sha256=sha256(head).hexdigest(), opset=OPSET, encoder=encoder, input=on
    )
    card = _task_card(_card(name, content, audio), doing, task, part, groups=groups)
    return write(folder / name, card, {"model.onnx": content, "head.onnx": head})


def in_space(bundle: Bundle, space: str) -> Bundle:
    """The bundle with a card that states a CF space."""
    card = bundle.card.model_copy(update={"space": space})
    (bundle.folder / CARD).write_text(card.model_dump_json(indent=2) + "\n")
    return read(bundle.folder)


def _card(
    name: str, content: bytes, audio: AudioInput, sizes: dict[str, int] | None = None
) -> Card:
    return Card(
        name=name,
        version="1.0.0",
        kind="encoder",
        task="levels",
        audio=audio,
        input=Tensor(name="waveform", shape=(audio.input_samples,), meaning="mono audio"),
        outputs=tuple(
            Tensor(name=output, shape=(size,), meaning="levels")
            for output, size in (sizes or SIZES).items()
        ),
        graphs=(
            Graph(
                file="model.onnx",
                precision="float32",
                sha256=sha256(content).hexdigest(),
                opset=OPSET,
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


def _task_card(
    card: Card,
    doing: Doing,
    task: str,
    head: Head | None = None,
    *,
    groups: dict[str, tuple[str, ...]] | None = None,
) -> Card:
    named = _named(doing)
    result = Tensor(name=OUTPUT[doing], shape=(len(named),), meaning="one each")
    changes = {
        "kind": "regressor" if doing == "regressor" else "classifier",
        "task": task,
        "targets" if doing == "regressor" else "labels": named,
        "multilabel": doing == "tagger",
        "groups": groups or {},
        "outputs": (*card.outputs, result),
        "head": head,
    }
    return Card.model_validate(dict(card) | changes)
