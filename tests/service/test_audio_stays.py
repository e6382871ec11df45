"""Audio is in memory while its request lives, and nowhere afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import write_bundle
from tests.redis_server import RedisServer, redis_running
from tests.running import ROOT, Service, running, wait_until
from tests.service.test_bad_input import leave_halfway
from tests.sounds import write

SHARED_MEMORY = Path("/dev/shm")
WIPED = b"\xff"


def nameless(service: Service) -> tuple[int, int]:
    """How many files without a name the service has open, and their bytes, its decoders' too.

    The files that take the decoders' samples stay open: what was wiped does not count.
    """
    count = held_bytes = 0
    for pid in [service.process.pid, *service.decoders()]:
        for path in Path(f"/proc/{pid}/fd").iterdir():
            try:
                name = os.readlink(path)  # noqa: PTH115
                if "memfd:" in name or name.endswith("(deleted)"):
                    count += pid == service.process.pid
                    held_bytes += len(path.read_bytes().replace(WIPED, b""))
            except OSError:  # closed meanwhile
                continue
    return count, held_bytes


def contains(where: bytes, audio: bytes) -> bool:
    """Whether any 32 bytes of the samples, taken every 256, are in there."""
    return any(audio[i : i + 32] in where for i in range(1024, len(audio) - 32, 256))


def upload_in_every_way(service: Service, clip: bytes) -> None:
    def again(i: int) -> int:
        return service.embed(clip[:-4] + i.to_bytes(4)).status_code

    assert service.embed(clip).status_code == 200
    raw = service.http.post("/embed", content=clip, headers={"Content-Type": "audio/wav"})
    assert raw.status_code == 200
    assert service.embed(clip[: len(clip) // 2]).status_code == 422
    assert service.http.post("/embed", files={"audio": clip}).status_code == 400
    with ThreadPoolExecutor(8) as crowd:
        assert set(crowd.map(again, range(16))) == {200}
    left = service.log().count("client disconnected")
    for _ in range(3):
        leave_halfway(service)
    wait_until(
        lambda: service.log().count("client disconnected") == left + 3, "the service notices"
    )


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


def test_nothing_of_an_upload_is_left_anywhere(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {name: tmp_path / name for name in ("cwd", "tmp", "home", "models")}
    for folder in folders.values():
        folder.mkdir()
    write_bundle(folders["models"], "levels")
    monkeypatch.setenv("TMPDIR", str(folders["tmp"]))
    monkeypatch.setenv("HOME", str(folders["home"]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)  # the service's own to set
    monkeypatch.setattr("tests.running.ROOT", folders["cwd"])
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, (16_000, 1)).astype(np.float32)
    clip = write(tmp_path / "noise.wav", noise, 16_000).read_bytes()
    settings = {
        "models_dir": folders["models"],
        "default_model": "levels",
        "decode_workers": 2,
        "redis_url": redis_server.url,
        "redis_timeout_ms": 1000,
    }
    with running(tmp_path / "log", **settings) as service:
        before, shared = nameless(service), sorted(SHARED_MEMORY.iterdir())
        assert before[1] == 0
        upload_in_every_way(service, clip)
        wait_until(lambda: nameless(service) == before, "its files are closed")
        assert sorted(SHARED_MEMORY.iterdir()) == shared
    for name in ("cwd", "tmp", "home"):  # nor anything of onnxruntime, which would tell of itself
        assert list(folders[name].rglob("*")) == []
    assert sorted(path.name for path in folders["models"].rglob("*.*")) == [
        "card.json",
        "model.onnx",
    ]
    assert contains(clip, clip)
    assert not contains((tmp_path / "log").read_bytes(), clip)
    with redis_server.client as client:
        stored = [client.get(key) or b"" for key in client.keys("*")]
        assert stored
        assert not any(contains(entry, clip) for entry in stored)
        assert max(map(len, stored)) < 4096  # vectors alone
