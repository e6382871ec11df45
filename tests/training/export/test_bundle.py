"""Exported bundles equal the trained network, by the parity check."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from models import bundle
from models.card import Provenance
from models.errors import BundleError
from tests.bundles import write_bundle
from training.errors import ParityFailed
from training.export import bundle as writer
from training.export.estimator import export_encoder
from training.export.parity import CheckedGraph
from training.export.reload import load_network_from_bundle
from training.export.torch_to_onnx import check_parity, to_onnx
from training.networks.cf_estimator import CFEstimator
from training.networks.waveform import WaveformEncoder

PROVENANCE = Provenance(
    method="untrained",
    data=(),
    seed=0,
    hyperparameters={"crop_s": 7.5},
    code_version="test",
    metrics={},
    split="none",
    created=date(2026, 1, 1),
)


@pytest.fixture(scope="module")
def network() -> CFEstimator:
    torch.manual_seed(0)
    network = CFEstimator(32, segment_frames=320)
    for part in network.modules():  # statistics and gains that an export could mix up
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -1, 1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def graph(network: CFEstimator) -> bytes:
    return to_onnx(
        WaveformEncoder(network),
        "waveform",
        CFEstimator.audio.window_samples,
        ["embedding", "features"],
    )


@pytest.fixture(scope="module")
def clips() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (3, 480_000)) * np.array([[0.5], [0.01], [1.0]])
    return np.asarray(noise, np.float32)


def test_onnx_equals_torch_alone_and_together(
    network: CFEstimator, graph: bytes, clips: NDArray[np.float32]
) -> None:
    errors = check_parity(WaveformEncoder(network).eval(), graph, clips)
    assert set(errors) == {"embedding", "features"}
    assert max(errors.values()) < 1e-4


def test_another_network_is_refused(graph: bytes, clips: NDArray[np.float32]) -> None:
    torch.manual_seed(1)
    with pytest.raises(ParityFailed, match="nothing was written"):
        check_parity(WaveformEncoder(CFEstimator(32)).eval(), graph, clips)


def test_the_graph_says_nothing_of_the_machine_it_came_from(graph: bytes) -> None:
    onnx.checker.check_model(onnx.load_from_string(graph))
    assert str(Path(__file__).parents[3]).encode() not in graph
    assert b"site-packages" not in graph


def test_weights_are_read_back_from_the_bundle(
    network: CFEstimator, clips: NDArray[np.float32], tmp_path: Path
) -> None:
    written, _ = export_encoder(network, tmp_path / "model", clips[:1], PROVENANCE)
    again = load_network_from_bundle(written)
    assert isinstance(again, CFEstimator)
    assert again.segment_frames == network.segment_frames
    for name, weight in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(again.state_dict()[name], weight, atol=0, rtol=0)
    with pytest.raises(BundleError, match="does not hold the weights of a cf-estimator"):
        load_network_from_bundle(write_bundle(tmp_path, "levels"))


def test_the_bundle_written_is_one_that_is_accepted(
    network: CFEstimator, clips: NDArray[np.float32], tmp_path: Path
) -> None:
    written, _ = export_encoder(network, tmp_path / "model", clips[:1], PROVENANCE)
    again = bundle.read(tmp_path / "model")
    assert again.digest == written.digest
    assert again.card.output_shape("features") == (32,)
    assert json.loads((tmp_path / "model" / "card.json").read_text())["kind"] == "encoder"


@pytest.mark.parametrize("groups", [{}, {"bright": ("high", "middle"), "dull": ("low",)}])
def test_groups_of_labels_are_in_the_card(
    groups: dict[str, tuple[str, ...]], graph: bytes, tmp_path: Path
) -> None:
    written, _ = writer.write_bundle(
        tmp_path / "pitch",
        CheckedGraph(graph, {}),
        {"probabilities": 3, "embedding": 40, "features": 32},
        PROVENANCE,
        kind="classifier",
        task="pitch",
        audio=CFEstimator.audio,
        architecture=None,
        names=("high", "low", "middle"),
        groups=groups,
    )
    assert bundle.read(written.folder).card.groups == groups
    assert ("groups" in (written.folder / "card.json").read_text()) == bool(groups)
