"""Determinism: the same audio gives the same 40 numbers by every route and format."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from models.audio.window_choice import WindowChoice
from models.audio.windows import read_windows
from service.inference.devices import CPU
from service.inference.registry import load_models
from service.settings import Settings
from tests.running import Service
from tests.service.api.test_embed import cosine
from tests.sounds import SAMPLE_RATE, golden, write, write_av


def test_alone_and_among_others(service: Service, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.wav", golden(5.0, seed=seed)) for seed in range(20, 26)]
    alone = [service.embedding(path, window="start")["embedding"] for path in paths]
    with ThreadPoolExecutor(len(paths)) as clients:  # another window's key: nothing is cached
        among = list(clients.map(lambda path: service.embedding(path, window="0"), paths))
    assert [answer["cached"] for answer in among] == [False] * len(paths)
    assert [answer["embedding"] for answer in among] == alone


def test_alone_and_in_a_batch(clips: dict[str, Path]) -> None:
    model = load_models(Settings()).loaded["cf-estimator"]
    random = np.random.default_rng(0)
    middle = read_windows(clips["wav"], model.card.audio, WindowChoice()).samples
    noise = random.uniform(-0.5, 0.5, (2, model.card.audio.input_samples)).astype(np.float32)
    alone = model.run(middle)["embedding"][0]
    together = model.run(np.concatenate([noise, middle]))["embedding"][2]
    # cuDNN may take another algorithm for another batch size, and so another order of summing.
    tolerance = 0 if model.provider == CPU else 1e-4 if model.precision == "float32" else 2e-3
    np.testing.assert_allclose(together, alone, rtol=tolerance, atol=tolerance * abs(alone).max())


def test_computed_and_cached(service: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "again.flac", golden(4.0, seed=30))
    first, second = service.embedding(path), service.embedding(path)
    assert (first.pop("cached"), second.pop("cached")) == (False, True)
    assert first == second


def test_multipart_and_raw_body(service: Service, clips: dict[str, Path]) -> None:
    content = clips["mp3"].read_bytes()
    answers = [service.embedding(content, window="1")]
    for kind in ("audio/mpeg", "application/octet-stream", "audio/x-unheard-of; rate=1"):
        raw = service.http.post("/embed?window=1", content=content, headers={"Content-Type": kind})
        answers.append(raw.json())
    assert len({str(answer["embedding"]) for answer in answers}) == 1
    assert len({answer["audio"]["sha256"] for answer in answers}) == 1


def test_wav_and_flac_of_the_same_samples(service: Service, clips: dict[str, Path]) -> None:
    wav, flac, aiff = (service.embedding(clips[kind]) for kind in ("wav", "flac", "aiff"))
    assert wav["embedding"] == flac["embedding"] == aiff["embedding"]
    assert wav["audio"]["sha256"] != flac["audio"]["sha256"]


def test_mp3_of_320_kbit_is_close(service: Service, clips: dict[str, Path], tmp_path: Path) -> None:
    sound = golden(34.0)
    path = write_av(tmp_path / "320.mp3", sound, SAMPLE_RATE, "libmp3lame", "mp3", 320_000)
    one, other = service.embedding(path), service.embedding(clips["wav"])
    assert cosine(one["embedding"], other["embedding"]) >= 0.99


def test_other_audio_gives_other_numbers(service: Service, tmp_path: Path) -> None:
    one = service.embedding(write(tmp_path / "one.wav", golden(4.0, seed=40)))
    other = service.embedding(write(tmp_path / "other.wav", golden(4.0, seed=41)))
    assert one["embedding"] != other["embedding"]
