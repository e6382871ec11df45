"""Every bad input has its own problem response, and leaks nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from tests.running import DEADLINE_S, Service, wait_until
from tests.sounds import SAMPLE_RATE, Sound, golden, write, write_silent_video

MiB = 1 << 20
# Allocators and decoders keep some; many times what one window or one decoding holds would show.
MEMORY_SLACK = 60 * MiB


def assert_problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"urn:tasteprint:{kind}"
    assert problem["status"] == status
    assert all(problem[member] for member in ("title", "detail", "remedy"))
    return problem


def truncated(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: len(content) // 2]


def wav(folder: Path, sound: Sound, rate: int = SAMPLE_RATE, subtype: str = "FLOAT") -> bytes:
    return write(folder / "made.wav", sound, rate, subtype).read_bytes()


def spoilt(value: float) -> Sound:
    sound = golden(2.0)
    sound[SAMPLE_RATE] = value
    return sound


def test_empty_file(service: Service) -> None:
    assert_problem(service.embed(b""), 422, "empty-upload")


def test_empty_raw_body(service: Service) -> None:
    response = service.http.post("/embed", headers={"Content-Type": "audio/mpeg"})
    assert_problem(response, 422, "empty-upload")


def test_text_named_mp3(service: Service) -> None:
    files = {"file": ("song.mp3", b"These are the words of the song.\n" * 100, "audio/mpeg")}
    assert_problem(service.http.post("/embed", files=files), 415, "not-audio")


@pytest.mark.parametrize("kind", ["flac", "m4a", "wav", "aiff", "mp3"])
def test_truncated_file(service: Service, clips: dict[str, Path], kind: str) -> None:
    assert_problem(service.embed(truncated(clips[kind])), 422, "truncated-audio")


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "m4a"])
def test_header_but_no_audio(service: Service, clips: dict[str, Path], kind: str) -> None:
    response = service.embed(clips[kind].read_bytes()[:44])
    assert response.status_code in {415, 422}
    assert response.json()["type"].removeprefix("urn:tasteprint:") in {
        "truncated-audio",
        "no-audio-stream",
        "not-audio",
    }


def test_whole_header_of_no_samples(service: Service, tmp_path: Path) -> None:
    response = service.embed(wav(tmp_path, np.zeros((0, 2), np.float32)))
    assert response.status_code == 422, response.text


def test_video_without_sound(service: Service, tmp_path: Path) -> None:
    path = write_silent_video(tmp_path / "video.mp4")
    assert_problem(service.embed(path), 422, "no-audio-stream")


def test_silence(service: Service, tmp_path: Path) -> None:
    silence = np.zeros((2 * SAMPLE_RATE, 2), np.float32)
    problem = assert_problem(service.embed(wav(tmp_path, silence)), 422, "silent-audio")
    assert problem["value"] == 0
    assert problem["limit"] > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(service: Service, tmp_path: Path, value: float) -> None:
    assert_problem(service.embed(wav(tmp_path, spoilt(value))), 422, "not-finite")


def test_finite_but_so_large_that_resampling_overflows(service: Service, tmp_path: Path) -> None:
    sound = golden(2.0, channels=1)
    sound[1000:3000] = 3e38 * np.resize([1, -1], (2000, 1))
    assert_problem(service.embed(wav(tmp_path, sound)), 422, "not-finite")


@pytest.mark.parametrize("samples", [1, round(0.2 * SAMPLE_RATE)])
def test_too_short(service: Service, tmp_path: Path, samples: int) -> None:
    sound = golden(1.0)[:samples]
    problem = assert_problem(service.embed(wav(tmp_path, sound)), 422, "audio-too-short")
    assert problem["value"] == pytest.approx(samples / SAMPLE_RATE, rel=0.01)
    assert problem["limit"] == 0.5


def test_sample_rate_too_low(service: Service, tmp_path: Path) -> None:
    content = wav(tmp_path, golden(3.0, 1_000, 1), 1_000)
    problem = assert_problem(service.embed(content), 422, "unsupported-layout")
    assert (problem["value"], problem["limit"]) == (1_000, 4_000)


def test_window_after_the_end(service: Service, short_clip: Path) -> None:
    assert_problem(service.embed(short_clip, window="100"), 422, "window-outside")


def test_too_many_windows(service: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "hour.flac", golden(1900.0, 4_000, 1), 4_000)
    assert_problem(service.embed(path, window="all"), 422, "audio-too-long")


def test_too_large_by_its_stated_length(service: Service) -> None:
    problem = assert_problem(service.embed(bytes(21 * MiB)), 413, "upload-too-large")
    assert problem["limit"] == 20 * MiB


def test_too_large_is_refused_while_it_streams(service: Service) -> None:
    """The answer comes while the client is still sending: this one would never end."""
    where = urlsplit(service.url)
    block = b"100000\r\n" + bytes(MiB) + b"\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=DEADLINE_S) as client:
        client.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(22):
            client.sendall(block)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


def test_wrong_field_name(service: Service, short_clip: Path) -> None:
    response = service.http.post("/embed", files={"audio": short_clip.read_bytes()})
    problem = assert_problem(response, 400, "wrong-field")
    assert (problem["value"], problem["limit"]) == ("audio", "file")


def test_no_body(service: Service) -> None:
    response = service.http.send(
        httpx.Request("POST", f"{service.url}/embed", headers={"Content-Length": "0"})
    )
    assert_problem(response, 400, "no-file")


def test_form_without_a_part(service: Service) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    response = service.http.post("/embed", content=b"--b--\r\n", headers=kind)
    assert_problem(response, 400, "no-file")


def test_two_files(service: Service, short_clip: Path) -> None:
    content = short_clip.read_bytes()
    files = [("file", ("a.wav", content)), ("file", ("b.wav", content))]
    assert_problem(service.http.post("/embed", files=files), 400, "too-many-files")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b"no boundary at all"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nRIFF',
        ),
    ],
)
def test_malformed_multipart(service: Service, kind: str, body: bytes) -> None:
    response = service.http.post("/embed", content=body, headers={"Content-Type": kind})
    assert_problem(response, 400, "bad-multipart")


def test_content_type_that_is_not_read(service: Service) -> None:
    response = service.http.post("/embed", json={"file": "song.mp3"})
    assert_problem(response, 415, "unsupported-body")


def test_unknown_model(service: Service, short_clip: Path) -> None:
    problem = assert_problem(service.embed(short_clip, model="other"), 404, "unknown-model")
    assert "cf-estimator" in problem["limit"]


def test_unknown_query_parameter(service: Service, short_clip: Path) -> None:
    problem = assert_problem(service.embed(short_clip, windw="all"), 400, "unknown-parameter")
    assert problem["limit"] == "model, window, features, levels, space"


@pytest.mark.parametrize("query", [{"window": "end"}, {"window": "1:75"}, {"features": "perhaps"}])
def test_invalid_query_parameter(service: Service, short_clip: Path, query: dict[str, str]) -> None:
    assert_problem(service.embed(short_clip, **query), 422, "invalid-parameter")


def leave_halfway(service: Service) -> None:
    """Promise a megabyte, send half of it, and go."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port)) as client:
        client.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
            b"Content-Length: 1048576\r\n\r\n" + bytes(MiB // 2)
        )


