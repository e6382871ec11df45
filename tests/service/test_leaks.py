"""No response reveals paths or code of the server, whatever goes wrong."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import uvicorn

from service.__main__ import listen
from service.app import create_app
from service.settings import Settings
from tests.bundles import graph_bytes, write_bundle, write_head
from tests.running import DEADLINE_S, ROOT, Service, running
from tests.sounds import FORMATS, golden, write, write_silent_video

# Folders that a path of the server's starts with; what a client wrote itself starts with dots.
PATHS = r"(?<![\w.%:/])/(?:bin|dev|etc|home|lib|mnt|opt|proc|root|run|src|tmp|usr|var|venv|work)\b"
CODE = r"Traceback|site-packages|dist-packages|File \"|\.py\b|line \d+, in|memfd|onnxruntime"
LEAK = re.compile(f"{PATHS}|{CODE}")
NAMES = (
    "../../etc/passwd",
    "..\\..\\windows\\system.ini",
    "song.mp3%0d%0aSet-Cookie: a=b",
    'a".mp3"; name="other',
    "$(id).mp3",
    "x" * 1_000,
    "\u202e3pm.gnos",
)


def spoil_bundles(folder: Path) -> None:
    """Every way in which a bundle can be refused."""
    digest = write_bundle(folder, "levels").digest
    write_bundle(folder, "fails", graph_bytes(limit=0.3))
    write_bundle(folder, "nan", graph_bytes(broken=True))
    write_bundle(folder, "lacking", graph_bytes(outputs=("embedding",)))
    write_bundle(folder, "no-onnx", b"no ONNX")
    (write_bundle(folder, "no-graph").folder / "model.onnx").unlink()
    (write_bundle(folder, "changed").folder / "model.onnx").write_bytes(b"other")
    (write_bundle(folder, "schema").folder / "card.json").write_text('{"name": "schema"}')
    (write_bundle(folder, "no-json").folder / "card.json").write_bytes(b"\xff\xfe\0")
    graph = write_bundle(folder, "a-folder").folder / "model.onnx"
    graph.unlink()
    graph.mkdir()
    (folder / "card-is-a-folder" / "card.json").mkdir(parents=True)
    write_head(folder, "strange-head", digest, head=b"no ONNX")
    (folder / "misnamed").mkdir()
    for file in (folder / "levels").iterdir():
        (folder / "misnamed" / file.name).write_bytes(file.read_bytes())


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "models").mkdir()
    spoil_bundles(folder / "models")
    given = {
        "models_dir": folder / "models",
        "default_model": "levels",
        "decode_workers": 1,
    }
    with running(folder / "log", max_upload_bytes=1 << 20, **given) as service:
        yield service


def assert_tells_nothing(*answers: httpx.Response) -> None:
    for answer in answers:
        told = f"{answer.headers}\n{answer.text}"
        assert not LEAK.search(told), told
        assert str(ROOT) not in told
        assert sys.prefix not in told
        assert "set-cookie" not in answer.headers


def test_the_search_finds_what_it_looks_for() -> None:
    for leak in ('"/proc/7/fd/3"', "at /tmp/x/card.json", 'File "a"', "decode.py", "(/usr/lib)"):
        assert LEAK.search(leak), leak
    assert not LEAK.search("GET /embed: Not Found; see /docs; ../../etc/passwd; audio/wav")


def test_refused_bundles_are_listed_without_their_path(broken: Service) -> None:
    listed, ready = broken.http.get("/models"), broken.http.get("/readyz")
    assert ready.status_code == 200
    assert_tells_nothing(listed, ready, broken.http.get("/models/levels"))
    refused = {bundle["name"]: bundle["reason"] for bundle in listed.json()["refused"]}
    expected = {folder.name for folder in (broken.output.parent / "models").iterdir()}
    assert refused.keys() == expected - {"levels", "fails"}
    assert all(refused.values())
    assert ready.json()["refused"] == listed.json()["refused"]


def test_bad_files_of_every_kind(broken: Service, tmp_path: Path) -> None:
    answers = []
    for kind in FORMATS:
        content = write(tmp_path / f"a.{kind}", golden(2.0)).read_bytes()
        rubbish = np.random.default_rng(1).bytes(len(content) // 2)
        for bad in (content[:44], content[: len(content) // 2], content[:200] + rubbish):
            answers += [broken.embed(bad), broken.post("/analyze", bad)]
    still = np.zeros((44_100, 1), np.float32)
    files = [b"", b"words\n" * 99, bytes(2 << 20), b"#EXTM3U\n/etc/passwd\n", b"PK\x03\x04"]
    files += [write(tmp_path / "still.wav", still).read_bytes()]
    files += [write(tmp_path / "nan.wav", still * np.nan, subtype="FLOAT").read_bytes()]
    files += [write(tmp_path / "short.wav", golden(0.1)).read_bytes()]
    files += [write_silent_video(tmp_path / "video.mp4").read_bytes()]
    answers += [broken.embed(content) for content in files]
    assert {400, 413, 415, 422} > {answer.status_code for answer in answers} - {200} > {415, 422}
    assert_tells_nothing(*answers)


def test_a_model_that_fails(broken: Service, tmp_path: Path) -> None:
    square = np.repeat(np.resize([0.9, -0.9], 80), 100)[:, None].astype(np.float32)
    loud = write(tmp_path / "loud.wav", square, 8_000)
    failed, analysis = broken.embed(loud, model="fails"), broken.post("/analyze", loud)
    assert failed.status_code == 500
    assert "problem" in analysis.json()["models"]["fails"]
    assert_tells_nothing(failed, analysis)


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_of_files_and_fields(broken: Service, short_clip: Path, name: str) -> None:
    content = short_clip.read_bytes()
    good = broken.http.post("/embed", files={"file": (name, content, "audio/wav")})
    assert good.status_code == 200, good.text
    assert name[:40] not in good.text
    bad = broken.http.post("/embed", files={"file": (name, b"words", "audio/wav")})
    field = broken.http.post("/embed", files={name: ("a.wav", content)})
    kind = broken.http.post("/embed", content=b"x", headers={"Content-Type": "text/../../etc"})
    assert {bad.status_code, field.status_code, kind.status_code} == {415, 400}
    assert_tells_nothing(good, bad, field, kind)


def test_odd_paths_and_parameters(broken: Service, short_clip: Path) -> None:
    paths = ["/nowhere", "/models/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/web/docs"]
    paths += ["/models/%00", "/models/%ff%fe", "/openapi.json", "/healthz", "/docs/../service"]
    answers = [broken.http.get(path) for path in paths]
    answers += [broken.http.request(method, "/embed") for method in ("GET", "PUT", "TRACE")]
    odd: list[dict[str, str | int | bool]] = [
        {"model": "../../etc/passwd"},
        {"model": "%0d%0aSet-Cookie: a=b"},
        {"window": "../x"},
        {"window": "1e999"},
        {"features": "\0"},
        {"../x": "1"},
    ]
    answers += [broken.embed(short_clip, **query) for query in odd]
    answers += [broken.post("/classify/..%2f..%2fetc", short_clip)]
    assert all(answer.status_code < 500 for answer in answers)
    assert_tells_nothing(*answers)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
        b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 144\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file";\r\n\tfilename="a\r\n'
        b'Set-Cookie: a=b"\r\n\r\nwords\r\n--b--\r\n' + bytes(80),
    ],
)
def test_malformed_http_leaks_nothing(broken: Service, sent: bytes) -> None:
    where = urlsplit(broken.url)
    with socket.create_connection((where.hostname, where.port), timeout=DEADLINE_S) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(1 << 16):
            received += data
    text = received.decode("latin-1")
    assert not LEAK.search(text), text
    assert "\nset-cookie" not in text.lower()
    assert broken.http.get("/healthz").status_code == 200


class served:  # noqa: N801  used like `running`
    """An application in a thread of this process, on a port of its own."""

    def __init__(self, settings: Settings) -> None:
        self._app = create_app(settings)

        @self._app.get("/bug")
        async def bug() -> None:
            raise ValueError(f"cannot open {ROOT}/secret.py")

        self._listener = listen("127.0.0.1", 0)
        self._server = uvicorn.Server(uvicorn.Config(self._app, log_level="critical"))
        run = {"sockets": [self._listener]}
        self._thread = threading.Thread(target=self._server.run, kwargs=run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the service did not end"


def test_a_bug_of_the_service(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    with served(Settings(models_dir=tmp_path, decode_workers=1)) as url:
        answer = httpx.get(f"{url}/bug", timeout=DEADLINE_S)
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:tasteprint:bug"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert_tells_nothing(answer)
