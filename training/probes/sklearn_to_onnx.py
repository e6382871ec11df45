"""scikit-learn to ONNX: a fitted probe as the graph of a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper
from onnx.utils import Extractor
from skl2onnx import to_onnx as sklearn_to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

from training.export.parity import OPSET
from training.probes.head_graph import PREFIX, finish, initializers, tensor
from training.probes.models import HALVES, FittedProbe

ML_OPSET = 3
SCORES = f"{PREFIX}scores"


def to_head(probe: FittedProbe, source: str, dim: int, output: str) -> bytes:
    """The graph from `source`, shape (batch, dim), to `output`, shape (batch, n_outputs).

    Parameters
    ----------
    probe : a classifier is fitted on tracks of every class
    output : `probabilities`, calibrated, or `values`
    """
    machines = getattr(probe.pipeline[-1], "estimators_", [])
    if machines and isinstance(machines[0], (SVC, SVR)):
        body = _make_rbf_machines(probe.pipeline[0], machines, source, dim)
    else:
        body = _convert(probe, source, dim)
    nodes, constants = _make_last_nodes(probe, output)
    graph = helper.make_graph(
        [*body.graph.node, *nodes],
        "head",
        [tensor(source, dim)],
        [tensor(output, len(probe.centre))],
        [*body.graph.initializer, *constants],
    )
    opsets = body.opset_import
    ir_version = helper.find_min_ir_version_for(opsets)
    return finish(helper.make_model(graph, ir_version=ir_version), opsets)


def _convert(probe: FittedProbe, source: str, dim: int) -> onnx.ModelProto:
    """The pipeline converted by skl2onnx, without the output of labels; its output is `SCORES`."""
    last = probe.pipeline[-1]
    is_mlp = isinstance(last, MLPClassifier)
    options: dict[str, bool] = {}
    if probe.is_classifier:  # some converters lack one of the options
        options |= {} if isinstance(last, LinearSVC) else {"zipmap": False}
        options |= {} if is_mlp else {"raw_scores": True}
    model = sklearn_to_onnx(
        probe.pipeline,
        initial_types=[(source, FloatTensorType([None, dim]))],
        options={id(last): options} if options else None,
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    name = model.graph.output[-1].name
    if is_mlp:
        name = next(n.input[0] for n in model.graph.node if n.op_type in ("Softmax", "Sigmoid"))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    # Only the nodes that lead to the scores are kept, not those of the labels.
    model = Extractor(model).extract_model([source], [name])
    del model.graph.value_info[:]  # it lists the input, which must not be renamed
    model = compose.add_prefix(model, PREFIX, rename_inputs=False, rename_outputs=False)
    for node in model.graph.node:
        node.output[:] = [SCORES if output == name else output for output in node.output]
    return model


def _make_rbf_machines(
    scaler: StandardScaler, machines: list[SVC | SVR], source: str, dim: int
) -> onnx.ModelProto:
    """RBF SVMs: Σ weight · exp(-gamma |x - vector|²) + intercept, shape (batch, n_machines).

    In float64, unlike the SVM operators of skl2onnx: weights up to ±C cancel, which in float32 with
    C = 1000 cost nearly 1e-4 of a probability. The machines were fitted on the same tracks, so each
    distance is computed once for all of them.
    """
    rows = np.unique(np.concatenate([machine.support_ for machine in machines]))
    vectors, weights = np.zeros((len(rows), dim)), np.zeros((len(rows), len(machines)))
    for column, machine in enumerate(machines):
        found = np.searchsorted(rows, machine.support_)
        vectors[found], weights[found, column] = machine.support_vectors_, machine.dual_coef_[0]
    constants = {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "vectors": -2 * vectors.T,
        "squares": (vectors**2).sum(1),
        "gamma": np.array(-machines[0].gamma, np.float64),
        "weights": weights,
        "intercepts": np.concatenate([machine.intercept_ for machine in machines]),
        "last_axis": np.array([1], np.int64),
    }
    steps: list[tuple[str, str, list[str], dict[str, Any]]] = [  # |x - v|² = |x|² - 2 x · v + |v|²
        ("Cast", "double", ["input"], {"to": TensorProto.DOUBLE}),
        ("Sub", "centred", ["double", "mean"], {}),
        ("Div", "standard", ["centred", "scale"], {}),
        ("ReduceSumSquare", "length", ["standard", "last_axis"], {}),
        ("MatMul", "products", ["standard", "vectors"], {}),
        ("Add", "beside", ["products", "squares"], {}),
        ("Add", "distances", ["beside", "length"], {}),
        ("Mul", "exponents", ["distances", "gamma"], {}),
        ("Exp", "kernel", ["exponents"], {}),
        ("MatMul", "weighted", ["kernel", "weights"], {}),
        ("Add", "margins", ["weighted", "intercepts"], {}),
        ("Cast", "scores", ["margins"], {"to": TensorProto.FLOAT}),
    ]
    nodes = [
        helper.make_node(op, [PREFIX + name for name in inputs], [PREFIX + result], **more)
        for op, result, inputs, more in steps
    ]
    nodes[0].input[:] = [source]
    graph = helper.make_graph(nodes, "machines", [], [], initializers(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def _make_last_nodes(probe: FittedProbe, output: str) -> tuple[list[Any], list[Any]]:
    """From `SCORES` to the output: nodes and initializers."""
    constants: dict[str, NDArray[Any]] = {}
    if not probe.is_classifier:
        # skl2onnx flattens the output of an MLP with several targets to one column.
        shape = np.array([-1, len(probe.centre)], np.int64)
        constants = {"shape": shape, "spread": probe.spread, "centre": probe.centre}
        nodes = [
            helper.make_node("Reshape", [SCORES, f"{PREFIX}shape"], [f"{PREFIX}rows"]),
            helper.make_node("Mul", [f"{PREFIX}rows", f"{PREFIX}spread"], [f"{PREFIX}scaled"]),
            helper.make_node("Add", [f"{PREFIX}scaled", f"{PREFIX}centre"], [output]),
        ]
        return nodes, initializers(constants)
    logits, nodes = SCORES, []
    if len(probe.centre) == 2:
        # skl2onnx adds the negative of the single score as a column, except for an MLP.
        linear = isinstance(probe.pipeline[-1], (LogisticRegression, LinearSVC))
        constants["halves"] = np.asarray(np.eye(2) / 2 if linear else HALVES, np.float32)
        logits = f"{PREFIX}logits"
        nodes = [helper.make_node("MatMul", [SCORES, f"{PREFIX}halves"], [logits])]
    constants["temperature"] = np.array(probe.temperature, np.float32)
    nodes += [
        helper.make_node("Div", [logits, f"{PREFIX}temperature"], [f"{PREFIX}cooled"]),
        helper.make_node("Softmax", [f"{PREFIX}cooled"], [output], axis=1),
    ]
    return nodes, initializers(constants)
