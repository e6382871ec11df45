"""Headers, chunk framing and trailers are bounded; usual requests are not affected."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from service.transport.header_limits import MAX_HEADER_BYTES
from service.transport.multipart import MAX_SECTION_BYTES
from tests.running import DEADLINE_S, Service, resident_bytes

MiB = 1 << 20
POST = b"POST /embed HTTP/1.1\r\nHost: x\r\n"
CHUNKED = (
    POST + b"Transfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
)
PART = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nRIFF\r\n--b--\r\n'


@contextmanager
def connected(service: Service) -> Iterator[socket.socket]:
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), timeout=DEADLINE_S) as client:
        yield client


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def send_until_refused(client: socket.socket, piece: bytes, at_most: int) -> int:
    """Bytes that were taken before the connection was closed."""
    sent = 0
    try:
        while sent < at_most:
            client.sendall(piece)
            sent += len(piece)
    except OSError:
        return sent
    raise AssertionError(f"{sent} bytes were taken")


def test_long_headers_are_answered_as_a_problem(service: Service) -> None:
    with connected(service) as client:
        client.sendall(POST + b"X: " + b"a" * (MAX_HEADER_BYTES + 100))
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["type"] == "urn:tasteprint:head-too-large"
    assert (problem["status"], problem["limit"]) == (431, MAX_HEADER_BYTES)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (POST + b"X: ", b"a" * 4096),
        (POST, b"X: y\r\n" * 500),
        (b"POST /", b"a" * 4096),
        (CHUNKED + chunk(PART) + b"0\r\n", b"X: y\r\n" * 500),
        (CHUNKED + b"5;", b"a" * 4096),
        (b"", b"\r\n" * 2048),
    ],
    ids=["a header", "headers", "a path", "trailers", "a chunk's extension", "nothing"],
)
def test_what_never_ends_is_cut_off_and_not_kept(
    service: Service, begin: bytes, piece: bytes
) -> None:
    memory = resident_bytes(service.process.pid)
    with connected(service) as client:
        client.sendall(begin)
        assert send_until_refused(client, piece, 64 * MiB) < 16 * MiB
    assert resident_bytes(service.process.pid) < memory + 32 * MiB


@pytest.mark.parametrize("begin", [b"", PART], ids=["before", "after"])
def test_a_body_that_goes_on_beside_its_file_is_refused(service: Service, begin: bytes) -> None:
    with connected(service) as client:
        client.sendall(CHUNKED + (chunk(begin) if begin else b""))
        for _ in range(2 * MAX_SECTION_BYTES // 1024):
            client.sendall(chunk(b"\r\n" * 512))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_many_requests_over_one_connection_are_not_counted_together(service: Service) -> None:
    for _ in range(40):
        response = service.http.get("/healthz", headers={"X": "a" * (MAX_HEADER_BYTES // 16)})
        assert response.status_code == 200
