"""What clients get wrong most is named, with a remedy in the words of the client that asks."""

from __future__ import annotations

import ast
import base64
import dataclasses
import gzip
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.client_remedies import (
    ANY,
    CURL,
    FETCH,
    POWERSHELL,
    POWERSHELL_5,
    REQUESTS,
    ClientRemedies,
)
from tests.bundles import small_models
from tests.running import Service, running
from tests.service.test_bad_input import assert_problem
from tests.service.test_server import HEAD, connect
from tests.sounds import golden, write

AGENTS = {
    "curl/8.5.0": CURL,
    "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0": FETCH,
    "node": FETCH,
    "python-requests/2.32.3": REQUESTS,
    "python-httpx/0.28.1": REQUESTS,
    "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1": POWERSHELL_5,
    "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0; en-US) PowerShell/7.4.5": POWERSHELL,
    "something else": ANY,
    "": ANY,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("small")
    with running(folder / "log", **small_models(folder)) as service:
        yield service


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    return write(path, golden(4.0, 8_000, 1), 8_000).read_bytes()


def part(name: str, content: bytes, filename: str = "", more: str = "") -> bytes:
    named = f'; filename="{filename}"' if filename else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + content + b"\r\n"


def post_form(
    service: Service, *parts: bytes, agent: str = "x", path: str = "/embed"
) -> httpx.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "User-Agent": agent}
    return service.http.post(path, content=b"".join(parts) + b"--b--\r\n", headers=headers)


@pytest.mark.parametrize("agent", AGENTS)
def test_each_client_is_answered_in_its_own_words(small: Service, clip: bytes, agent: str) -> None:
    client: ClientRemedies = AGENTS[agent]
    wrong = post_form(small, part("audio", clip, "x.wav"), agent=agent)
    assert client.file in assert_problem(wrong, 400, "wrong-field")["remedy"]
    forgotten = post_form(small, part("file", b"song.mp3"), agent=agent)
    assert assert_problem(forgotten, 400, "no-file")["remedy"] == client.content
    headers = {"Content-Type": "multipart/form-data", "User-Agent": agent}
    bare = small.http.post("/embed", content=part("file", clip), headers=headers)
    remedy = assert_problem(bare, 400, "bad-multipart")["remedy"]
    assert remedy == f"do not set the header Content-Type yourself: {client.boundary}"
    form = {"User-Agent": agent, "Content-Type": "application/x-www-form-urlencoded"}
    typed = small.http.post("/embed", content=clip, headers=form)
    assert client.raw in assert_problem(typed, 415, "unsupported-body")["remedy"]
    got = small.http.get("/embed", headers={"User-Agent": agent}).json()
    assert client.file in got["remedy"]


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("window", "start", "/embed?window=start"),
        ("window", "1:30", "/embed?window=1:30"),
        ("model", "a b&c", "/embed?model=a%20b%26c"),
        ("vectors", "true", "/embed?vectors=true"),
    ],
)
def test_a_parameter_in_the_form_goes_into_the_address(
    small: Service, clip: bytes, name: str, value: str, address: str
) -> None:
    field = part(name, value.encode())
    for parts in ([field, part("file", clip, "x")], [part("file", clip, "x"), field]):
        problem = assert_problem(post_form(small, *parts), 400, "wrong-field")
        assert f"the parameter goes into the address: `{address}`" in problem["remedy"]
        assert problem["value"] == name


@pytest.mark.parametrize("value", ["start", "a','b", 'a"b', "a\\"])
def test_the_remedy_of_requests_is_python_whatever_the_value(value: str) -> None:
    remedy = REQUESTS.of_parameter("/embed", "window", value)
    call = ast.parse(remedy.partition("; ")[2].replace("…", "..."), mode="eval").body
    assert isinstance(call, ast.Call)
    sent = {keyword.arg: keyword.value for keyword in call.keywords}
    assert ast.literal_eval(sent["params"]) == {"window": value}


def test_windows_powershell_is_not_told_to_write_a_form() -> None:
    for remedy in dataclasses.astuple(POWERSHELL_5):
        assert "-Form" not in remedy


def test_a_name_in_the_place_of_the_file_is_noticed(small: Service, clip: bytes) -> None:
    problem = assert_problem(post_form(small, part("file", b"song.mp3")), 400, "no-file")
    assert "8 bytes of text: 'song.mp3'" in problem["detail"]
    for name in ("C:\\Musik\\Lied 1.wav", "/home/me/naïve.flac", "[object File]"):
        assert_problem(post_form(small, part("file", name.encode())), 400, "no-file")
    raw = {"Content-Type": "audio/mpeg"}
    assert_problem(small.http.post("/embed", content="song.mp3", headers=raw), 400, "no-file")
    assert post_form(small, part("file", clip)).status_code == 200
    assert_problem(post_form(small, part("file", b"song.mp3", "x.mp3")), 415, "not-audio")


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=other"])
def test_a_header_that_was_set_by_hand_is_named(small: Service, clip: bytes, kind: str) -> None:
    body = part("file", clip, "x.wav") + b"--b--\r\n"
    for path in ("/embed", "/embed/batch"):
        response = small.http.post(path, content=body, headers={"Content-Type": kind})
        problem = json.loads(response.text.splitlines()[-1])
        problem = problem.get("problem", problem)
        assert problem["type"] == "urn:tasteprint:bad-multipart"
        assert "do not set the header Content-Type yourself" in problem["remedy"]


