"""Reader of Dockerfiles: stages, instructions, and the configuration of the image of a stage.

Reads the instructions that this project's Dockerfiles use, without a Docker engine; heredocs,
flags of RUN and ONBUILD are refused. Source: Dockerfile reference of Docker's documentation.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

READ = {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"}
READ |= {"RUN", "USER", "VOLUME", "WORKDIR"}
# Of an image that does not state another one.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::(-|\+)([^}]*))?\})")
# What a shell or another program would read: substituted by those, not by the Dockerfile's reader.
LEFT_TO_THE_SHELL = {"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"}


class NotRead(ValueError):
    """A line that this reader does not read, with its number."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: `COPY --from=build /a /b` has the flag `from` and the value `/a /b`."""

    name: str
    value: str
    flags: Mapping[str, str]
    line: int

    def words(self) -> list[str]:
        """The value as a list of words, from the exec (JSON) form or as a shell splits it."""
        if self.value.startswith("["):
            words = json.loads(self.value)
            assert isinstance(words, list)
            return [str(word) for word in words]
        return shlex.split(self.value)

    def command(self) -> list[str]:
        """The command of RUN, CMD, ENTRYPOINT: the exec form as it is, else run by a shell."""
        return self.words() if self.value.startswith("[") else ["/bin/sh", "-c", self.value]


@dataclass(frozen=True)
class Stage:
    """A stage: the image or stage that it is from, and its instructions without FROM."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def of(self, name: str) -> list[Instruction]:
        return [found for found in self.instructions if found.name == name]

    def sources(self) -> set[str]:
        """Stages and images that the stage is from or copies from."""
        copied = {found.flags["from"] for found in self.instructions if "from" in found.flags}
        return {self.base} | copied


@dataclass(frozen=True)
class Image:
    """Configuration of an image, as far as the Dockerfile states it."""

    base: str
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    healthcheck_flags: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """What a container runs."""
        return [*self.entrypoint, *self.cmd]


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile: its stages in order; the last one is built unless a target is named."""

    stages: tuple[Stage, ...]

    def __contains__(self, name: str) -> bool:
        """Whether there is a stage of that name; other bases are images of a registry."""
        return any(stage.name == name for stage in self.stages)

    def stage(self, target: str | None = None) -> Stage:
        if target is None:
            return self.stages[-1]
        found = [stage for stage in self.stages if stage.name == target.lower()]
        if not found:
            names = ", ".join(stage.name for stage in self.stages)
            raise KeyError(f"no stage {target}; there are {names}")
        return found[0]

    def needed(self, target: str | None = None) -> list[Stage]:
        """The stages that a target is built from, in the order of the file; itself last."""
        needed = {self.stage(target).name}
        for stage in reversed(self.stages):
            if stage.name in needed:
                needed |= stage.sources()
        return [stage for stage in self.stages if stage.name in needed]

    def image(self, target: str | None = None) -> Image:
        """Configuration of the image of a stage, with what its bases among the stages state."""
        stage = self.stage(target)
        image = self.image(stage.base) if stage.base in self else Image(stage.base)
        for instruction in stage.instructions:
            image = configured(image, instruction)
        return image


def read(path: Path, args: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile.

    Parameters
    ----------
    args : build arguments, in place of the defaults of ARG

    Raises
    ------
    NotRead
    """
    return parse(path.read_text(), args)


def parse(text: str, args: Mapping[str, str] | None = None) -> Dockerfile:
    """Parse the text of a Dockerfile; as `read`."""
    stages: list[Stage] = []
    before: dict[str, str] = {}  # ARG before the first FROM holds for FROM lines alone
    variables = before
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            stages.append(_from(instruction, before, len(stages)))
            variables = _inherited(stages)
        elif instruction.name == "ARG":
            name, _, default = _substituted(instruction, variables).value.partition("=")
            variables[name] = (args or {}).get(name, before.get(name, default))
        elif not stages:
            raise NotRead(f"line {instruction.line}: {instruction.name} before FROM")
        else:
            known = _substituted(instruction, variables)
            if known.name == "ENV":
                variables |= _pairs(known)
            stages[-1] = replace(stages[-1], instructions=(*stages[-1].instructions, known))
    return Dockerfile(tuple(stages))


def _inherited(stages: list[Stage]) -> dict[str, str]:
    """ENV of the stages that the last one is from."""
    image = Dockerfile(tuple(stages)).image(stages[-1].name)
    return dict(image.env)


def _instructions(text: str) -> Iterator[Instruction]:
    for number, line in _lines(text):
        name, _, value = line.partition(" ")
        name, value = name.upper(), value.strip()
        is_mount = name == "RUN" and value.startswith("--")
        if name not in READ or is_mount or value.startswith("<<"):
            raise NotRead(f"line {number}: {line[:80]}")
        flags: dict[str, str] = {}
        while flag := FLAG.match(value):
            flags[flag[1]] = flag[2]
            value = value[flag.end() :]
        yield Instruction(name, value, flags, number)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined where they end with a backslash, without comments, each with its number."""
    joined, begin = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or joined):
            continue
        begin = begin if joined else number
        joined += line.strip() if not joined else f" {line.strip()}"
        if joined.endswith("\\"):
            joined = joined[:-1].rstrip()
            continue
        yield begin, joined
        joined = ""
    if joined:
        raise NotRead(f"line {begin}: the file ends within it")


def _from(instruction: Instruction, args: Mapping[str, str], count: int) -> Stage:
    words = _substituted(instruction, args).words()
    if len(words) == 3 and words[1].upper() == "AS":
        return Stage(words[2].lower(), words[0], ())
    if len(words) != 1:
        raise NotRead(f"line {instruction.line}: FROM {instruction.value}")
    return Stage(str(count), words[0], ())


def _substituted(instruction: Instruction, variables: Mapping[str, str]) -> Instruction:
    if instruction.name in LEFT_TO_THE_SHELL:
        return instruction

    def of(found: re.Match[str]) -> str:
        value = variables.get(found[1] or found[2], "")
        if found[3] == "-":
            return value or found[4]
        return found[4] if found[3] and value else value

    flags = {name: VARIABLE.sub(of, value) for name, value in instruction.flags.items()}
    return replace(instruction, value=VARIABLE.sub(of, instruction.value), flags=flags)


def _pairs(instruction: Instruction) -> dict[str, str]:
    """`ENV a=1 b="2 3"` as a dictionary."""
    return dict(word.split("=", 1) for word in shlex.split(instruction.value))


def configured(image: Image, instruction: Instruction) -> Image:
    """The image's configuration after one more instruction."""
    match instruction.name:
        case "ENV":
            return replace(image, env=image.env | _pairs(instruction))
        case "WORKDIR":
            return replace(image, workdir=str(Path(image.workdir, instruction.value)))
        case "USER":
            return replace(image, user=instruction.value)
        case "ENTRYPOINT":
            return replace(image, entrypoint=instruction.command(), cmd=[])
        case "CMD":
            return replace(image, cmd=instruction.command())
        case "EXPOSE":
            return replace(image, ports=(*image.ports, *instruction.words()))
        case "VOLUME":
            return replace(image, volumes=(*image.volumes, *instruction.words()))
        case "HEALTHCHECK":
            words = instruction.value.removeprefix("CMD").strip()
            check = replace(instruction, value=words).command() if words != "NONE" else []
            return replace(image, healthcheck=check, healthcheck_flags=instruction.flags)
        case _:
            return image
