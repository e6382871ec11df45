"""`POST /embed` answers what the design says, for every format, rate and channel count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import read
from service.settings import MODELS_DIR
from tests.running import Service
from tests.sounds import FORMATS, golden, write

CODECS = {
    "wav": "pcm_16",
    "flac": "flac",
    "aiff": "pcm_16",
    "mp3": "mp3",
    "ogg": "vorbis",
    "opus": "opus",
    "m4a": "aac",
    "webm": "opus",
}


def cosine(one: list[float], other: list[float]) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(service: Service, clips: dict[str, Path], kind: str) -> None:
    answer = service.embedding(clips[kind])
    assert answer["audio"]["codec"] == CODECS[kind]
    assert answer["audio"]["duration"] == pytest.approx(34.0, abs=0.1)
    assert answer["audio"]["channels"] == 2
    assert answer["window"]["starts"] == [pytest.approx(2.0, abs=0.05)]
    assert cosine(answer["embedding"], service.embedding(clips["wav"])["embedding"]) > 0.95


def test_answer_has_the_designs_fields(service: Service, clips: dict[str, Path]) -> None:
    answer = service.embedding(clips["wav"], window="start")
    bundle = read(MODELS_DIR / "cf-estimator")
    card = bundle.card
    assert answer.keys() == {"model", "embedding", "features", "window", "audio", "cached"}
    assert answer["model"] == {
        "name": card.name,
        "version": card.version,
        "digest": bundle.digest,
        "precision": service.http.get(f"/models/{card.name}").json()["precision"],
        "space": card.space,
    }
    assert len(answer["embedding"]) == card.output_shape("embedding")[0] == 40
    assert len(answer["features"]) == card.output_shape("features")[0]
    assert card.audio.patches
    assert answer["window"] == {
        "starts": [0.0],
        "seconds": 30.0,
        "how": "start",
        "patches": {"starts": list(card.audio.patches.starts_s), "seconds": 1.0},
    }
    assert answer["audio"].keys() == {"sha256", "duration", "codec", "rate", "channels"}
    assert answer["cached"] is False


def test_features_can_be_left_out(service: Service, clips: dict[str, Path]) -> None:
    assert "features" not in service.embedding(clips["wav"], features=False)


def test_a_file_that_is_longer_than_its_header_states_is_answered_with_a_note(
    service: Service, clips: dict[str, Path], tmp_path: Path
) -> None:
    second = write(tmp_path / "second.mp3", golden(40.0, seed=1)).read_bytes()
    content = clips["mp3"].read_bytes() + second
    middle = service.embed(content, window="20").json()
    assert middle["audio"]["duration"] == pytest.approx(74, abs=0.2)
    assert "header promises 34.0 s" in middle["audio"]["notes"][0]
    late = service.embed(content, window="40")
    assert late.status_code == 200
    assert late.json()["window"]["starts"] == [40.0]
    for window in ("all", "start"):
        assert service.embed(content, window=window).json()["audio"]["notes"]
    assert "notes" not in service.embed(clips["mp3"].read_bytes()).json()["audio"]


@pytest.mark.parametrize(
    ("window", "starts"), [("middle", [2.0]), ("start", [0.0]), ("all", [0.0]), ("3.5", [3.5])]
)
def test_the_window_is_at_the_requested_position(
    service: Service, clips: dict[str, Path], window: str, starts: list[float]
) -> None:
    used = service.embedding(clips["flac"], window=window)["window"]
    assert used["starts"] == pytest.approx(starts, abs=0.001)
    assert used["how"] == ("offset" if window == "3.5" else window)


def test_all_is_the_mean_of_consecutive_windows(service: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", golden(60.0, 16_000, 1), 16_000)
    answer = service.embedding(path, window="all")
    parts = [service.embedding(path, window=start)["embedding"] for start in ("0", "30")]
    assert answer["window"]["starts"] == [0.0, 30.0]
    np.testing.assert_allclose(answer["embedding"], np.mean(parts, axis=0), atol=1e-6)


@pytest.mark.parametrize(("rate", "channels"), [(192_000, 2), (44_100, 8), (8_000, 1)])
def test_any_rate_and_channel_count_is_read(
    service: Service, tmp_path: Path, rate: int, channels: int
) -> None:
    path = write(tmp_path / "odd.wav", golden(2.0, rate, channels), rate)
    audio = service.embedding(path)["audio"]
    assert (audio["rate"], audio["channels"]) == (rate, channels)


def test_stage_times_travel_in_server_timing(service: Service, tmp_path: Path) -> None:
    response = service.embed(write(tmp_path / "timed.wav", golden(2.0, seed=5)))
    stages = [stage.split(";")[0] for stage in response.headers["server-timing"].split(", ")]
    assert stages == ["upload", "cache", "decode", "queue", "infer", "remember"]


def test_the_files_name_plays_no_part(service: Service, short_clip: Path) -> None:
    content = short_clip.read_bytes()
    for name in ("../../etc/passwd", "x" * 3000, "täst.mp3", "a.exe"):
        response = service.http.post("/embed", files={"file": (name, content)})
        assert response.status_code == 200, name
