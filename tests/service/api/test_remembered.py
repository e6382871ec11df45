"""Cached answers are found by the digest of the audio, and vectors are available as bytes."""

from __future__ import annotations

import resource
from hashlib import sha256
from typing import Any

import httpx
import numpy as np
import pytest

from models.audio.windows import MAX_CHANNELS
from tests.running import Service
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write

RAW = {"Accept": "application/octet-stream"}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("asked") / "x.flac", golden(2.0, seed=400)).read_bytes()


def test_an_embedding_is_found_by_the_digest_of_its_audio(service: Service, content: bytes) -> None:
    digest = sha256(content).hexdigest()
    assert_problem(service.http.get(f"/embeddings/{digest}"), 404, "not-remembered")
    answer = service.embedding(content)
    assert answer["audio"]["sha256"] == digest
    assert service.http.get(f"/embeddings/{digest}").json() == answer | {"cached": True}
    asked = service.http.get(f"/embeddings/{digest}", params={"window": "start"})
    assert_problem(asked, 404, "not-remembered")
    asked = service.http.get(f"/embeddings/{digest}", params={"model": "other"})
    assert_problem(asked, 404, "unknown-model")


@pytest.mark.parametrize("digest", ["x", "A" * 64, "0" * 63, "../etc"])
def test_what_is_no_digest_is_refused(service: Service, digest: str) -> None:
    assert service.http.get(f"/embeddings/{digest}").status_code in {404, 422}


def numbers(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == RAW["Accept"]
    return list(np.frombuffer(response.content, "<f4").tolist())


def test_vectors_come_as_little_endian_float32(service: Service, content: bytes) -> None:
    answer = service.embedding(content)
    expected = np.array([*answer["embedding"], *answer["features"]], np.float32).tolist()
    files = {"file": content}
    whole = service.http.post("/embed", files=files, headers=RAW)
    assert numbers(whole) == expected
    width = len(answer["features"])
    assert whole.headers["tasteprint-outputs"] == f"embedding=40, features={width}"
    assert whole.headers["tasteprint-digest"] == answer["model"]["digest"]
    assert whole.headers["tasteprint-audio"] == answer["audio"]["sha256"]
    assert "cache;dur=" in whole.headers["server-timing"]
    short = service.http.post("/embed?features=false", files=files, headers=RAW)
    assert numbers(short) == expected[:40]
    asked = service.http.get(f"/embeddings/{answer['audio']['sha256']}", headers=RAW)
    assert numbers(asked) == expected
    assert asked.headers["tasteprint-cached"] == "true"


def test_a_problem_is_json_also_if_bytes_are_accepted(service: Service) -> None:
    response = service.http.post("/embed", files={"file": b"words"}, headers=RAW)
    assert_problem(response, 415, "not-audio")


def test_limits_are_published_and_those_that_hold(service: Service) -> None:
    limits = service.http.get("/limits").json()
    assert limits["upload_bytes"] == 20 << 20
    assert limits["channels"] == MAX_CHANNELS
    open_files = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)[0]
    assert 0 < limits["connections"] <= open_files // 2  # not more than there can be
    refused = service.embed(bytes(limits["upload_bytes"] + 1))
    assert assert_problem(refused, 413, "upload-too-large")["limit"] == limits["upload_bytes"]
