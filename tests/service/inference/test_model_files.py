"""The graphs that run are those of the card, byte for byte; a bad file refuses its bundle alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.external_data_helper import set_external_data

from models.bundle import read
from models.errors import BundleError
from service.inference.registry import load_models
from service.inference.session import open_model
from service.inference.thread_split import ThreadSplit
from service.settings import Settings
from tests.bundles import AUDIO, graph_bytes, write_bundle, write_head


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("file", ["model.onnx", "head.onnx"])
def test_a_flipped_byte_refuses_that_bundle_alone(tmp_path: Path, file: str, place: float) -> None:
    encoder = write_bundle(tmp_path, "levels")
    write_head(tmp_path, "mood", encoder.digest)
    flip(write_head(tmp_path, "spoilt", encoder.digest).folder / file, place)
    models = load_models(Settings(models_dir=tmp_path))
    assert list(models.loaded) == ["levels", "mood"]
    assert list(models.refused) == ["spoilt"]
    assert f"{file} is not the file that its card describes" in models.refused["spoilt"]


def test_a_file_that_changes_after_it_was_checked_is_not_run(tmp_path: Path) -> None:
    """The bytes are hashed where they are given to onnxruntime, not somewhere before."""
    bundle = write_bundle(tmp_path, "levels")
    checked = read(bundle.folder)
    (bundle.folder / "model.onnx").write_bytes(graph_bytes(root="Identity"))
    with pytest.raises(BundleError, match="not the file that its card describes"):
        open_model(checked, Settings(), ThreadSplit(1, 1))


def shifted_by(offset: NDArray[np.float32], where: str) -> bytes:
    """The graph of `levels` with an offset added to the waveform, read from a file."""
    model = onnx.load_from_string(graph_bytes())
    tensor = numpy_helper.from_array(offset, "offset")
    set_external_data(tensor, where)
    tensor.ClearField("raw_data")
    model.graph.initializer.append(tensor)
    model.graph.node[0].input[0] = "shifted"
    model.graph.node.insert(0, helper.make_node("Add", ["waveform", "offset"], ["shifted"]))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("where", ["weights", "../weights", "/tmp/weights"])
def test_weights_in_a_file_that_no_digest_covers_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """onnxruntime reads them from the working directory, where anybody may have put them."""
    write_bundle(tmp_path / "models", "good")
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    zeros = np.zeros(AUDIO.window_samples, np.float32)
    (folder / "weights").write_bytes(zeros.tobytes())
    write_bundle(tmp_path / "models", "outside", shifted_by(zeros, where))
    models = load_models(Settings(models_dir=tmp_path / "models"))
    assert list(models.loaded) == ["good"]
    assert "cannot be loaded" in models.refused["outside"]