@pytest.mark.parametrize(
    "kind",
    [
        "binary/octet-stream",
        "application/mp4",
        "application/x-flac",
        "application/ogg",
        "application/force-download",
        "Application/X-Unknown",
        "audio",
        "x",
    ],
)
def test_a_type_that_says_nothing_is_as_good_as_none(
    small: Service, clip: bytes, kind: str
) -> None:
    response = small.http.post("/embed", content=clip, headers={"Content-Type": kind})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "image/png",
        "application/json; charset=utf-8",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=b",
        "application/zip",
    ],
)
def test_a_type_of_something_else_is_refused(small: Service, clip: bytes, kind: str) -> None:
    response = small.http.post("/embed", content=clip, headers={"Content-Type": kind})
    assert_problem(response, 415, "unsupported-body")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "x-something"])
def test_a_compressed_body_is_named(small: Service, clip: bytes, coding: str) -> None:
    headers = {"Content-Type": "audio/wav", "Content-Encoding": coding}
    response = small.http.post("/embed", content=gzip.compress(clip), headers=headers)
    problem = assert_problem(response, 415, "unsupported-body")
    assert problem["value"] == coding
    assert f"Content-Encoding: {coding}" in problem["detail"]
    headers["Content-Encoding"] = "identity"
    assert small.http.post("/embed", content=clip, headers=headers).status_code == 200


def test_a_part_in_base64_is_named(small: Service, clip: bytes) -> None:
    more = "Content-Transfer-Encoding: base64\r\n"
    response = post_form(small, part("file", base64.b64encode(clip), "x.wav", more))
    problem = assert_problem(response, 415, "unsupported-body")
    assert "Content-Transfer-Encoding: base64" in problem["detail"]
    plain = post_form(small, part("file", clip, "x.wav", "Content-Transfer-Encoding: binary\r\n"))
    assert plain.status_code == 200


def test_a_digest_in_upper_case_is_a_digest(small: Service, clip: bytes) -> None:
    digest = sha256(clip).hexdigest()
    small.embedding(clip)
    found = small.http.get(f"/embeddings/{digest.upper()}")
    assert found.json() == small.http.get(f"/embeddings/{digest}").json()
    assert found.json()["audio"]["sha256"] == digest


