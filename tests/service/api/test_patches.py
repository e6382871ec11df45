"""A model that its card runs on patches hears these alone, and every answer states them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from models.card import Patches
from tests.bundles import AUDIO, write_bundle, write_head
from tests.running import Service, running
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

PATCHED = AUDIO.model_copy(
    update={"window_s": 2.0, "patches": Patches(seconds=0.2, starts_s=(0.5, 1.1))}
)
STATED = {"starts": [0.5, 1.1], "seconds": 0.2}
RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder, "whole")
    encoder = write_bundle(folder, "patched", audio=PATCHED)
    write_head(folder, "mood", encoder.digest, audio=PATCHED)
    return folder


@pytest.fixture(scope="module")
def patched(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("patched") / "log"
    settings = {"models_dir": folder, "default_model": "patched", "decode_workers": 1}
    with running(log, **settings) as service:
        yield service


@pytest.fixture
def clip(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    seed = sum(request.node.name.encode())  # so that no answer is cached
    return write(tmp_path / "clip.flac", golden(5.0, RATE, 1, seed=seed), RATE)


@pytest.mark.parametrize("window", ["middle", "all", "1.25"])
def test_the_outputs_are_those_of_the_patches(
    patched: Service, folder: Path, clip: Path, window: str
) -> None:
    answer = patched.embedding(clip, window=window)
    windows = read_windows(clip, PATCHED, WindowChoice.parse(window))
    session = ort.InferenceSession(folder / "patched" / "model.onnx")
    (expected,) = session.run(["embedding"], {"waveform": windows.samples})
    np.testing.assert_allclose(answer["embedding"], np.asarray(expected).mean(axis=0), rtol=1e-5)
    assert answer["window"]["patches"] == STATED
    assert answer["window"]["starts"] == [round(start_s, 6) for start_s in windows.starts_s]
    assert answer["window"]["seconds"] == 2.0


def test_every_route_states_the_patches(patched: Service, clip: Path) -> None:
    window = patched.embedding(clip)["window"]
    assert window == {"starts": [1.5], "seconds": 2.0, "how": "middle", "patches": STATED}
    assert patched.answer("/classify/mood", clip)["window"] == window
    digest = sha256(clip.read_bytes()).hexdigest()
    cached = patched.http.get(f"/embeddings/{digest}").json()
    assert (cached["cached"], cached["window"]) == (True, window)
    response = patched.http.post("/embed/batch", files=[("file", ("x", clip.read_bytes()))])
    assert json.loads(response.text)["answer"]["window"] == window


def test_an_analysis_states_the_patches_of_the_models_that_have_them(
    patched: Service, clip: Path
) -> None:
    whole = patched.answer("/analyze", clip)
    windows = {
        name: answer.get("window", whole["window"]) for name, answer in whole["models"].items()
    }
    assert windows["mood"]["patches"] == windows["patched"]["patches"] == STATED
    assert windows["whole"] == {"starts": [2.0], "seconds": 1.0, "how": "middle"}


def test_a_model_without_patches_states_none(patched: Service, clip: Path) -> None:
    assert "patches" not in patched.embedding(clip, model="whole")["window"]


def test_silence_is_judged_on_the_patches(patched: Service, tmp_path: Path) -> None:
    sound = golden(5.0, RATE, 1)
    sound[int(0.49 * RATE) : int(0.71 * RATE)] = 0
    sound[int(1.09 * RATE) : int(1.31 * RATE)] = 0
    path = write(tmp_path / "clip.flac", sound, RATE)
    assert_problem(patched.embed(path, window="start"), 422, "silent-audio")
    assert patched.embed(path, window="start", model="whole").status_code == 200
    assert patched.embed(path, window="0.2").status_code == 200
