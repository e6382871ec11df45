"""Graph of encoder and head together, and its parity check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from models.bundle import Bundle
from models.card import CONCATENATED
from training.errors import BadExport
from training.export.parity import OPSET, check_outputs, without_traces

# Outputs of a bundle with a head, beside the head's own.
ENCODER_OUTPUTS = ("embedding", "features")
# Prefix of every tensor of a head but its input and output, so that no encoder tensor clashes.
PREFIX = "head."
# Names of the encoder outputs that a head takes, in the order of its input.
Source = tuple[str, ...]


class Predictor(Protocol):
    """A fitted model that a head is made of."""

    def predict(self, inputs: NDArray[np.float32], /) -> NDArray[np.float32]:
        """The head's output, shape (n, n_outputs), for inputs of shape (n, dim)."""


def input_name(source: Source) -> str:
    """Name of the head graph's one input, as `models.card.Head.input_name`."""
    return source[0] if len(source) == 1 else CONCATENATED


def add_head(encoder: Bundle, head: bytes, source: Source, output: str) -> bytes:
    """The graph from `waveform` to `output`, `embedding` and `features`; weights keep their names.

    Parameters
    ----------
    source : encoder outputs that are concatenated, in this order, for the head's input

    Raises
    ------
    BadExport
        Where the encoder's graph cannot be converted to the opset of the head.
    """
    base, added = _convert_opset(encoder), onnx.load_from_string(head)
    if len(source) > 1:
        _concatenate(base, source, sum(encoder.card.output_shape(name)[0] for name in source))
    # A model of an older IR version is valid in a newer one.
    base.ir_version = added.ir_version = max(base.ir_version, added.ir_version)
    outputs, name = [output, *ENCODER_OUTPUTS], input_name(source)
    merged = compose.merge_models(base, added, [(name, name)], outputs=outputs, name="probe")
    found = {result.name: result for result in merged.graph.output}
    del merged.graph.output[:]
    merged.graph.output.extend([found[name] for name in outputs])
    merged.graph.doc_string = ""
    return finish(merged, [*base.opset_import, *added.opset_import])


def check_graph(
    model: Predictor, encoder: Bundle, source: Source, graph: bytes, waveforms: NDArray[np.float32]
) -> dict[str, float]:
    """Compare the graph of `add_head` with encoder and scikit-learn model; see `check_outputs`.

    Raises
    ------
    ParityFailed
    """
    # On the CPU, as the graph: a GPU rounds differently.
    session = ort.InferenceSession(
        encoder.graph_bytes(encoder.card.graph()), providers=["CPUExecutionProvider"]
    )
    names = list(dict.fromkeys([*source, *ENCODER_OUTPUTS]))
    outputs = dict(zip(names, session.run(names, {"waveform": waveforms}), strict=True))
    predicted = model.predict(np.concatenate([outputs[name] for name in source], axis=1))
    expected = [predicted, *(outputs[name] for name in ENCODER_OUTPUTS)]
    return check_outputs(expected, graph, waveforms)


def _concatenate(model: onnx.ModelProto, source: Source, dim: int) -> None:
    node = helper.make_node("Concat", list(source), [CONCATENATED], name=CONCATENATED, axis=1)
    model.graph.node.append(node)
    model.graph.output.append(tensor(CONCATENATED, dim))


def _convert_opset(encoder: Bundle) -> onnx.ModelProto:
    model = onnx.load_from_string(encoder.graph_bytes(encoder.card.graph()))
    found = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    if found == OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise BadExport(
            f"encoder {encoder.card.name}",
            f"its graph of opset {found} cannot be converted to {OPSET} ({error}); "
            f"export it at opset {OPSET}",
        ) from error


def initializers(constants: Mapping[str, NDArray[Any]]) -> list[Any]:
    return [numpy_helper.from_array(array, PREFIX + name) for name, array in constants.items()]


def tensor(name: str, size: int) -> Any:
    """Input or output of shape (batch, size)."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])


def finish(model: onnx.ModelProto, opsets: Any) -> bytes:
    """The checked model: every opset domain stated once, no traces of the exporting machine."""
    versions = {opset.domain: opset.version for opset in opsets}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*version) for version in sorted(versions.items()))
    content = without_traces(model)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    return content
