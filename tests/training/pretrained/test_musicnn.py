"""MusiCNN's weights: from a wheel to a bundle that gives the same numbers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models.bundle import read
from tests.sounds import golden, write
from tests.training.cli.test_chain import run
from tests.training.networks.test_musicnn import randomise
from tests.training.pretrained.checkpoints import published_variables, write_wheel
from training.errors import BadCheckpoint
from training.networks.musicnn import MusiCNN
from training.networks.waveform import WaveformEncoder
from training.pretrained import musicnn
from training.pretrained.settings import MusicnnSettings

TAGS = [f"tag {index}" for index in range(50)]


@pytest.fixture(scope="module")
def network() -> MusiCNN:
    torch.manual_seed(0)
    network = randomise(MusiCNN(n_tags=50))
    assert isinstance(network, MusiCNN)
    return network


@pytest.fixture
def wheel(tmp_path: Path, network: MusiCNN, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with other weights than the published ones, which count as published."""
    path = tmp_path / "musicnn.whl"
    data = write_wheel(path, published_variables(network), "mtt", TAGS)
    published = replace(musicnn.PUBLISHED["mtt"], sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(musicnn.PUBLISHED, "mtt", published)
    return path


def test_weights_arrive_where_they_belong(wheel: Path, network: MusiCNN) -> None:
    settings = MusicnnSettings("mtt")
    found = musicnn.make_network(musicnn.read_wheel(wheel, "mtt"), settings)
    for key, weight in network.state_dict().items():
        assert torch.equal(found.state_dict()[key], weight), key


def test_the_command_writes_a_bundle_with_its_licence(
    wheel: Path, network: MusiCNN, tmp_path: Path
) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    write(audio / "sound.wav", golden(31.0))
    out = tmp_path / "models" / "tagger"
    options = ("--weights", "mtt", "--patches", "2", "--patch-s", "1.5", "--on-demand")
    run("musicnn", "--wheel", wheel, "--out", out, "--audio", audio, *options)
    bundle = read(out)
    card = bundle.card
    assert (card.task, card.architecture, card.default) == ("music-tagging", "musicnn", False)
    assert card.labels == tuple(TAGS)
    assert card.audio.patches is not None
    assert card.audio.patches.starts_s == (6.75, 21.75)
    assert "Permission is granted." in card.provenance.data[0].licence
    assert (out / "LICENSE").read_text().startswith("Copyright (c) The Authors.")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, card.audio.input_samples))
    network.audio = card.audio
    with torch.no_grad():
        expected = WaveformEncoder(network)(torch.from_numpy(noise.astype(np.float32)))
    session = ort.InferenceSession(bundle.graph_bytes(card.graph()))
    names = [tensor.name for tensor in card.outputs]
    assert names == ["embedding", "features", "max_pool", "mean_pool", "mel_statistics", "tags"]
    found = session.run(names, {"waveform": noise.astype(np.float32)})
    for name, one, other in zip(names, found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() <= 1e-4 * np.abs(other.numpy()).max(), name


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "musicnn.whl"
    path.write_bytes(b"no archive")
    with pytest.raises(BadCheckpoint, match="pip download"):
        musicnn.read_wheel(path, "msd")


def test_other_weights_than_the_published_ones_are_refused(
    tmp_path: Path, network: MusiCNN
) -> None:
    write_wheel(tmp_path / "other.whl", published_variables(network), "msd", TAGS)
    with pytest.raises(BadCheckpoint, match="SHA-256"):
        musicnn.read_wheel(tmp_path / "other.whl", "msd")


def test_variables_of_another_shape_are_refused(network: MusiCNN) -> None:
    variables = published_variables(network) | {"conv2d_3/bias": np.zeros(7, np.float32)}
    with pytest.raises(BadCheckpoint, match=r"conv2d_3/bias has the shape \(7,\)"):
        musicnn.copy_variables(MusiCNN(n_tags=50), variables)
    del variables["conv2d_3/bias"]
    with pytest.raises(BadCheckpoint, match="no variable conv2d_3/bias"):
        musicnn.copy_variables(MusiCNN(n_tags=50), variables)
