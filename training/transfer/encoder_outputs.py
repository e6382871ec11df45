"""What a bundle says of every track of a prepared data set, computed once and kept beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import Bundle, verify_session
from models.card import AudioInput
from models.files import write_atomically
from training.audio.windows import SOURCE
from training.cf.settings import AlsSettings
from training.datasets.prepared import TaskData
from training.errors import BadTeacher
from training.networks.base import Encoder
from training.networks.cf_estimator import CFEstimator
from training.networks.inference import onnx_forward, run_over_rows, torch_forward
from training.networks.task_model import TaskModel, encoder_of

Outputs = dict[str, NDArray[np.float32]]
# Random weights need the statistics of what they hear; of so many crops.
STATISTICS_BATCHES, STATISTICS_CROPS = 8, 32


def bundle_outputs(source: Bundle, data: TaskData) -> Outputs:
    """Output name → float32, shape (n_tracks, dim): a frozen encoder is run once a data set."""
    path = data.folder / f"outputs-{source.digest[:16]}.npz"
    if not is_current(path, data):
        session = ort.InferenceSession(
            source.graph_bytes(source.card.graph()), providers=providers()
        )
        verify_session(source.card, session)
        names = [tensor.name for tensor in source.card.outputs]
        outputs = run_over_rows(onnx_forward(session, names), data.prepared, data.rows)
        _save(path, data, dict(zip(names, outputs, strict=True)))
    return {name: values for name, values in np.load(path).items() if name != "rows"}


def is_current(path: Path, data: TaskData) -> bool:
    """Whether the file has an entry for just the tracks that the data set has now."""
    if not path.exists():
        return False
    known = np.load(path)
    return "rows" in known and np.array_equal(known["rows"], data.rows)


def require_encoder(source: Bundle, data: TaskData) -> None:
    """Refuse as a teacher what is no encoder, or hears other windows than the data set's.

    A classifier would have seen the labels of the tracks that are to judge.

    Raises
    ------
    BadTeacher
    """
    if source.card.kind != "encoder":
        raise BadTeacher(source.card.name, f"is a {source.card.kind}; give an encoder's bundle")
    heard = AudioInput.model_validate(json.loads((data.folder / SOURCE).read_text())["audio"])
    if heard != source.card.audio:
        raise BadTeacher(
            source.card.name,
            f"hears {source.card.audio}, and the windows in {data.folder} are {heard}; "
            "decode the set for that encoder",
        )


def providers() -> list[str]:
    """CUDA where torch finds a GPU: onnxruntime lists it also where there is none."""
    cuda = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    return [*cuda, "CPUExecutionProvider"]


def untrained_features(data: TaskData, width: int, seed: int) -> NDArray[np.float32]:
    """Features of a CF estimator that learnt nothing, shape (n_tracks, width).

    Its weights are random; its batch norms have the statistics of crops of this data set, for
    without them the first one passes nothing on. No label is used.
    """
    path = data.folder / f"untrained-w{width}-s{seed}.npz"
    if not is_current(path, data):
        torch.manual_seed(seed)
        network = CFEstimator.build(
            width=width,
            embedding_dim=AlsSettings.factors,
            crop_s=CFEstimator.crop_multiple / CFEstimator.audio.sample_rate,
        )
        rng = np.random.default_rng(0)
        gather_statistics(network, (_crops(data, rng) for _ in range(STATISTICS_BATCHES)))
        _, features = hear(network.eval(), data, data.rows)
        _save(path, data, {"features": features})
    return np.asarray(np.load(path)["features"])


def hear(
    network: Encoder | TaskModel, data: TaskData, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], ...]:
    """Each of a network's outputs for whole windows: arrays of shape (len(rows), dim)."""
    forward = torch_forward(network, encoder_of(network).make_front_end())
    return run_over_rows(forward, data.prepared, rows)


def gather_statistics(network: Encoder, waveforms: Iterable[Tensor]) -> None:
    """Give every batch norm the mean statistics of what is heard, each (batch, n_samples)."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over what is heard
    front_end = network.make_front_end()
    with torch.no_grad():
        for each in waveforms:
            network(front_end(each))


def _crops(data: TaskData, rng: np.random.Generator) -> Tensor:
    rows = rng.choice(data.rows, STATISTICS_CROPS)
    return torch.from_numpy(data.prepared.waveforms(rows)[:, : CFEstimator.crop_multiple])


def _save(path: Path, data: TaskData, outputs: Outputs) -> None:
    with write_atomically(path) as part, part.open("wb") as file:
        np.savez(file, rows=data.rows, **outputs)  # type: ignore[arg-type]
