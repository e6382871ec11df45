"""Dockerfiles as far as ours go: what an image's files are, its environment and its commands."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

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


def read_dockerfile(path: Path, root: Path) -> Image:
    """Read a Dockerfile whose context is the repository, and lay its files below `root`."""
    image = Image(root)
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        _follow(image, word, rest.strip())
    return image


def _follow(image: Image, word: str, rest: str) -> None:
    if word == "WORKDIR":
        image.folder = image.folder / rest
        image.host_path("").mkdir(parents=True, exist_ok=True)
    elif word == "ENV":
        pairs = (pair.partition("=") for pair in shlex.split(rest))
        image.environment |= {name: value for name, _, value in pairs}
    elif word == "COPY":
        *sources, target = shlex.split(rest)
        for source in sources:
            _copy(image, source, target)
    elif word == "RUN":
        for words in re.findall(r"pip install ([^&|;]*)", rest):
            local = [word for word in words.split() if word.startswith((".", "/"))]
            image.installed += [image.host_path(folder).resolve() for folder in local]
    elif word == "EXPOSE":
        image.port = int(rest)
    elif word == "CMD":
        image.command = json.loads(rest)
    elif word == "HEALTHCHECK":
        image.health = json.loads(rest.partition("CMD ")[2])
    else:
        assert word in {"FROM", "ARG", "USER", "VOLUME"}, f"{word}: not understood here"


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