def test_head_answers_as_get_without_the_body(small: Service, clip: bytes) -> None:
    small.embedding(clip)
    digest = sha256(clip).hexdigest()
    paths = ["/", "/docs", "/healthz", "/models", "/models/levels", "/limits", "/openapi.json"]
    for path in [*paths, f"/embeddings/{digest}", f"/embeddings/{'0' * 64}"]:
        got, head = small.http.get(path), small.http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["content-type"] == got.headers["content-type"]
    assert small.http.head("/embed").status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/embed", "POST"),
        ("PUT", "/embed", "POST"),
        ("PATCH", "/analyze", "POST"),
        ("POST", "/models", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_one(
    small: Service, method: str, path: str, allowed: str
) -> None:
    response = small.http.request(method, path)
    problem = response.json()
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert (problem["value"], problem["limit"]) == (method, allowed)
    assert f"send {allowed.partition(',')[0]} {path}" in problem["remedy"]


def test_blanks_between_names_of_models_do_not_count(small: Service, clip: bytes) -> None:
    analysis = small.answer("/analyze", clip, models=" levels, levels,")
    assert list(analysis["models"]) == ["levels"]


@pytest.mark.parametrize(
    ("window", "start_s"),
    [("0:01", 1.0), ("0:00:01.5", 1.5), ("-1", 3.0), ("-0:02.5", 1.5), ("-4", 0.0)],
)
def test_a_window_may_be_a_time_or_count_from_the_end(
    small: Service, clip: bytes, window: str, start_s: float
) -> None:
    answer = small.embedding(clip, window=window)["window"]
    assert (answer["starts"], answer["how"]) == ([start_s], "offset")


@pytest.mark.parametrize("window", ["-5", "-0", "0:04"])
def test_a_window_beyond_either_end_is_refused(small: Service, clip: bytes, window: str) -> None:
    assert_problem(small.embed(clip, window=window), 422, "window-outside")


def test_limits_that_count_are_integers(small: Service) -> None:
    size = small.http.get("/limits").json()["upload_bytes"]
    with connect(small) as client:
        last = HEAD.format(size=size + 1).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
        client.sendall(last.encode())
        assert b'"limit":%d,' % size in client.makefile("rb").read()


def lines_of(response: httpx.Response) -> dict[int, dict[str, Any]]:
    assert response.status_code == 200, response.text
    lines = [json.loads(line) for line in response.text.splitlines()]
    return {line["index"]: line for line in lines}


def test_a_batch_takes_files_by_any_field_name(small: Service, clip: bytes) -> None:
    names = ["files[]", "file1", "audio", "file"]
    parts = [part(name, clip, f"{name}.wav") for name in names]
    lines = lines_of(post_form(small, *parts, path="/embed/batch"))
    assert [lines[index]["file"] for index in range(4)] == [f"{name}.wav" for name in names]
    assert all("answer" in line for line in lines.values())


def test_a_field_of_a_batch_that_is_no_file_has_a_line_of_its_own(
    small: Service, clip: bytes
) -> None:
    parts = [
        part("files", clip, "a.wav"),
        part("window", b"start"),
        part("title", b"x" * 1000),
        part("file", b"song.mp3"),
        part("files", clip, "b.wav"),
    ]
    lines = lines_of(post_form(small, *parts, path="/embed/batch"))
    assert [index for index in range(5) if "answer" in lines[index]] == [0, 4]
    parameter, other, forgotten = (lines[index]["problem"] for index in (1, 2, 3))
    assert "`/embed/batch?window=start`" in parameter["remedy"]
    assert (other["type"], other["value"]) == ("urn:tasteprint:wrong-field", "title")
    assert forgotten["type"] == "urn:tasteprint:no-file"
    assert small.held_bytes() == 0


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("filename*=UTF-8''na%C3%AFve%20%F0%9F%8E%B5.mp3", "naïve 🎵.mp3"),
        ("filename=\"plain.mp3\"; filename*=utf-8'de'L%C3%B6we.mp3", "Löwe.mp3"),
        ("filename*=iso-8859-1'en'%A3.mp3; filename=\"pound.mp3\"", "£.mp3"),
        ("filename*=\"UTF-8''%C3%A4.mp3\"", "ä.mp3"),
        ("filename=\"a; filename*=UTF-8''b.mp3\"", "a; filename*=UTF-8''b.mp3"),
        ("filename=\"plain.mp3\"; filename*=klingon''x.mp3", "plain.mp3"),
        ('filename="L\u00f6we \u2615.mp3"', "Löwe ☕.mp3"),
    ],
)
def test_names_of_files_are_decoded(
    small: Service, clip: bytes, disposition: str, name: str
) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\n'
    (line,) = lines_of(
        post_form(small, head.encode() + clip + b"\r\n", path="/embed/batch")
    ).values()
    assert (line["file"], "answer" in line) == (name, True)


def test_the_remedy_of_a_missing_key_is_in_the_words_of_its_client(tmp_path: Path) -> None:
    settings = {**small_models(tmp_path), "api_keys": "a-key-of-the-tests-0123456789"}
    with running(tmp_path / "log", **settings) as service:
        for agent, client in AGENTS.items():
            response = service.http.get("/models", headers={"User-Agent": agent})
            assert client.key in assert_problem(response, 401, "no-key")["remedy"]


def test_a_silent_middle_is_answered_from_the_nearest_sound(small: Service, tmp_path: Path) -> None:
    sound = np.zeros((40 * 8_000, 1), np.float32)
    sound[: 5 * 8_000] = golden(5.0, 8_000, 1, seed=71)
    answer = small.embedding(write(tmp_path / "hidden.wav", sound, 8_000))
    window = answer["window"]
    assert window["how"] == "nearest"
    assert window["starts"] == [pytest.approx(5 - window["seconds"], abs=0.01)]
    assert "the middle, at " in answer["audio"]["notes"][0]
    at = small.embedding(tmp_path / "hidden.wav", window=window["starts"][0])
    assert at["embedding"] == answer["embedding"]
    assert "notes" not in at["audio"]


def test_channels_that_cancel_are_answered_with_a_note(small: Service, tmp_path: Path) -> None:
    one = golden(4.0, 8_000, 1, seed=72)
    answer = small.embedding(write(tmp_path / "one.wav", one, 8_000))
    both = small.embedding(write(tmp_path / "x.wav", np.concatenate([one, -one], 1), 8_000))
    assert both["embedding"] == pytest.approx(answer["embedding"], abs=1e-4)
    assert "mixed down in phase" in both["audio"]["notes"][0]


def test_samples_of_another_scale_are_refused_with_their_range(
    small: Service, tmp_path: Path
) -> None:
    sound = golden(4.0, 8_000, 1)
    path = write(tmp_path / "x.wav", sound / np.abs(sound).max() * 32_767, 8_000, "FLOAT")
    problem = assert_problem(small.embed(path), 422, "out-of-range")
    assert problem["value"] == pytest.approx(32_767, rel=0.3)
    assert "[-1, 1]" in problem["detail"]
