"""The network of a bundle with random weights: seeded, of every output, without any label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.bundle import Bundle, read
from tests.training.evaluation.world import make_windows, write_prepared
from tests.training.networks.tiny_encoder import TinyEncoder
from training.audio.prepared_sets import ClipFolder
from training.audio.windows import Prepared
from training.export.bundle import make_provenance
from training.export.estimator import export_encoder
from training.leaderboard.vectors import untrained_outputs
from training.networks.bundle_outputs import bundle_outputs
from training.networks.siamese import SiameseCNN

pytestmark = pytest.mark.usefixtures("tiny_encoders")


def track(label: str, starts: list[int]) -> list[int]:
    return starts


@pytest.fixture
def data(tmp_path: Path) -> ClipFolder:
    rng = np.random.default_rng(0)
    windows = np.tile(make_windows(rng.uniform(0.05, 0.9, (6, 4)), rng), (1, 2))
    names = [f"t{index}" for index in range(6)]
    tracks = pd.DataFrame({"track_id": names, "item_id": names, "artist": names})
    folder = write_prepared(tmp_path / "set", tracks, windows, TinyEncoder.audio)
    return ClipFolder(folder, Prepared.load(folder))


@pytest.fixture
def bundle(tmp_path: Path, data: ClipFolder) -> Bundle:
    torch.manual_seed(0)
    facts = make_provenance(
        method="untrained",
        data=(),
        seed=0,
        hyperparameters={"width": 4},
        metrics={},
        split="none",
    )
    waveforms = data.prepared.waveforms(data.rows)
    return export_encoder(TinyEncoder(4, 3).eval(), tmp_path / "tiny", waveforms, facts)[0]


def test_the_weights_are_those_of_the_seed_and_not_of_the_bundle(
    data: ClipFolder, bundle: Bundle
) -> None:
    trained = bundle_outputs(bundle, data)
    first, second = (untrained_outputs(bundle, data, seed, track) for seed in (1, 2))
    assert first.keys() == trained.keys() == {"embedding", "features"}
    for name, values in first.items():
        assert values.shape == trained[name].shape
        assert abs(values - trained[name]).max() > 0.01
        assert abs(values - second[name]).max() > 0.01
        assert values.std(0).max() > 0.01  # the clips differ


def test_outputs_are_kept_and_made_again_in_the_same_way(data: ClipFolder, bundle: Bundle) -> None:
    first = untrained_outputs(bundle, data, 1, track)
    (kept,) = data.folder.glob("untrained-*-s1.npz")
    changed_ns = kept.stat().st_mtime_ns
    untrained_outputs(bundle, data, 1, track)
    assert kept.stat().st_mtime_ns == changed_ns
    kept.unlink()
    again = untrained_outputs(read(bundle.folder), data, 1, track)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])


def test_a_network_whose_crops_are_multiples_of_a_frame_gets_statistics_of_seconds(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    network = SiameseCNN(4, 8).eval()
    rng = np.random.default_rng(0)
    windows = rng.uniform(-0.3, 0.3, (3, network.audio.input_samples)).astype(np.float32)
    names = ["a", "b", "c"]
    tracks = pd.DataFrame({"track_id": names, "item_id": names, "artist": names})
    data = ClipFolder(
        folder := write_prepared(tmp_path / "set", tracks, windows, network.audio),
        Prepared.load(folder),
    )
    facts = make_provenance(
        method="untrained", data=(), seed=0, hyperparameters={"width": 4}, metrics={}, split="none"
    )
    made, _ = export_encoder(
        network, tmp_path / "siamese", data.prepared.waveforms(data.rows), facts
    )
    features = untrained_outputs(made, data, 0, track)["features"]
    assert features.shape == (3, 8)
    assert np.isfinite(features).all()
    assert (features > 0).any(0).all()  # every channel lets something through
