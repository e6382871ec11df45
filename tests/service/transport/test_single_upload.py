"""A body arrives whole however it is cut and whoever delivers it, and none is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from starlette.requests import Request
from starlette.types import Message

from service.errors import UploadTimeout
from service.settings import Settings
from service.transport.single_upload import receive_upload
from service.transport.upload import UploadBudget
from tests.running import Service, wait_until
from tests.service.test_server import HEAD, connect
from tests.sounds import golden, write

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """More than a connection reads at a time."""
    return write(tmp_path_factory.mktemp("body") / "x.wav", golden(6.0)).read_bytes()


def more_of(client: socket.socket) -> bytes:
    more = client.recv(1 << 16)
    assert more, "the connection has ended"
    return more


def answer_to(client: socket.socket) -> tuple[int, dict[str, object]]:
    """The status and the JSON of one answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += more_of(client)
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    assert length
    while len(body) < int(length[1]):
        body += more_of(client)
    return int(head.split()[1]), json.loads(body)


def assert_heard(client: socket.socket, content: bytes) -> None:
    """The answer is to those very bytes."""
    status, answer = answer_to(client)
    assert status == 200
    audio = answer["audio"]
    assert isinstance(audio, dict)
    assert audio["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("cuts", [(), (0,), (1000,), (0, 1, 300_000), (65_536, 65_537)])
def test_a_body_is_whole_however_it_is_cut(
    service: Service, content: bytes, cuts: tuple[int, ...]
) -> None:
    edges = [0, *cuts, len(content)]
    with connect(service) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = HEAD.format(size=len(content)).encode()
        for start, end in pairwise(edges):
            client.sendall(first + content[start:end])
            first = b""
        assert_heard(client, content)


def test_a_connection_takes_one_body_after_the_other(service: Service, content: bytes) -> None:
    head = HEAD.replace("{size}", "000{size}")
    with connect(service) as client:
        for sent in (content, content[:1], content + b"more", content):
            client.sendall(head.format(size=len(sent)).encode() + sent[:1000])
            client.sendall(sent[1000:])
            if len(sent) == 1:
                assert answer_to(client)[0] == 415
            else:
                assert_heard(client, sent)


def test_a_client_that_asks_first_is_told_to_go_on(service: Service, content: bytes) -> None:
    head = HEAD.format(size=len(content)).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
    with connect(service) as client:
        client.sendall(head.encode())
        assert client.recv(len(CONTINUE)) == CONTINUE
        client.sendall(content)
        assert answer_to(client)[0] == 200


@pytest.mark.parametrize("upgrade", ["Upgrade: h2c", "upgrade:h2c"])
def test_a_client_that_would_rather_speak_http_2_is_answered(
    service: Service, content: bytes, upgrade: str
) -> None:
    asks = f"\r\nConnection: Upgrade, HTTP2-Settings\r\n{upgrade}\r\nHTTP2-Settings: AAE\r\n\r\n"
    sent = content[:-14] + b"\r\nUpgrade: h2c"  # in a body it is as it is
    with connect(service) as client:
        client.sendall(HEAD.format(size=len(sent)).replace("\r\n\r\n", asks).encode() + sent)
        assert_heard(client, sent)


def test_what_follows_a_refused_beginning_is_let_pass(service: Service, content: bytes) -> None:
    wrong = b'--b\r\nContent-Disposition: form-data; name="song"\r\n\r\n' + content
    head = HEAD.format(size=len(wrong)).replace("audio/wav", "multipart/form-data; boundary=b")
    with connect(service) as client:
        client.sendall(head.encode() + wrong[:5000])
        status, problem = answer_to(client)
        assert (status, problem["type"]) == (400, "urn:tasteprint:wrong-field")
        client.sendall(wrong[5000:] + HEAD.format(size=len(content)).encode() + content)
        assert answer_to(client)[0] == 200


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = "\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("more", [GET, b"no request", b"\r\n"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_what_follows_a_connection_s_last_request_does_not_take_its_answer(
    service: Service, content: bytes, more: bytes, first: bool
) -> None:
    head = HEAD.format(size=len(content))
    last = head.replace("\r\n\r\n", CLOSE)
    with connect(service) as client:
        if not first:
            client.sendall(head.encode() + content)
            assert_heard(client, content)
        client.sendall(last.encode() + content[:1000])
        wait_until(lambda: service.held_bytes() == 1000, "its beginning is there")
        client.sendall(content[1000:] + more)
        assert_heard(client, content)
        assert not client.recv(1)


def test_a_later_request_that_is_the_last_is_answered_whatever_follows_it(
    service: Service, content: bytes
) -> None:
    with connect(service) as client:
        client.sendall(HEAD.format(size=len(content)).encode() + content)
        assert_heard(client, content)
        client.sendall(GET.replace(b"\r\n\r\n", CLOSE.encode()) + b"no request")
        assert answer_to(client)[0] == 200
        assert not client.recv(1)


@pytest.mark.parametrize("stated", ["0 ", "00\t"])
def test_blanks_behind_a_length_of_nothing_are_let_pass(service: Service, stated: str) -> None:
    with connect(service) as client:
        client.sendall(HEAD.format(size=stated).encode())
        status, problem = answer_to(client)
        assert (status, problem["type"]) == (422, "urn:tasteprint:empty-upload")


def test_a_client_that_leaves_takes_its_bytes_along(service: Service, content: bytes) -> None:
    with connect(service) as client:
        client.sendall(HEAD.format(size=len(content)).encode() + content[:-1])
        wait_until(lambda: service.held_bytes() == len(content) - 1, "its bytes are there")
    wait_until(lambda: service.held_bytes() == 0, "they are given back")


@pytest.fixture
def settings() -> Settings:
    return Settings(upload_timeout_s=0.3)


def request_of(messages: Iterator[Message]) -> Request:
    async def next_message() -> Message:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"audio/wav")]}
    return Request(scope, next_message)


def test_a_server_without_delivery_is_read_message_by_message(settings: Settings) -> None:
    parts = [b"RIFF", b"", b"x" * 100_000]
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": part != parts[-1]} for part in parts
    ]
    budget = UploadBudget(1 << 20)
    upload = asyncio.run(receive_upload(request_of(iter(messages)), settings, budget))
    assert upload.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
    assert budget.held_bytes == upload.size == 100_004


def test_there_too_a_silent_client_is_cut(settings: Settings) -> None:
    budget = UploadBudget(1 << 20)
    begun: Message = {"type": "http.request", "body": b"x" * 10, "more_body": True}
    with pytest.raises(UploadTimeout, match=r"no bytes arrived for 0\.3 s"):
        asyncio.run(receive_upload(request_of(iter([begun])), settings, budget))
    assert budget.held_bytes == 0
