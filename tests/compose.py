"""`docker compose up` without Docker: the same commands and environment as processes on loopback.

docker-compose.yml and the Dockerfiles themselves are read, so what they get wrong fails here too.
What containers isolate (users, read-only roots, memory) is left out.

    python -m tests.compose        # start all, print where they listen, until Ctrl-C
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.dockerfile import Image, read_dockerfile
from tests.redis_server import free_port
from tests.running import DEADLINE_S, ROOT, exit_status, wait_until

Environment = dict[str, str]
# Images of others: the port, and how a program is told another one.
OTHERS = {"redis": (6379, {"redis-server": "--port", "redis-cli": "-p"})}


@dataclass
class Container:
    """One service of the composition, as a process.

    Attributes
    ----------
    port : on loopback, in place of `inner_port` in its container
    log : what it wrote, over all its starts
    """

    name: str
    image: Image
    command: list[str]
    health: list[str]
    environment: Environment
    depends_on: dict[str, str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.image.host_path(""),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_healthy(self) -> None:
        wait_until(self._is_healthy, f"{self.name} is healthy:\n{self.log.read_text()[-3000:]}")

    def _is_healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text()[-5000:]}"
        done = subprocess.run(self.health, env=self.environment, capture_output=True, check=False)
        return done.returncode == 0

    def kill(self) -> None:
        """As a crash does: no signal that the program could answer."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            exit_status(self.process, self.log)


class Composition:
    """The services of docker-compose.yml that have no profile.

    Parameters
    ----------
    folder : for volumes and logs
    changes : environment by service, as a docker-compose.override.yml has it
    """

    def __init__(self, folder: Path, changes: Mapping[str, Environment] | None = None) -> None:
        content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        self._services = {
            name: service
            for name, service in content["services"].items()
            if not service.get("profiles")
        }
        self._folder = folder
        self._images = {name: self._image(name) for name in self._services}
        self._ports = {name: free_port() for name in self._services}
        self.containers = {
            name: self._container(name, dict((changes or {}).get(name, {})))
            for name in self._services
        }

    def __getitem__(self, name: str) -> Container:
        return self.containers[name]

    def up(self) -> None:
        """Start each service after those that it depends on, and wait until all are healthy."""
        started: set[str] = set()
        while len(started) < len(self.containers):
            ready = [
                container
                for name, container in self.containers.items()
                if name not in started and container.depends_on.keys() <= started
            ]
            assert ready, "services that depend on each other in a circle"
            for container in ready:
                for name, condition in container.depends_on.items():
                    if condition == "service_healthy":
                        self.containers[name].wait_until_healthy()
                container.start()
                started.add(container.name)
        for container in self.containers.values():
            container.wait_until_healthy()

    def _image(self, name: str) -> Image:
        service = self._services[name]
        root = self._folder / "images" / name
        root.mkdir(parents=True)
        if "build" not in service:
            port, _ = OTHERS[service["image"].partition(":")[0]]
            return Image(root, port=port)
        build = service["build"]
        build = {"context": build} if isinstance(build, str) else build
        assert build["context"] == "."
        path = ROOT / build.get("dockerfile", "Dockerfile")
        return read_dockerfile(path, root, build.get("target"))

    def _container(self, name: str, changes: Environment) -> Container:
        service, image = self._services[name], self._images[name]
        for volume in service.get("volumes", []):
            image.host_path(volume.split(":")[1]).mkdir(parents=True, exist_ok=True)
        given = image.environment | _environment(service.get("environment", {}))
        given = {key: self._translate(name, value) for key, value in given.items() if key != "PATH"}
        health = service.get("healthcheck", {}).get("test", ["CMD", *image.health])
        command = service.get("command") or image.command
        words = shlex.split(command) if isinstance(command, str) else command
        return Container(
            name,
            image,
            self._program(name, words),
            self._program(name, health[1:]),
            _machine(image) | given | changes,
            {other: how["condition"] for other, how in service.get("depends_on", {}).items()},
            self._ports[name],
            self._folder / f"{name}.log",
        )

    def _program(self, name: str, words: list[str]) -> list[str]:
        """A command with its program's path here, told the port where it is another's."""
        _, options = OTHERS.get(str(self._services[name].get("image")).partition(":")[0], (0, {}))
        told = [options[words[0]], str(self._ports[name])] if words[0] in options else []
        program = shutil.which(words[0], path=_path())
        assert program, f"{name}: {words[0]} is not installed"
        return [program, *told, *words[1:]]

    def _translate(self, name: str, value: str) -> str:
        """A value of the environment with this machine's ports, hosts and paths."""
        own = self._images[name]
        if value == str(own.port):
            return str(self._ports[name])
        if value == "0.0.0.0":
            return "127.0.0.1"
        for other, image in self._images.items():
            value = value.replace(f"//{other}:{image.port}", f"//127.0.0.1:{self._ports[other]}")
        return str(own.host_path(value)) if value.startswith("/") else value


def _environment(given: dict[str, Any]) -> Environment:
    """`environment` of a service; no value: that of this process, if it has one."""
    found = {name: os.environ.get(name) if v is None else str(v) for name, v in given.items()}
    return {name: interpolate(value) for name, value in found.items() if value is not None}


def interpolate(value: str) -> str:
    """`${NAME:-default}` replaced, from the inside out, by the environment or the default."""
    pattern = re.compile(r"\$\{(\w+)(?::-([^${}]*))?\}")
    while found := pattern.search(value):
        value = value.replace(found[0], os.environ.get(found[1]) or found[2] or "")
    return value


def _path() -> str:
    """Programs of this virtual environment before those of the machine."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _machine(image: Image) -> Environment:
    """What a container has of its own: programs, and what its image has installed."""
    installed = os.pathsep.join(map(str, image.installed))
    return {"PATH": _path(), "HOME": str(image.root), "PYTHONPATH": installed}


@contextmanager
def composed(
    folder: Path, changes: Mapping[str, Environment] | None = None
) -> Iterator[Composition]:
    """A running composition, ended by SIGTERM."""
    composition = Composition(folder, changes)
    with ExitStack() as stack:
        for container in composition.containers.values():
            stack.callback(container.stop)
        composition.up()
        yield composition


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, composed(Path(folder)) as composition:
        for container in composition.containers.values():
            print(f"{container.name:12} 127.0.0.1:{container.port}")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
