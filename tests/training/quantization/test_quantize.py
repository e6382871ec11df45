"""Quantization: calibrated on some windows, measured on others, written beside the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from models.bundle import Bundle, read, write
from models.errors import BundleError
from tests.bundles import AUDIO, graph_bytes, write_bundle, write_task
from tests.convolutions import add_precision, network_bytes, write_network
from tests.training.cli.test_chain import run
from training.audio.windows import read_middle_windows, shuffle_files
from training.errors import BadPrecision
from training.quantization.agreement import measure_agreements, open_cpu, summarize
from training.quantization.equalization import equalize
from training.quantization.float16 import to_float16
from training.quantization.int8 import quantize_nodes, to_int8
from training.quantization.mean_pooling import replace_means
from training.quantization.quantize import quantize
from training.quantization.settings import QuantizeSettings
from training.quantization.subgraph import find_convolutions, find_work_shares, fold_batch_norm

N_FILES, CALIBRATION = 14, 6
CLASSIFIER = network_bytes(adds=("classifier", "features"))


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise that comes and goes, loud and quiet; a file that is no audio; what they are."""
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for index in range(N_FILES):
        levels = np.repeat(rng.uniform(0.001, 1, 20), AUDIO.window_samples // 20)
        noise = rng.uniform(-0.9, 0.9, AUDIO.window_samples) * levels
        soundfile.write(folder / f"{index:02}.wav", noise, AUDIO.sample_rate)
    (folder / "broken.wav").write_bytes(b"no audio")
    (folder / "cover.jpg").write_bytes(b"not read")
    statement = [{"name": "noise", "use": "calibration and agreement", "licence": "ours"}]
    (folder / "data.json").write_text(json.dumps(statement))
    return folder


@pytest.fixture(scope="module")
def windows(audio: Path) -> list[NDArray[np.float32]]:
    return list(read_middle_windows(shuffle_files([audio], seed=0), AUDIO))


def test_the_command_adds_an_int8_graph_and_states_its_agreement(
    audio: Path, windows: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    before = write_task(tmp_path, "mood", content=CLASSIFIER)
    options = ("--audio", audio, "--data", audio / "data.json", "--calibration", str(CALIBRATION))
    output = run("quantize", "--bundle", before.folder, *options, "--least", "0.99")
    after = read(before.folder)
    assert (after.digest, after.card_bytes) == (before.digest, before.card_bytes)
    graph = after.card.graph("int8")
    stated = graph.agreement
    assert stated is not None
    assert f"{stated.windows} windows" in output
    assert stated.windows == len(windows) - CALIBRATION == N_FILES - CALIBRATION
    assert stated.data[0].licence == "ours"
    names = ["embedding", "features", "probabilities"]
    exact, content = (after.graph_bytes(described) for described in (after.card.graph(), graph))
    measured = measure_agreements(exact, content, windows[CALIBRATION:], names)
    assert stated.outputs == summarize(measured)
    assert 0.99 < stated.minimum < 1
    kinds = [node.op_type for node in onnx.load_from_string(after.graph_bytes(graph)).graph.node]
    # Into and out of the one heavy convolution, and out of its mean.
    assert kinds.count("QuantizeLinear") == 3


def test_the_same_seed_makes_the_same_graph(audio: Path, tmp_path: Path) -> None:
    made = [
        made_of(write_bundle(tmp_path / folder, "net", network_bytes()), audio)
        for folder in ("one", "other")
    ]
    assert made[0].card.graph("int8") == made[1].card.graph("int8")


def made_of(bundle: Bundle, audio: Path, **changes: float) -> Bundle:
    settings = {"calibration": CALIBRATION, "least": 0.99} | changes
    chosen = QuantizeSettings("int8", **settings)  # type: ignore[arg-type]
    return quantize(bundle.folder, [audio], audio / "data.json", chosen)[0]


def test_float16_keeps_the_front_end_in_float32(
    audio: Path, windows: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path, "net", network_bytes())
    options = ("--audio", audio, "--data", audio / "data.json", "--precision", "float16")
    run("quantize", "--bundle", bundle.folder, *options)
    after = read(bundle.folder)
    graph = after.card.graph("float16")
    assert graph.agreement
    assert graph.agreement.windows == len(windows)
    assert graph.agreement.minimum > 0.9999
    model = onnx.load_from_string(after.graph_bytes(graph))
    onnx.checker.check_model(model)
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        kinds = {weights[name] for name in node.input if name in weights}
        if node.op_type == "Conv":
            assert kinds == {onnx.TensorProto.FLOAT16}
        else:
            assert onnx.TensorProto.FLOAT16 not in kinds
    (cast,) = [node for node in model.graph.node if "spectrogram" in node.input]
    assert cast.op_type == "Cast"


def test_equalization_does_not_change_the_outputs(
    windows: list[NDArray[np.float32]],
) -> None:
    graph, names = network_bytes(), ["embedding", "features"]
    model = fold_batch_norm(graph)
    equalize(model, find_convolutions(model)[1].name, windows)
    equalized = model.SerializeToString()
    assert equalized != fold_batch_norm(graph).SerializeToString()
    near = measure_agreements(graph, equalized, windows, names)
    assert min(values.min() for values in near.values()) > 1 - 1e-9


def test_equalization_lowers_the_error_of_int8(
    windows: list[NDArray[np.float32]],
) -> None:
    batch, names = np.stack(windows), ["embedding", "features"]
    graph = network_bytes()
    plain, equalized = fold_batch_norm(graph), fold_batch_norm(graph)
    second = find_convolutions(plain)[1].name
    equalize(equalized, second, batch)
    off = []
    for model in (plain, equalized):
        made = quantize_nodes(model, [second], batch).SerializeToString()
        measured = measure_agreements(graph, made, batch, names)
        off.append(1 - min(agreement.mean() for agreement in measured.values()))
    assert off[1] < 0.9 * off[0]


def test_only_a_convolution_with_a_tenth_of_the_work_runs_in_int8(
    windows: list[NDArray[np.float32]],
) -> None:
    graph = network_bytes()
    work = find_work_shares(fold_batch_norm(graph), AUDIO.window_samples)
    assert list(work.values()) == pytest.approx([1 / 17, 16 / 17])
    model = to_int8(graph, np.stack(windows[:CALIBRATION]), 0.99)
    kinds = {name: node.op_type for node in model.graph.node for name in node.output}
    inputs = [kinds[node.input[0]] for node in model.graph.node if node.op_type == "Conv"]
    assert inputs == ["Reshape", "DequantizeLinear"]


@pytest.mark.parametrize("at", ["levels", "heard"])
def test_a_logarithm_beside_the_convolutions_does_not_end_the_front_end(at: str) -> None:
    """Statistics of the decibels, or of what the last convolution makes of them."""
    graph = network_bytes()
    model = onnx.load_from_string(graph)
    model.graph.node.append(helper.make_node("Log", [at], ["statistics"], name="make_statistics"))
    model.graph.output.append(
        helper.make_tensor_value_info("statistics", onnx.TensorProto.FLOAT, None)
    )
    with_statistics = find_convolutions(fold_batch_norm(model.SerializeToString()))
    names = [node.name for node in find_convolutions(fold_batch_norm(graph))]
    assert [node.name for node in with_statistics] == names == ["make_one", "make_two"]


def test_the_mean_over_an_int8_convolution_runs_in_int8(
    windows: list[NDArray[np.float32]],
) -> None:
    model = to_int8(network_bytes(), np.stack(windows[:CALIBRATION]), 0.99)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    (pool,) = [node for node in model.graph.node if node.op_type == "GlobalAveragePool"]
    readers = [node.op_type for node in model.graph.node if pool.output[0] in node.input]
    assert (makers[pool.input[0]], readers) == ("DequantizeLinear", ["QuantizeLinear"])


@pytest.mark.parametrize("keeps_axes", [0, 1])
@pytest.mark.parametrize("axes", [(2, 3), (-1, 2)])
@pytest.mark.parametrize("opset", [17, 18])
def test_a_mean_over_height_and_width_becomes_a_global_average_pool(
    keeps_axes: int, axes: tuple[int, ...], opset: int
) -> None:
    model = mean_model(keeps_axes, axes, opset)
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    before = open_cpu(model.SerializeToString()).run(None, {"images": images})[0]
    assert replace_means(model, "images") == ["mean_pool"]
    after = open_cpu(model.SerializeToString()).run(None, {"images": images})[0]
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_other_means_stay_reduce_means() -> None:
    for axes, tensor in (((1, 2, 3), "images"), ((3,), "images"), ((2, 3), "others")):
        model = mean_model(1, axes, 18)
        before = model.SerializeToString()
        assert replace_means(model, tensor) == []
        assert model.SerializeToString() == before


def mean_model(keeps_axes: int, axes: tuple[int, ...], opset: int) -> onnx.ModelProto:
    """`images` (2, 3, 4, 5) -> their means over the axes, given as that opset has them."""
    constants, inputs = [], ["images"]
    attributes: dict[str, Any] = {"keepdims": keeps_axes, "axes": axes}
    if opset >= 18:
        constants = [numpy_helper.from_array(np.array(attributes.pop("axes"), np.int64), "axes")]
        inputs.append("axes")
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", inputs, ["mean"], name="mean", **attributes)],
        "means",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, (2, 3, 4, 5))],
        [helper.make_tensor_value_info("mean", onnx.TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(
    ("content", "changes", "reason"),
    [
        (graph_bytes(), {}, "no convolution"),
        (
            network_bytes(),
            {"least": 0.9999999},
            r"in int8 keeps a minimum .* make_two 0\.9",
        ),
        (network_bytes(), {"calibration": 100}, f"the audio has {N_FILES}"),
        (network_bytes(), {"calibration": N_FILES - 2}, "at least 4 windows, but 2 are left"),
    ],
)
def test_a_failed_conversion_leaves_the_bundle_unchanged(
    audio: Path, tmp_path: Path, content: bytes, changes: dict[str, float], reason: str
) -> None:
    bundle = write_bundle(tmp_path, "net", content)
    with pytest.raises(BadPrecision, match=reason):
        made_of(bundle, audio, **changes)
    assert {path.name for path in bundle.folder.iterdir()} == {"card.json", "model.onnx"}


def test_a_graph_of_another_float32_graph_is_replaced(audio: Path, tmp_path: Path) -> None:
    bundle = add_precision(write_network(tmp_path, "net"), "int8", graph_bytes(), 1.0)
    add_precision(bundle, "float16", graph_bytes(), 1.0)
    other = write_network(tmp_path / "other", "net", network_bytes(channels=8))
    for name in ("card.json", "model.onnx"):
        (bundle.folder / name).write_bytes((other.folder / name).read_bytes())
    assert made_of(other, audio).card.graph("int8") == made_of(bundle, audio).card.graph("int8")
    with pytest.raises(BundleError, match=r"model\.float16\.json .* another float32 graph"):
        read(bundle.folder)
    quantize(bundle.folder, [audio], audio / "data.json", QuantizeSettings("float16"))
    kinds = [graph.precision for graph in read(bundle.folder).card.graphs]
    assert kinds == ["float32", "float16", "int8"]


def test_a_precision_that_the_card_states_itself_is_refused_before_any_audio_is_read(
    tmp_path: Path,
) -> None:
    bundle = add_precision(write_network(tmp_path, "net"), "int8", graph_bytes(), None)
    files = {graph.file: bundle.graph_bytes(graph) for graph in bundle.card.graphs}
    own = write(bundle.folder, bundle.card, files)
    (tmp_path / "data.json").write_text("[]")
    with pytest.raises(BundleError, match="states a graph in int8 itself"):
        quantize(own.folder, [], tmp_path / "data.json", QuantizeSettings("int8"))
    assert read(own.folder).card == own.card


def test_converted_graphs_declare_only_the_standard_domain(
    windows: list[NDArray[np.float32]],
) -> None:
    graph = network_bytes()
    int8, float16 = to_int8(graph, np.stack(windows[:CALIBRATION]), 0.99), to_float16(graph)
    for model in (fold_batch_norm(graph), int8, float16):
        assert {opset.domain for opset in model.opset_import} == {""}


def test_scaled_values_lower_the_agreement(windows: list[NDArray[np.float32]]) -> None:
    graph = network_bytes(adds=("regressor", "features"))
    louder = onnx.load_from_string(graph)
    (weight,) = [tensor for tensor in louder.graph.initializer if tensor.name == "weight"]
    weight.CopyFrom(numpy_helper.from_array(1.1 * numpy_helper.to_array(weight), "weight"))
    scaled = louder.SerializeToString()
    found = measure_agreements(graph, scaled, windows[:4], ["embedding", "values"])
    assert found["embedding"] == pytest.approx(1, abs=1e-9)
    assert found["values"] == pytest.approx(1 - 0.01 / 2.2, abs=1e-6)
