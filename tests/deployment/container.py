"""The command of an image as a process: its user, its environment, a root that it cannot write."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.deployment.dockerfile import Image
from tests.deployment.roots import chrooted, system_mounts, within
from tests.running import exit_status


@dataclass
class Container:
    """A process of an image, as `docker run --read-only --tmpfs /tmp` with `env` starts it.

    Attributes
    ----------
    output : file of what it writes
    """

    root: Path
    image: Image
    output: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The started command; ended by SIGTERM, which must not be an error."""
        writable = {"/tmp": "1777"} | dict.fromkeys(self.image.volumes, "0777")
        with (
            system_mounts(self.root),
            read_only(self.root, writable),
            self.output.open("wb") as output,
        ):
            process = subprocess.Popen(
                chrooted(self.root, self.image, self.image.command()),
                env=self.image.env | dict(self.env),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                status = exit_status(process, self.output)
            # uvicorn raises the signal again when it has shut down, as a shell expects it.
            assert status in (0, -signal.SIGTERM), self.output.read_text()

    def is_healthy(self) -> bool:
        """Run the image's HEALTHCHECK once."""
        command = chrooted(self.root, self.image, self.image.healthcheck)
        done = subprocess.run(command, env=self.image.env | dict(self.env), capture_output=True)
        return done.returncode == 0

    def wait_until_healthy(self, process: subprocess.Popen[bytes], deadline_s: float) -> float:
        """Run HEALTHCHECK until it succeeds; seconds until then."""
        begin = time.monotonic()
        while not self.is_healthy():
            log = self.output.read_text()
            assert process.poll() is None, log
            assert time.monotonic() - begin < deadline_s, log
            time.sleep(0.2)
        return time.monotonic() - begin


@contextmanager
def read_only(root: Path, writable: Mapping[str, str]) -> Iterator[None]:
    """The root is written to by nobody, but for a tmpfs at each path, of that mode."""
    places = {within(root, path): mode for path, mode in writable.items()}
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", root], check=True)
    for place, mode in places.items():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", place], check=True)
    try:
        yield
    finally:
        for place in places:
            subprocess.run(["umount", "--lazy", place], check=True)
        subprocess.run(["mount", "-o", "remount,rw", root], check=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def routes(port: int) -> list[str]:
    """Paths of the OpenAPI document of a container."""
    response = httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=60)
    return list(response.json()["paths"])


def embed(port: int, audio: bytes) -> dict[str, dict[str, str]]:
    """What the service of a container answers to `POST /embed`."""
    url = f"http://127.0.0.1:{port}/embed"
    response = httpx.post(url, content=audio, headers={"Content-Type": "audio/mpeg"}, timeout=60)
    assert response.status_code == 200, response.text
    answer: dict[str, dict[str, str]] = response.json()
    return answer


def can_mount() -> bool:
    """Whether this process may make mount namespaces: it is root, and the kernel lets it."""
    command = ["unshare", "--mount", "--propagation", "private", "true"]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
