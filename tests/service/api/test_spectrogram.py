"""`/spectrogram`: what a network takes as its input, from its own graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundle import read
from models.spectrogram import DESCRIPTION
from models.spectrogram import read as read_spectrogram
from service.settings import MODELS_DIR
from tests.bundles import small_models, write_bundle
from tests.running import Service, running
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

WITH_SPECTROGRAM = sorted(path.parent.name for path in MODELS_DIR.glob(f"*/{DESCRIPTION}"))


def values(response: httpx.Response) -> NDArray[np.float32]:
    shape = [int(size) for size in response.headers["tasteprint-shape"].split(",")]
    return np.frombuffer(response.content, "<f4").reshape(shape)


@pytest.mark.parametrize("name", WITH_SPECTROGRAM)
def test_it_has_the_shape_that_is_described(service: Service, short_clip: Path, name: str) -> None:
    response = service.post("/spectrogram", short_clip, model=name)
    assert response.status_code == 200, response.text
    described = read_spectrogram(read(MODELS_DIR / name))
    assert described
    assert values(response).shape == described.shape
    assert response.headers["tasteprint-model"] == name
    answer = service.embedding(short_clip, model=name)
    assert json.loads(response.headers["tasteprint-window"]) == answer["window"]
    assert response.headers["tasteprint-audio"] == answer["audio"]["sha256"]
    assert response.headers["tasteprint-digest"] == answer["model"]["digest"]
    for stage in ("upload", "decode", "infer"):
        assert f"{stage};dur=" in response.headers["server-timing"]


@pytest.mark.parametrize("window", ["middle", "start", "2"])
def test_its_statistics_are_those_that_the_network_computes(
    service: Service, clips: dict[str, Path], window: str
) -> None:
    """The level `mel_statistics` is the mean over patches of each band's statistics."""
    response = service.post("/spectrogram", clips["flac"], model="musicnn-msd", window=window)
    mel = values(response).astype(np.float64)  # (patches, frames, bands)
    change = np.abs(np.diff(mel, axis=1)).mean(1)
    statistics = np.concatenate([mel.mean(1), mel.std(1), change], 1).mean(0)
    query: dict[str, str | bool] = {"model": "musicnn-msd", "levels": True, "window": window}
    levels = service.embedding(clips["flac"], **query)["levels"]
    np.testing.assert_allclose(statistics, levels["mel_statistics"], rtol=0.02, atol=2e-3)


def test_the_default_is_that_of_embed(service: Service, short_clip: Path) -> None:
    default = service.post("/spectrogram", short_clip)
    named = service.post("/spectrogram", short_clip, model="cf-estimator")
    assert default.content == named.content
    assert default.headers["tasteprint-model"] == "cf-estimator"


def test_silence_and_bad_files_have_their_problems(service: Service, tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.wav", golden(3.0, 16_000, 1) * 0, 16_000)
    assert_problem(service.post("/spectrogram", silent), 422, "silent-audio")
    assert_problem(service.post("/spectrogram", b"words " * 100), 415, "not-audio")


def test_it_is_of_one_window(service: Service, short_clip: Path) -> None:
    response = service.post("/spectrogram", short_clip, window="all")
    assert_problem(response, 422, "invalid-parameter")
    assert "middle" in response.json()["remedy"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A model without a spectrogram, and one, `broken`, with a bad description."""
    folder = tmp_path_factory.mktemp("small")
    settings = small_models(folder)
    broken = write_bundle(folder / "models", "broken")
    (broken.folder / DESCRIPTION).write_text('{"sha256": "none"}')
    with running(folder / "log", **settings) as service:
        yield service


def test_a_model_without_one_says_so(small: Service, short_clip: Path) -> None:
    response = small.post("/spectrogram", short_clip)
    assert_problem(response, 404, "no-spectrogram")
    assert response.json()["value"] == "levels"
    assert_problem(small.post("/spectrogram", short_clip, model="other"), 404, "unknown-model")


def test_a_bad_description_costs_the_picture_alone(small: Service, short_clip: Path) -> None:
    response = small.post("/spectrogram", short_clip, model="broken")
    assert_problem(response, 404, "no-spectrogram")
    assert "breaks the schema at sha256" in response.json()["detail"]
    assert "tasteprint-train spectrogram" in response.json()["remedy"]
    assert len(small.embedding(short_clip, model="broken")["embedding"]) > 0
