"""Checkpoint -> bundle: one ONNX graph from waveform to embedding, proven equal to torch."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from models import bundle
from models.card import NAME, AudioInput, Card, Data, Graph, Provenance, Scalar
from models.card import Tensor as TensorCard
from models.errors import BundleError
from training.errors import BadExport, ParityFailed
from training.estimator import crop_frames, load_network
from training.factorize import Factorization
from training.mel import SAMPLE_RATE, ConvMelSpectrogram
from training.networks.cf_estimator import EMBEDDING_DIM, WIDTHS, CFEstimator
from training.prepare import Prepared
from training.report import read_measures
from training.split import load_split

GRAPH_FILE = "model.onnx"
OPSET = 20
WINDOW = AudioInput(sample_rate=SAMPLE_RATE, window_s=30.0, short_audio="repeat", min_audio_s=0.5)
# Of the output's largest absolute value.
PARITY_TOLERANCE = 1e-4
PARITY_CLIPS = 8


class WaveformEncoder(nn.Module):
    """What is exported: waveform (batch, 480000) -> embedding (batch, 40), features (batch, F)."""

    def __init__(self, network: CFEstimator) -> None:
        super().__init__()
        self.mel = ConvMelSpectrogram()
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        embedding, features = self.network(self.mel(waveform))
        return embedding, features


def to_onnx(network: CFEstimator) -> bytes:
    """The network behind its mel spectrogram, as ONNX with a free batch axis."""
    # Exported from a copy in float32 on the CPU, contiguous, in evaluation mode.
    copy = CFEstimator(network.width, network.segment_frames)
    copy.load_state_dict(network.state_dict())
    encoder = WaveformEncoder(copy.eval())
    example = torch.zeros(2, WINDOW.window_samples)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            encoder,
            (example,),
            dynamo=True,
            optimize=False,  # onnxruntime does, and so the weights keep their names
            opset_version=OPSET,
            input_names=["waveform"],
            output_names=["embedding", "features"],
            dynamic_shapes={"waveform": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    model = program.model_proto
    # The exporter notes source files and stack traces of the machine it ran on: leave them out.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


def load_network_from_bundle(source: bundle.Bundle) -> CFEstimator:
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


def check_parity(
    network: nn.Module, graph: bytes, windows: NDArray[np.float32]
) -> dict[str, float]:
    """Largest difference between torch and ONNX, alone and in a batch, relative to the output.

    Parameters
    ----------
    network : a `WaveformEncoder` or what answers like one
    windows : float32, shape (n, window_samples): real clips

    Returns
    -------
    output name → max |onnx - torch| / max |torch|

    Raises
    ------
    ParityFailed
        Where one is over 1e-4.
    """
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with torch.no_grad():
        wanted = [tensor.numpy() for tensor in network(torch.from_numpy(windows))]
    together = session.run(names, {"waveform": windows})
    alone = [session.run(names, {"waveform": window[None]}) for window in windows]
    errors = {}
    for index, name in enumerate(names):
        answers = (together[index], np.concatenate([answer[index] for answer in alone]))
        scale = np.abs(wanted[index]).max()
        errors[name] = max(float(np.abs(got - wanted[index]).max() / scale) for got in answers)
        if not errors[name] <= PARITY_TOLERANCE:
            raise ParityFailed(name, errors[name], PARITY_TOLERANCE)
    return errors


def export_encoder(
    network: CFEstimator,
    folder: Path,
    windows: NDArray[np.float32],
    provenance: Provenance,
    *,
    name: str = "cf-estimator",
    card_version: str = "1.0.0",
) -> tuple[bundle.Bundle, Mapping[str, float]]:
    """Write an encoder's bundle, after parity with torch has been shown on real `windows`.

    Raises
    ------
    ParityFailed, BundleError
    """
    graph = to_onnx(network)
    errors = check_parity(WaveformEncoder(network).eval(), graph, windows)
    card = Card(
        name=name,
        version=card_version,
        kind="encoder",
        task="cf-embedding",
        audio=WINDOW,
        input=TensorCard(
            name="waveform",
            shape=(WINDOW.window_samples,),
            meaning=f"mono audio in [-1, 1] at {SAMPLE_RATE} Hz",
        ),
        outputs=(
            TensorCard(
                name="embedding", shape=(EMBEDDING_DIM,), meaning="predicted CF item factor"
            ),
            TensorCard(
                name="features", shape=(network.width,), meaning="penultimate layer, after pooling"
            ),
        ),
        graphs=(
            Graph(
                file=GRAPH_FILE,
                precision="float32",
                sha256=hashlib.sha256(graph).hexdigest(),
                opset=OPSET,
            ),
        ),
        provenance=provenance,
    )
    return bundle.write(folder, card, {GRAPH_FILE: graph}), errors


def export_run(
    run: Path,
    prepared_dir: Path,
    out: Path,
    data: Path,
    factors: Path,
    evaluation: Path | None,
    *,
    card_version: str,
) -> tuple[bundle.Bundle, Mapping[str, float]]:
    """Export the best checkpoint of a training run; parity is shown on its own test clips.

    Parameters
    ----------
    data : JSON, a list of {name, use, licence}: what the weights were trained on
    factors : folder of `tasteprint-train factorize`, for how the targets were made
    evaluation : folder of `tasteprint-train evaluate`, for the card's metrics

    Raises
    ------
    ParityFailed, BundleError, MissingInput, BadExport
    """
    used = _read_data(data)
    if not re.fullmatch(NAME, out.name):
        raise BadExport(f"the name {out.name!r}", "lower-case letters, digits and hyphens only")
    network, settings = load_network(run)
    als = Factorization.load(factors).settings
    prepared, split = Prepared.load(prepared_dir), load_split(run / "split.csv")
    held_out = split.loc[split["part"] == "test", "track_id"]
    tracks = prepared.tracks[prepared.tracks["track_id"].isin(held_out)]
    rows = tracks["row"].to_numpy(np.int64)[:PARITY_CLIPS]
    counts = split.groupby("part")["artist"].nunique().to_dict()
    provenance = Provenance(
        method="CF estimator, MSE + cosine proximity",
        data=used,
        seed=settings.seed,
        hyperparameters=asdict(settings)
        | {f"als_{name}": value for name, value in asdict(als).items()},
        code_version=f"tasteprint {version('tasteprint')}",
        metrics=_metrics(evaluation) if evaluation else {},
        split="by artist, "
        + ", ".join(f"{part}: {n} artists" for part, n in sorted(counts.items())),
        created=datetime.now(UTC).date(),
    )
    windows = prepared.waveforms(rows)
    return export_encoder(
        network, out, windows, provenance, name=out.name, card_version=card_version
    )


def _read_data(path: Path) -> tuple[Data, ...]:
    try:
        return TypeAdapter(tuple[Data, ...]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadExport(str(path), f"no JSON list of name, use and licence ({error})") from error


def _metrics(evaluation: Path) -> dict[str, Scalar]:
    facts = read_measures(evaluation)
    metrics: dict[str, Scalar] = {key: facts[key] for key in ("n_clips", "n_items")}
    for method, measures in facts["methods"].items():
        for name, (mean, _, _) in measures.items():
            metrics[f"{method}: {name}"] = round(mean, 4)
    return metrics
