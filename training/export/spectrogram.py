"""Spectrogram graph: cuts a bundle's float32 graph off behind its log-mel spectrogram."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.utils import Extractor

from models import spectrogram
from models.bundle import Bundle, read, verification_noise
from models.spectrogram import OUTPUT, Spectrogram
from training.errors import BadExport
from training.networks.registry import class_of_card

MEANING = "log-mel power of the network's input, before its first normalisation"


def add_spectrogram(folder: Path) -> Spectrogram:
    """Add the spectrogram graph to a bundle, or replace it; the bundle's digest stays.

    Raises
    ------
    BadExport
        If the graph has no spectrogram of (batch · patches, frames, bands), or the cut one gives
        other numbers than the whole one.
    """
    bundle = read(folder)
    name, graph = bundle.card.name, bundle.card.graph()
    axes = class_of_card(bundle.card).spectrogram_axes
    if axes is None:
        raise BadExport(name, "its network takes no spectrogram")
    model = onnx.load_from_string(bundle.graph_bytes(graph))
    tensor = find_spectrogram(model, name)
    expected = frames_first(run(with_output(model, tensor), tensor, bundle), axes)
    content = cut(model, tensor, axes, expected.ndim)
    if not np.array_equal(run(content, OUTPUT, bundle), expected):
        raise BadExport(name, "the cut graph gives other numbers than the whole one")
    frames, bands = expected.shape[-2:]
    parts = expected.size // (frames * bands)
    described = Spectrogram(
        sha256=hashlib.sha256(content).hexdigest(),
        reference=graph.sha256,
        opset=graph.opset,
        tensor=tensor,
        shape=(parts, frames, bands),
        meaning=MEANING,
    )
    spectrogram.write(bundle, described, content)
    return described


def find_spectrogram(model: onnx.ModelProto, name: str) -> str:
    """Name of the tensor that the network begins with: what its first normalisation takes.

    Raises
    ------
    BadExport
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            tensor: str = node.input[0]
            # The axis of one channel is the network's.
            while tensor in producers and producers[tensor].op_type == "Unsqueeze":
                tensor = producers[tensor].input[0]
            if tensor in producers:
                return tensor
    raise BadExport(name, "its graph has no normalisation of a spectrogram")


def with_output(model: onnx.ModelProto, tensor: str) -> bytes:
    """The whole graph with one of its tensors as an output."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    content: bytes = whole.SerializeToString()
    return content


def run(graph: bytes, output: str, bundle: Bundle) -> NDArray[np.float32]:
    """An output of a graph for the noise that graphs are verified with."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    noise = verification_noise(bundle.card.input.shape)
    (values,) = session.run([output], {bundle.card.input.name: noise})
    return np.asarray(values, np.float32)


def permutation(axes: tuple[int, int], n_axes: int) -> list[int]:
    """Order of axes with time and frequency last; an encoder may count an axis of one channel."""
    frequency, time = (axis if max(axes) < n_axes else axis - 1 for axis in axes)
    return [*(axis for axis in range(n_axes) if axis not in (frequency, time)), time, frequency]


def frames_first(values: NDArray[np.float32], axes: tuple[int, int]) -> NDArray[np.float32]:
    return values.transpose(permutation(axes, values.ndim))


def cut(model: onnx.ModelProto, tensor: str, axes: tuple[int, int], n_axes: int) -> bytes:
    """The nodes that lead to a tensor, as a graph with the output `spectrogram`: (…, T, M)."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    if tensor not in {value.name for value in whole.graph.value_info}:  # as the extractor asks
        whole.graph.value_info.append(
            helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None] * n_axes)
        )
    part = Extractor(whole).extract_model([whole.graph.input[0].name], [tensor])
    order = permutation(axes, n_axes)
    part.graph.node.append(helper.make_node("Transpose", [tensor], [OUTPUT], perm=order))
    part.graph.output.pop()
    part.graph.output.append(
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None] * n_axes)
    )
    onnx.checker.check_model(part)
    content: bytes = part.SerializeToString()
    return content
