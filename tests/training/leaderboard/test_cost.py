"""Costs: operations counted by hand, parameters, and bundles that are measured once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.bundle import Bundle
from tests.bundles import AUDIO, graph_bytes, write_bundle
from training.leaderboard.cells import read_costs
from training.leaderboard.cost import median_cpu_ms, update_costs
from training.leaderboard.entries import Entry, Part
from training.leaderboard.graph_cost import count_flop, count_parameters


def make_graph(
    nodes: list[Any], weights: Mapping[str, tuple[int, ...]], inputs: Mapping[str, tuple[int, ...]]
) -> bytes:
    """A graph of float weights of these shapes; its outputs are those of the last node."""
    constants = [
        numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape[1:]])
        for name, shape in inputs.items()
    ]
    last = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "graph", ends, last, constants)
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())


def flop(nodes: list[Any], weights: dict[str, tuple[int, ...]], shape: tuple[int, ...]) -> int:
    graph = make_graph(nodes, weights, {"x": shape})
    return count_flop(graph, {"x": np.ones(shape, np.float32)})


def test_a_convolution_counts_its_kernel_at_every_place() -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[3], group=2)
    # 20 samples, kernel 5, stride 3: 6 places; 8 filters of 4 / 2 channels each.
    places, kernel = 6, 2 * 5
    counted = flop([node], {"w": (8, 2, 5), "b": (8,)}, (1, 4, 20))
    assert counted == 2 * 8 * places * kernel


def test_a_transposed_convolution_counts_its_kernel_for_every_input() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2])
    assert flop([node], {"w": (4, 3, 5)}, (1, 4, 20)) == 2 * (4 * 20) * (3 * 5)


@pytest.mark.parametrize(("is_transposed", "shape"), [(0, (2, 7)), (1, (7, 2))])
def test_a_matrix_product_counts_its_inner_dimension(
    is_transposed: int, shape: tuple[int, ...]
) -> None:
    gemm = helper.make_node("Gemm", ["x", "w"], ["y"], transA=is_transposed)
    assert flop([gemm], {"w": (7, 5)}, shape) == 2 * 2 * 7 * 5


def test_products_of_a_batch_and_of_tensors_without_a_stated_shape_are_counted() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),  # (1, 3, 7) · (7, 5)
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("Transpose", ["z"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "z"], ["last"]),  # (1, 5, 3) · (1, 3, 5)
    ]
    assert flop(nodes, {"w": (7, 5)}, (1, 3, 7)) == 2 * (3 * 7 * 5) + 2 * (5 * 3 * 5)


def test_parameters_are_the_weights_of_the_network() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    weights = {
        "network.dense.weight": (7, 5),
        "network.norm.running_mean": (5,),
        "mel.basis": (100,),
    }
    assert count_parameters(make_graph([node], weights, {"x": (1, 7)})) == 35
    # An ensemble's networks have names before.
    ensemble = {"first.network.weight": (3,), "second.network.weight": (4,), "first.mel": (9,)}
    assert count_parameters(make_graph([node], ensemble, {"x": (1, 7)})) == 7


def test_of_a_graph_without_such_names_all_floats_are_parameters() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.load_from_string(make_graph([node], {"a": (7, 5), "b": (2,)}, {"x": (1, 7)}))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 3]), "shape"))
    assert count_parameters(graph.SerializeToString()) == 37


def bundle_with_weights(folder: Path, name: str, size: int) -> Bundle:
    """The levels of the tests' bundle, and a convolution over its window that nothing uses."""
    model = onnx.load_from_string(graph_bytes())
    weight = numpy_helper.from_array(np.ones((1, 1, size), np.float32), "network.weight")
    model.graph.initializer.append(weight)
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    model.graph.initializer.append(axes)
    model.graph.node.append(helper.make_node("Unsqueeze", ["waveform", "axes"], ["channel"]))
    model.graph.node.append(helper.make_node("Conv", ["channel", "network.weight"], ["filtered"]))
    return write_bundle(folder, name, bytes(model.SerializeToString()))


def entry(name: str, *bundles: Bundle) -> Entry:
    return Entry(name=name, parts=tuple(Part(bundle=str(bundle.folder)) for bundle in bundles))


def test_an_entry_costs_what_its_different_bundles_cost_together(tmp_path: Path) -> None:
    small, large = (bundle_with_weights(tmp_path, f"b{size}", size) for size in (10, 30))
    mel = Entry(name="mel", parts=(Part(source="mel statistics"),))
    both = entry("both", small, large, small)
    costs = update_costs([entry("one", small), both, mel], tmp_path / "out", n_turns=1)
    assert costs.cpu
    assert costs.entries.keys() == {"one", "both"}
    assert costs.entries["one"].parameters == 10
    assert costs.entries["both"].parameters == 40
    n_samples = AUDIO.input_samples
    mac = 10 * (n_samples - 9), 30 * (n_samples - 29)
    assert costs.entries["one"].mflop == pytest.approx(2 * mac[0] / 1e6, abs=0.005)
    assert costs.entries["both"].mflop == pytest.approx(2 * sum(mac) / 1e6, abs=0.005)
    assert costs.entries["one"].ms.keys() == {"float32"}
    assert costs.entries["both"].bundles == (small.digest, large.digest)


def test_costs_are_measured_again_only_where_an_entry_is_new_or_another_bundle(
    tmp_path: Path,
) -> None:
    out, bundle = tmp_path / "out", bundle_with_weights(tmp_path, "a", 10)
    first = update_costs([entry("one", bundle)], out, n_turns=1)
    changed_ns = (out / "costs.json").stat().st_mtime_ns
    assert update_costs([entry("one", bundle)], out, n_turns=1) == first
    assert (out / "costs.json").stat().st_mtime_ns == changed_ns
    larger = bundle_with_weights(tmp_path, "a", 20)
    assert update_costs([entry("one", larger)], out).entries["one"].parameters == 20
    update_costs([entry("one", larger), entry("two", larger)], out, n_turns=1)
    costs = read_costs(out)
    assert costs
    assert costs.entries.keys() == {"one", "two"}


def test_all_works_take_their_turn_after_a_run_that_does_not_count() -> None:
    done: list[str] = []

    def work(name: str) -> Callable[[], None]:
        return lambda: done.append(name)

    taken_ms = median_cpu_ms({"one": work("one"), "two": work("two")}, 2)
    assert done == ["one", "two"] * 3
    assert taken_ms.keys() == {"one", "two"}
    assert min(taken_ms.values()) >= 0
