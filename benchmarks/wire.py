"""HTTP/1.1 client over a raw socket with prepared requests, so that clients cost little CPU."""

from __future__ import annotations

import re
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

BOUNDARY = "tasteprint-benchmark"
TIMEOUT_S = 120.0
CHUNK = 1 << 16
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"connection: *close", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Response; times are on the clock of `time.perf_counter`.

    Attributes
    ----------
    sent_s : when the request was sent whole, or the server would take no more of it
    """

    status: int
    head: bytes
    body: bytes
    sent_s: float
    answered_s: float

    def header(self, name: str) -> str:
        """A header's value; empty if it is missing."""
        found = re.search(rb"\r\n%b: *([^\r]*)" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""


def multipart(content: bytes, path: str = "/embed") -> bytes:
    """A POST of one file in the field `file`."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
    body = f"{head}Content-Type: audio/mpeg\r\n\r\n".encode() + content
    body += f"\r\n--{BOUNDARY}--\r\n".encode()
    return post(body, path, f"multipart/form-data; boundary={BOUNDARY}")


def post(body: bytes, path: str = "/embed", media_type: str = "audio/mpeg") -> bytes:
    """A POST of that body."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {media_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither answered nor closed the connection."""
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return not poller.poll(0)


class Client:
    """Keep-alive connection, reopened if the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def exchange(self, request: bytes) -> Answer:
        """Send a request and wait for its answer.

        Raises
        ------
        OSError
            If the server closes the connection, or its response is not HTTP.
        """
        if self._socket is not None and not is_open(self._socket):
            self.close()  # servers close long idle connections
        if self._socket is None:
            self._socket = connect(self._port)
        try:
            answer = _exchange(self._socket, request)
        except OSError:
            self.close()
            raise
        if CLOSES.search(answer.head):
            self.close()
        return answer

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _exchange(connection: socket.socket, request: bytes) -> Answer:
    # The server may answer and close the connection before it has read the whole request.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(request)
    sent_s = time.perf_counter()
    head, _, body = _receive_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    if not length:
        raise ConnectionError("the answer states no length")
    while len(body) < int(length[1]):
        body += _receive(connection)
    return Answer(int(head[9:12]), head, body, sent_s, time.perf_counter())


def _receive_until(connection: socket.socket, end: bytes) -> bytes:
    data = _receive(connection)
    while end not in data:
        data += _receive(connection)
    return data


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(CHUNK)
    if not data:
        raise ConnectionError("the server hung up")
    return data


def fetch(port: int, path: str) -> Answer | None:
    """GET once, on a separate connection; None if the server does not answer."""
    client = Client(port)
    try:
        return client.exchange(get(path))
    except OSError:
        return None
    finally:
        client.close()
