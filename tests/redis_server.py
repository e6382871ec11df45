"""A real Redis that can be stopped, and a proxy that can corrupt its responses."""

from __future__ import annotations

import select
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from service.cache.redis import PREFIX
from tests.running import DEADLINE_S, wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RedisServer:
    """A redis-server that keeps nothing on disk and can be stopped and started again."""

    program: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0))

    def start(self, *options: str) -> None:
        options = ("--port", str(self.port), "--save", "", "--appendonly", "no", *options)
        self.process = subprocess.Popen([self.program, *options], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "Redis answers")

    def answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except AuthenticationError:
            return True
        except RedisError:
            return False

    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE_S)

    def stored(self) -> list[bytes]:
        with self.client as client:
            return list(client.scan_iter(PREFIX + "*"))

    def set(self, **settings: str | int) -> None:
        with self.client as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)


@contextmanager
def redis_running(*options: str) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    server = RedisServer(program, free_port())
    try:
        server.start(*options)
        yield server
    finally:
        server.stop()


# What is said to a client in Redis's place; None lets Redis say it.
Spoilt = Callable[[bytes], bytes | None]


class Way(socketserver.ThreadingTCPServer):
    """A TCP proxy to a Redis, or to none, that spoils what comes back as it is told."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, upstream: int | None) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.upstream = upstream
        self.spoilt: Spoilt | None = None
        self.delay_s = 0.0
        self.connections = 0

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]  # type: ignore[no-any-return]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        way = self.server
        assert isinstance(way, Way)
        way.connections += 1
        client: socket.socket = self.request
        with socket.socket() as redis_socket:
            sides = [client]
            if way.upstream is not None:
                redis_socket.connect(("127.0.0.1", way.upstream))
                sides.append(redis_socket)
            try:
                while self._pass_on(way, client, redis_socket, select.select(sides, [], [])[0]):
                    pass
            except OSError:
                return  # one side has gone

    def _pass_on(
        self,
        way: Way,
        client: socket.socket,
        redis_socket: socket.socket,
        ready: list[socket.socket],
    ) -> bool:
        for side in ready:
            data = side.recv(1 << 16)
            if not data:
                return False
            time.sleep(way.delay_s)
            reply = way.spoilt(data) if way.spoilt else None
            if side is redis_socket:
                client.sendall(data)
            elif reply is not None:
                client.sendall(reply)
            elif way.upstream is not None:
                redis_socket.sendall(data)
        return True


@contextmanager
def way_to(upstream: int | None = None, spoilt: Spoilt | None = None) -> Iterator[Way]:
    with Way(upstream) as way:
        way.spoilt = spoilt
        thread = threading.Thread(target=way.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield way
        finally:
            way.shutdown()
            thread.join(DEADLINE_S)
