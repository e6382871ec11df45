"""A body is received completely in chunks of any size, with and without direct delivery."""

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
    """A WAV of more bytes than a connection reads at a time."""
    return write(tmp_path_factory.mktemp("body") / "x.wav", golden(6.0)).read_bytes()


def receive_more(client: socket.socket) -> bytes:
    data = client.recv(1 << 16)
    assert data, "the connection has ended"
    return data


def answer_to(client: socket.socket) -> tuple[int, dict[str, object]]:
    """The status and the JSON of one answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive_more(client)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    assert length
    while len(body) < int(length[1]):
        body += receive_more(client)
    return int(head.split()[1]), json.loads(body)


def assert_answered(client: socket.socket, content: bytes) -> None:
    """The next answer is a 200 with the digest of these bytes."""
    status, answer = answer_to(client)
    assert status == 200
    audio = answer["audio"]
    assert isinstance(audio, dict)
    assert audio["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("cuts", [(), (0,), (1000,), (0, 1, 300_000), (65_536, 65_537)])
def test_a_body_is_complete_however_it_is_cut(
    service: Service, content: bytes, cuts: tuple[int, ...]
) -> None:
    edges = [0, *cuts, len(content)]
    with connect(service) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = HEAD.format(size=len(content)).encode()
        for start, end in pairwise(edges):
            client.sendall(first + content[start:end])
            first = b""
        assert_answered(client, content)


def test_a_connection_carries_several_bodies(service: Service, content: bytes) -> None:
    head = HEAD.replace("{size}", "000{size}")
    with connect(service) as client:
        for sent in (content, content[:1], content + b"more", content):
            client.sendall(head.format(size=len(sent)).encode() + sent[:1000])
            client.sendall(sent[1000:])
            if len(sent) == 1:
                assert answer_to(client)[0] == 415
            else:
                assert_answered(client, sent)


def test_expect_100_continue_is_answered(service: Service, content: bytes) -> None:
    head = HEAD.format(size=len(content)).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
    with connect(service) as client:
        client.sendall(head.encode())
        assert client.recv(len(CONTINUE)) == CONTINUE
        client.sendall(content)
        assert answer_to(client)[0] == 200


@pytest.mark.parametrize("upgrade", ["Upgrade: h2c", "upgrade:h2c"])
def test_a_request_for_an_upgrade_to_http_2_is_answered_by_http_1(
    service: Service, content: bytes, upgrade: str
) -> None:
    asks = f"\r\nConnection: Upgrade, HTTP2-Settings\r\n{upgrade}\r\nHTTP2-Settings: AAE\r\n\r\n"
    sent = content[:-14] + b"\r\nUpgrade: h2c"  # in a body it is as it is
    with connect(service) as client:
        client.sendall(HEAD.format(size=len(sent)).replace("\r\n\r\n", asks).encode() + sent)
        assert_answered(client, sent)


def test_the_rest_of_a_refused_body_is_skipped(service: Service, content: bytes) -> None:
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
def test_bytes_after_the_last_request_of_a_connection_do_not_replace_its_answer(
    service: Service, content: bytes, more: bytes, first: bool
) -> None:
    head = HEAD.format(size=len(content))
    last = head.replace("\r\n\r\n", CLOSE)
    with connect(service) as client:
        if not first:
            client.sendall(head.encode() + content)
            assert_answered(client, content)
        client.sendall(last.encode() + content[:1000])
        wait_until(lambda: service.held_bytes() == 1000, "its beginning is there")
        client.sendall(content[1000:] + more)
        assert_answered(client, content)
        assert not client.recv(1)


def test_a_later_last_request_is_answered_whatever_follows_it(
    service: Service, content: bytes
) -> None:
    with connect(service) as client:
        client.sendall(HEAD.format(size=len(content)).encode() + content)
        assert_answered(client, content)
        client.sendall(GET.replace(b"\r\n\r\n", CLOSE.encode()) + b"no request")
        assert answer_to(client)[0] == 200
        assert not client.recv(1)


@pytest.mark.parametrize("stated", ["0 ", "00\t"])
def test_blanks_after_a_content_length_of_0_are_ignored(service: Service, stated: str) -> None:
    with connect(service) as client:
        client.sendall(HEAD.format(size=stated).encode())
        status, problem = answer_to(client)
        assert (status, problem["type"]) == (422, "urn:tasteprint:empty-upload")


def test_the_bytes_of_a_disconnected_client_are_released(service: Service, content: bytes) -> None:
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


def test_without_direct_delivery_the_body_is_read_message_by_message(settings: Settings) -> None:
    parts = [b"RIFF", b"", b"x" * 100_000]
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": part != parts[-1]} for part in parts
    ]
    budget = UploadBudget(1 << 20)
    upload = asyncio.run(receive_upload(request_of(iter(messages)), settings, budget))
    assert upload.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
    assert budget.held_bytes == upload.size == 100_004


def test_without_direct_delivery_a_silent_client_times_out(settings: Settings) -> None:
    budget = UploadBudget(1 << 20)
    # So many bytes that a pause of this machine does not make them slow ones.
    begun: Message = {"type": "http.request", "body": b"x" * 500_000, "more_body": True}
    with pytest.raises(UploadTimeout, match=r"no bytes arrived for 0\.3 s"):
        asyncio.run(receive_upload(request_of(iter([begun])), settings, budget))
    assert budget.held_bytes == 0
