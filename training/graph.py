"""Network -> ONNX graph, proven equal to torch; and back, weight by weight."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import Bundle
from models.errors import BundleError
from training.errors import ParityFailed
from training.fitting import crop_frames
from training.mel import FoldedMelSpectrogram
from training.networks.cf_estimator import WIDTHS, CFEstimator
from training.networks.task_model import TaskModel

OPSET = 20
# Of the output's largest absolute value.
PARITY_TOLERANCE = 1e-4


class WaveformEncoder(nn.Module):
    """Waveform (batch, n_samples) -> embedding (batch, 40), features (batch, F)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.mel = FoldedMelSpectrogram()
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        embedding, features = self.network(self.mel(waveform))
        return embedding, features


class WaveformTaskModel(nn.Module):
    """Waveform (batch, n_samples) -> probabilities or values, embedding, features."""

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.mel = FoldedMelSpectrogram()
        self.model = model
        self.softmax = softmax

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs, embedding, features = self.model(self.mel(waveform))
        return outputs.softmax(1) if self.softmax else outputs, embedding, features


class OutputLayer(nn.Module):
    """What a task model adds to its encoder: embedding (batch, 40) -> probabilities or values."""

    def __init__(self, model: TaskModel, *, softmax: bool) -> None:
        super().__init__()
        self.model = TaskModel(nn.Identity(), model.decide.out_features)
        state = model.state_dict()
        self.model.load_state_dict({name: state[name] for name in self.model.state_dict()})
        self.softmax = softmax

    def forward(self, embedding: Tensor) -> Tensor:
        outputs = self.model.output(embedding)
        return outputs.softmax(1) if self.softmax else outputs


def to_onnx(
    module: nn.Module, input_name: str, input_size: int, output_names: Sequence[str]
) -> bytes:
    """A module from (batch, input_size) to its outputs, as ONNX with a free batch axis."""
    # Exported from a copy in float32 on the CPU, contiguous, in evaluation mode.
    exported = copy.deepcopy(module).to("cpu", torch.float32).eval()
    exported = exported.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            exported,
            (torch.zeros(2, input_size),),
            dynamo=True,
            optimize=False,  # onnxruntime does, and so the weights keep their names
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    return without_traces(program.model_proto)


def without_traces(model: onnx.ModelProto) -> bytes:
    """The model without the source files and stack traces of the machine that exported it."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


def check_parity(network: nn.Module, graph: bytes, inputs: NDArray[np.float32]) -> dict[str, float]:
    """Largest difference between torch and ONNX, alone and in a batch, relative to the output.

    Parameters
    ----------
    network : what was exported, in evaluation mode
    inputs : float32, shape (n, …): of real clips

    Returns
    -------
    output name → max |onnx - torch| / max |torch|

    Raises
    ------
    ParityFailed
        Where one is over 1e-4.
    """
    with torch.no_grad():
        answers = network(torch.from_numpy(inputs))
    wanted = [tensor.numpy() for tensor in (answers if isinstance(answers, tuple) else (answers,))]
    return check_answers(wanted, graph, inputs)


def check_answers(
    wanted: Sequence[NDArray[np.float32]], graph: bytes, inputs: NDArray[np.float32]
) -> dict[str, float]:
    """As `check_parity`, against known answers: one array an output of the graph, in its order."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    source = session.get_inputs()[0].name
    together = session.run(names, {source: inputs})
    alone = [session.run(names, {source: each[None]}) for each in inputs]
    errors = {}
    for index, name in enumerate(names):
        answers = (together[index], np.concatenate([answer[index] for answer in alone]))
        scale = np.abs(wanted[index]).max()
        errors[name] = max(float(np.abs(got - wanted[index]).max() / scale) for got in answers)
        if not errors[name] <= PARITY_TOLERANCE:
            raise ParityFailed(name, errors[name], PARITY_TOLERANCE)
    return errors


def load_network_from_bundle(source: Bundle) -> CFEstimator:
    """The network of an exported encoder, its weights read back from the graph by name.

    Raises
    ------
    BundleError
        Where the graph does not hold a CF estimator.
    """
    width = source.card.output_shape("features")[0]
    segment_frames = crop_frames(float(source.card.provenance.hyperparameters.get("crop_s") or 0))
    network = CFEstimator(width, segment_frames) if width in WIDTHS else None
    graph = onnx.load_from_string(source.graph_bytes(source.card.graph())).graph
    found = {tensor.name: tensor for tensor in graph.initializer}
    names = set(network.state_dict()) if network else set()
    counted = {name for name in names if not name.endswith("num_batches_tracked")}
    if network is None or not {f"network.{name}" for name in counted} <= found.keys():
        raise BundleError(f"bundle {source.card.name}: its graph is not of a CF estimator")
    weights = {name: onnx.numpy_helper.to_array(found[f"network.{name}"]) for name in counted}
    network.load_state_dict(
        {name: torch.tensor(weight) for name, weight in weights.items()}, strict=False
    )
    return network.eval()
