"""The spectrogram graph is the front end of the bundle's own graph, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models import bundle, spectrogram
from models.bundle import read
from models.errors import BundleError
from models.spectrogram import DESCRIPTION, GRAPH, OUTPUT
from service.settings import MODELS_DIR
from training.errors import BadExport
from training.export.spectrogram import add_spectrogram, permutation
from training.networks.registry import class_of_card

SHIPPED = sorted(path.parent.name for path in MODELS_DIR.glob(f"*/{DESCRIPTION}"))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of a shipped bundle without its spectrogram."""
    folder = tmp_path / "cf-estimator"
    shutil.copytree(MODELS_DIR / "cf-estimator", folder)
    (folder / DESCRIPTION).unlink()
    (folder / GRAPH).unlink()
    return folder


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_graph_gives_what_the_front_end_gives_in_torch(name: str) -> None:
    found = read(MODELS_DIR / name)
    described = spectrogram.read(found)
    assert described
    content = spectrogram.graph_bytes(found, described)
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    waveform = random.uniform(-0.5, 0.5, (1, *found.card.input.shape)).astype(np.float32)
    (values,) = session.run([OUTPUT], {"waveform": waveform})
    front_end = class_of_card(found.card).from_card(found.card).make_front_end()
    parts = torch.from_numpy(waveform).reshape(described.shape[0], -1)
    expected = front_end(parts).numpy()
    np.testing.assert_allclose(values.reshape(described.shape), expected, atol=5e-3)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_graph_is_made_again_as_it_is(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(MODELS_DIR / name, folder)
    add_spectrogram(folder)
    for file in (DESCRIPTION, GRAPH):
        assert (folder / file).read_bytes() == (MODELS_DIR / name / file).read_bytes()


def test_the_bundle_keeps_its_digest(copied: Path) -> None:
    before = read(copied).digest
    assert spectrogram.read(read(copied)) is None
    described = add_spectrogram(copied)
    after = read(copied)
    assert after.digest == before
    assert spectrogram.read(after) == described


def test_bands_are_last_whatever_axes_the_network_takes() -> None:
    assert permutation((2, 1), 3) == [0, 1, 2]  # (batch, time, frequency)
    assert permutation((1, 2), 3) == [0, 2, 1]
    assert permutation((2, 3), 4) == [0, 1, 3, 2]  # an axis of one channel
    assert permutation((2, 3), 3) == [0, 2, 1]  # which the tensor lacks


def test_a_network_on_the_waveform_has_none(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = class_of_card(read(copied).card)
    monkeypatch.setattr(kind, "spectrogram_axes", None)
    with pytest.raises(BadExport, match="takes no spectrogram"):
        add_spectrogram(copied)
    assert not (copied / GRAPH).exists()


def test_a_graph_that_was_cut_from_another_one_is_refused(copied: Path) -> None:
    add_spectrogram(copied)
    found = read(copied)
    described = spectrogram.read(found)
    assert described
    other = described.model_copy(update={"reference": "0" * 64})
    (copied / DESCRIPTION).write_text(other.model_dump_json())
    with pytest.raises(BundleError, match="cut from another graph") as refusal:
        spectrogram.read(found)
    assert "tasteprint-train spectrogram" in str(refusal.value.remedy)


def test_a_file_that_is_not_the_described_one_is_refused(copied: Path) -> None:
    described = add_spectrogram(copied)
    found = bundle.read(copied)
    (copied / GRAPH).write_bytes(b"other")
    with pytest.raises(BundleError, match="is not the file"):
        spectrogram.graph_bytes(found, described)
    (copied / GRAPH).unlink()
    with pytest.raises(BundleError, match="is missing"):
        spectrogram.graph_bytes(found, described)
