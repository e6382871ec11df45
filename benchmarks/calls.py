"""Call counts of one request: calls of the project's functions, files, and changes of file.

`python -m benchmarks.calls` counts them for the README's `POST /embed`, of an upload that is not in
the cache, in the event loop's thread of a running service: a reader who follows the request opens
that many files and turns from one file to another that many times. A coroutine that is resumed
counts as called. `--trace` prints the calls in their order.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from benchmarks.processes import ROOT
from benchmarks.sounds import Sounds
from service.__main__ import listen
from service.app import create_app
from service.observability.logs import configure
from service.server import Server
from service.settings import Settings

# Called by a timer, independently of the request.
PERIODIC = {"Server.on_tick"}
PACKAGES = tuple(f"{ROOT / package}{os.sep}" for package in ("models", "service"))


class CallCounter:
    """Profile function (see `sys.setprofile`) that lists calls of the project's functions."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        name = frame.f_code.co_qualname
        if event == "call" and path.startswith(PACKAGES) and name not in PERIODIC:
            self.calls.append((str(Path(path).relative_to(ROOT)), name))

    @property
    def files(self) -> Counter[str]:
        return Counter(path for path, _ in self.calls)

    @property
    def changes(self) -> int:
        """Number of calls into another file than the previous call's."""
        paths = [path for path, _ in self.calls]
        return sum(path != before for path, before in zip(paths, ["", *paths], strict=False))


def post(port: int, content: bytes) -> None:
    """Upload a file, headers and body in one write, so that the server reads a few large chunks."""
    request = httpx.Request("POST", f"http://127.0.0.1:{port}/embed", files={"file": content})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/embed", request.read(), dict(request.headers))
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(answer.decode())


def count_calls(content: bytes, warm_up: bytes) -> CallCounter:
    """Serve both uploads in this process, and count the calls that `content` makes."""
    counter = CallCounter()
    settings = Settings(port=0, decode_workers=1)
    configure(settings)
    listener = listen(settings.host, settings.port)

    def ask(loop: asyncio.AbstractEventLoop) -> None:
        port = listener.getsockname()[1]
        try:
            post(port, warm_up)
            loop.call_soon_threadsafe(sys.setprofile, counter)
            post(port, content)
        finally:
            loop.call_soon_threadsafe(sys.setprofile, None)
            server.should_exit = True

    def start_client(*_: object) -> str:
        threading.Thread(target=ask, args=[asyncio.get_running_loop()]).start()
        return ""

    server = Server(create_app(settings), settings, start_client)
    server.run(sockets=[listener])
    return counter


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--trace", action="store_true", help="print each call in its order")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (warm_up,) = Sounds(Path(folder)).different("mp3", 30, 1)
    counter = count_calls((ROOT / "examples" / "chords.mp3").read_bytes(), warm_up)
    if given.trace:
        print(*(f"{path:40} {name}" for path, name in counter.calls), sep="\n")
    for path, count in counter.files.most_common():
        print(f"{count:5} {path}")
    total, files = len(counter.calls), len(counter.files)
    print(f"{total} calls in {files} files, {counter.changes} changes of file")


if __name__ == "__main__":
    main()
