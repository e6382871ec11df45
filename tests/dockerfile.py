"""Dockerfiles as far as ours go: what an image's files are, its environment and its commands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.deployment import dockerfile
from tests.running import ROOT


@dataclass
class Image:
    """What a Dockerfile says of a container.

    Attributes
    ----------
    root : folder that stands for the container's `/`; copied files are links into the repository
    installed : folders that `pip install` installs a distribution from
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: PurePosixPath = field(default_factory=lambda: PurePosixPath("/"))
    installed: list[Path] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    port: int | None = None

    def host_path(self, path: PurePosixPath | str) -> Path:
        """Where a path of the container is on this machine."""
        return self.root / str(self.folder / path).lstrip("/")


def read_dockerfile(path: Path, root: Path, target: str | None = None) -> Image:
    """Read a Dockerfile whose context is the repository, and lay its files below `root`.

    The files of all stages that the target needs are laid in one root: what a stage installs is
    this machine's, so there is nothing to copy from one to another.
    """
    file = dockerfile.read(path)
    stated = file.image(target)
    environment = {name: value for name, value in stated.env.items() if name != "PATH"}
    image = Image(root, environment, command=stated.command(), health=stated.healthcheck)
    image.port = int(stated.ports[0]) if stated.ports else None
    for stage in file.needed(target):
        image.folder = PurePosixPath(file.image(stage.base).workdir if stage.base in file else "/")
        for instruction in stage.instructions:
            _follow(image, instruction)
    return image


def _follow(image: Image, instruction: dockerfile.Instruction) -> None:
    if instruction.name == "WORKDIR":
        image.folder = image.folder / instruction.value
        image.host_path("").mkdir(parents=True, exist_ok=True)
    elif instruction.name == "COPY" and "from" not in instruction.flags:
        *sources, target = instruction.words()
        for source in sources:
            _copy(image, source, target)
    elif instruction.name == "RUN":
        for words in re.findall(r"pip (?:--python \S+ )?install ([^&|;]*)", instruction.value):
            local = [word for word in words.split() if word == "." or word.startswith(("./", "/"))]
            image.installed += [image.host_path(folder).resolve() for folder in local]


def _copy(image: Image, source: str, target: str) -> None:
    """Link a file or folder of the context that `.dockerignore` lets through."""
    sent = [source] if source != "." else [path.name for path in ROOT.iterdir()]
    for name in sent:
        if source == "." and not _is_sent(name):
            continue
        assert _is_sent(name), f".dockerignore keeps {name} out of the context"
        origin, at = ROOT / name, image.host_path(target)
        assert origin.exists(), f"COPY {source}: there is no {origin}"
        if source == "." or (target.endswith("/") and origin.is_file()):
            at = at / origin.name
        at.parent.mkdir(parents=True, exist_ok=True)
        if not at.exists():
            at.symlink_to(origin, target_is_directory=origin.is_dir())


def _is_sent(name: str) -> bool:
    """Whether `.dockerignore`, which leaves out all but what it names, sends a path."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    path = PurePosixPath(name)
    return any(path.is_relative_to(line[1:]) for line in lines if line.startswith("!"))
