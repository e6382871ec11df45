"""Batch: many files in one request are answered one by one, without blocking other requests."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bundles import small_models
from tests.running import Service, running, wait_until
from tests.service.test_bad_input import assert_problem
from tests.service.test_server import connect
from tests.sounds import golden, write


def clip(folder: Path, seed: int) -> Path:
    return write(folder / f"{seed}.flac", golden(2.0, seed=seed))


def batch(
    service: Service, files: list[tuple[str, bytes]], **query: str | bool
) -> list[dict[str, Any]]:
    parts = [("file", file) for file in files]
    response = service.http.post("/embed/batch", files=parts, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_each_file_is_answered_as_by_itself(service: Service, tmp_path: Path) -> None:
    paths = [clip(tmp_path, seed) for seed in range(300, 309)]
    lines = batch(service, [(path.name, path.read_bytes()) for path in paths], window="all")
    assert sorted(line["index"] for line in lines) == list(range(len(paths)))
    for line in lines:
        path = paths[line["index"]]
        assert line["file"] == path.name
        alone = service.embedding(path, window="all")
        assert alone["cached"] is True
        assert line["answer"] | {"cached": True} == alone
    without = batch(service, [("x", paths[0].read_bytes())], window="all", features=False)
    assert "features" not in without[0]["answer"]
    assert without[0]["answer"]["cached"] is True


def test_what_is_wrong_with_a_file_is_in_its_line(service: Service, tmp_path: Path) -> None:
    good, large = clip(tmp_path, 310).read_bytes(), bytes(21 << 20)
    files = [("good", good), ("text", b"words " * 99), ("none", b""), ("large", large), ("x", good)]
    lines = {line["index"]: line for line in batch(service, files)}
    kinds = [lines[index].get("problem", {}).get("type") for index in range(5)]
    names = ["not-audio", "empty-upload", "upload-too-large"]
    assert kinds == [None, *(f"urn:tasteprint:{name}" for name in names), None]
    assert service.held_bytes() == 0


def test_a_bad_body_is_a_problem_or_the_last_line(service: Service, tmp_path: Path) -> None:
    raw = service.http.post("/embed/batch", content=b"x", headers={"Content-Type": "audio/wav"})
    assert_problem(raw, 415, "unsupported-body")
    head = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    cut = head + clip(tmp_path, 311).read_bytes() + b"\r\n" + head + b"cut"
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    response = service.http.post("/embed/batch", content=cut, headers=kind)
    lines = [json.loads(line) for line in response.text.splitlines()]
    (last,) = [line for line in lines if "index" not in line]
    assert last["problem"]["type"] == "urn:tasteprint:bad-multipart"
    assert [line["index"] for line in lines if "answer" in line] == [0]
    wait_until(lambda: service.held_bytes() == 0, "its bytes are gone")


def test_more_files_than_allowed_are_refused(tmp_path: Path) -> None:
    content = clip(tmp_path, 312).read_bytes()
    with running(tmp_path / "log", **small_models(tmp_path), max_batch_files=2) as service:
        lines = batch(service, [("x", content)] * 3)
        assert sum("answer" in line for line in lines) == 2
        assert [line["problem"]["limit"] for line in lines if "problem" in line] == [2]


def test_a_batch_waits_where_requests_are_refused_and_leaves_slots_to_them(tmp_path: Path) -> None:
    contents = [clip(tmp_path, seed).read_bytes() for seed in range(320, 332)]
    with running(tmp_path / "log", **small_models(tmp_path), max_in_flight=4) as service:
        lines = batch(service, [("x", content) for content in contents])
        assert all("answer" in line for line in lines)
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        with httpx.stream(
            "POST",
            f"{service.url}/embed/batch?window=start",
            files=[("file", ("x", content)) for content in contents],
        ) as response:
            # The batch takes only a quarter of the slots, so that others are admitted.
            one = "tasteprint_windows_in_work 1.0"
            wait_until(lambda: one in service.http.get("/metrics").text, "one is in work")
            os.kill(decoder, signal.SIGCONT)
            assert len(list(response.iter_lines())) == len(contents)


def test_a_batch_whose_client_left_is_dropped(tmp_path: Path) -> None:
    contents = [clip(tmp_path, seed).read_bytes() for seed in range(340, 344)]
    with running(tmp_path / "log", **small_models(tmp_path), max_in_flight=16) as service:
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        with httpx.stream(
            "POST",
            f"{service.url}/embed/batch",
            files=[("file", ("x", content)) for content in contents],
        ):
            wait_until(lambda: service.held_bytes() > 0, "the files are there")
        wait_until(lambda: service.held_bytes() == 0, "they are dropped")
        os.kill(decoder, signal.SIGCONT)
        service.embedding(clip(tmp_path, 345))


def test_a_batch_that_waits_for_slots_notices_a_disconnect(tmp_path: Path) -> None:
    """Before any of its files is done: the decoder stands still all the time."""
    small = write(tmp_path / "small.wav", golden(0.2, 8_000, 1), 8_000).read_bytes()
    content = clip(tmp_path, 346).read_bytes()
    with running(tmp_path / "log", **small_models(tmp_path), max_in_flight=4) as service:
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        with httpx.stream(
            "POST",
            f"{service.url}/embed/batch",
            files=[("file", ("x", audio)) for audio in (content, content, *[small] * 20)],
        ):
            wait_until(lambda: service.held_bytes() >= 2 * len(content), "two are there")
        wait_until(lambda: service.held_bytes() == 0, "they are dropped")
        os.kill(decoder, signal.SIGCONT)


def test_a_batch_whose_client_disconnects_does_not_affect_other_files(tmp_path: Path) -> None:
    first, other = clip(tmp_path, 350), clip(tmp_path, 351)
    with (
        running(tmp_path / "log", **small_models(tmp_path)) as service,
        ThreadPoolExecutor(2) as clients,
    ):
        expected = service.embedding(first, window="0.5")["embedding"]  # its middle
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        with httpx.stream(
            "POST", f"{service.url}/embed/batch", files=[("file", ("x", first.read_bytes()))]
        ):
            in_work = "tasteprint_windows_in_work 1.0"
            wait_until(lambda: in_work in service.http.get("/metrics").text, "it is in work")
            joined = clients.submit(service.embedding, first)
            both = "requests_running 3.0"  # with the one that asks
            wait_until(lambda: both in service.http.get("/metrics").text, "another one joins")
        wait_until(
            lambda: service.log().count("/embed/batch") > 0, "the batch's client disconnected"
        )
        after = clients.submit(service.embedding, other)
        wait_until(lambda: both in service.http.get("/metrics").text, "another file is there")
        os.kill(decoder, signal.SIGCONT)
        assert joined.result()["embedding"] == pytest.approx(expected, abs=1e-6)
        assert after.result()["embedding"] != joined.result()["embedding"]


def test_bytes_of_disconnected_batches_are_released(tmp_path: Path) -> None:
    contents = [clip(tmp_path, seed).read_bytes() for seed in range(360, 363)]
    with running(tmp_path / "log", **small_models(tmp_path), max_in_flight=4) as service:
        for _ in range(3):
            with httpx.stream(
                "POST",
                f"{service.url}/embed/batch",
                files=[("file", ("x", content)) for content in contents],
            ) as response:
                next(response.iter_lines())
        nothing = "tasteprint_held_bytes 0.0"
        wait_until(lambda: nothing in service.http.get("/metrics").text, "nothing is held")


def test_few_files_of_a_body_are_open_at_a_time(tmp_path: Path) -> None:
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        before = service.open_files()
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        small = [("file", ("x", b"a few bytes")) for _ in range(900)]
        with httpx.stream("POST", f"{service.url}/embed/batch", files=small) as response:
            wait_until(lambda: service.held_bytes() > 0, "some are there")
            assert service.open_files() < before + 50
            os.kill(decoder, signal.SIGCONT)
            assert len(list(response.iter_lines())) == 900


def test_http_1_0_is_answered_without_chunks(service: Service, tmp_path: Path) -> None:
    """Which it does not have: the connection's end is that of the answer."""
    part = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n%b\r\n'
    body = part % clip(tmp_path, 370).read_bytes() * 2 + b"--B--\r\n"
    head = (
        b"POST /embed/batch HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    )
    with connect(service) as client:
        client.sendall(head % len(body) + body)
        headers, _, lines = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in headers
    assert b"transfer-encoding" not in headers
    assert sorted(json.loads(line)["index"] for line in lines.splitlines()) == [0, 1]


@pytest.mark.parametrize("route", ["/embed/batch", "/embed"])
def test_a_part_without_content_or_name_is_refused(service: Service, route: str) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--B--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    response = service.http.post(route, content=body, headers=kind)
    answer = json.loads(response.text)
    assert (answer.get("problem") or answer)["type"] == "urn:tasteprint:wrong-field"