def test_client_that_disconnects_during_its_upload(service: Service, short_clip: Path) -> None:
    service.embedding(short_clip)
    before, left = service.open_files(), service.log().count("client disconnected")
    for _ in range(5):
        leave_halfway(service)
    wait_until(
        lambda: service.log().count("client disconnected") == left + 5, "the service notices"
    )
    wait_until(lambda: service.open_files() <= before, "its files are closed")
    assert "Traceback" not in service.log()
    service.embedding(short_clip)


def test_nothing_is_left_behind(service: Service, clips: dict[str, Path], tmp_path: Path) -> None:
    """After rounds of bad files: a good answer, and no more memory or files than before."""
    big = bytes(4 * MiB)
    bad: list[Callable[[], object]] = [
        lambda: service.embed(b""),
        lambda: service.embed(big),
        lambda: service.embed(truncated(clips["flac"])),
        lambda: service.embed(truncated(clips["mp3"])),
        lambda: service.embed(truncated(clips["m4a"])),
        lambda: service.embed(wav(tmp_path, spoilt(np.nan))),
        lambda: service.http.post("/embed", files={"audio": big}),
        lambda: leave_halfway(service),
    ]
    for send in bad * 3:  # what libraries load or keep at their first use
        send()
    good = service.embedding(clips["mp3"])["embedding"]
    memory, files, spooled = service.memory_bytes(), service.open_files(), service.held_bytes()
    for send in bad * 8:
        send()
    wait_until(lambda: service.open_files() <= files, "its files are closed")
    wait_until(lambda: service.held_bytes() <= spooled, "its uploads are given back")
    assert service.memory_bytes() < memory + MEMORY_SLACK
    assert service.embedding(clips["mp3"])["embedding"] == good
    assert "Traceback" not in service.log()
