"""Roots of the stages of a Dockerfile: overlay mounts, in which its instructions are followed."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deployment.dockerfile import Dockerfile, Image, Instruction, configured

# Of the machine: devices, how names are resolved, whom TLS trusts, and where pip looks.
NAMES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", "/etc/pip.conf", "/etc/xdg/pip")
MOUNTED = ("/proc", "/dev", *NAMES)
# The machine's own settings of pip and certificates, which RUN sees beside the image's environment.
PASSED = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE")


@dataclass
class Roots:
    """Roots of stages below `folder`, each an overlay on the root of the stage that it is from.

    Attributes
    ----------
    base : root in place of every image of a registry
    context : folder that COPY without `--from` copies from
    added_bytes : stage → instruction → bytes that it added
    """

    base: Path
    folder: Path
    context: Path
    layers: dict[str, list[Path]] = field(default_factory=dict)
    added_bytes: dict[str, dict[str, int]] = field(default_factory=dict)

    def root(self, stage: str) -> Path:
        return self.folder / stage / "root"

    def build(self, file: Dockerfile, target: str | None = None) -> Path:
        """Follow the stages that a target needs, in their order; the target's root.

        Raises
        ------
        subprocess.CalledProcessError
            If a RUN fails.
        """
        make_mount_points(self.base)
        for stage in file.needed(target):
            self._mount(stage.name, self.layers.get(stage.base, [self.base]))
            image = file.image(stage.base) if stage.base in self.layers else Image(stage.base)
            with system_mounts(self.root(stage.name)):
                for instruction in stage.instructions:
                    self._measure(stage.name, instruction, image)
                    image = configured(image, instruction)
        return self.root(file.stage(target).name)

    def _mount(self, stage: str, below: list[Path]) -> None:
        upper, work, root = (self.folder / stage / part for part in ("layer", "work", "root"))
        shutil.rmtree(self.folder / stage, ignore_errors=True)
        for folder in (upper, work, root):
            folder.mkdir(parents=True)
        lower = ":".join(map(str, below))
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
        self.layers[stage] = [upper, *below]
        self.added_bytes[stage] = {}

    def _measure(self, stage: str, instruction: Instruction, image: Image) -> None:
        layer = self.layers[stage][0]
        before = size_bytes(layer)
        self._follow(self.root(stage), instruction, image)
        if (added := size_bytes(layer) - before) > 0:
            self.added_bytes[stage][f"{instruction.name} {instruction.value}"] = added

    def _follow(self, root: Path, instruction: Instruction, image: Image) -> None:
        workdir = within(root, image.workdir)
        if instruction.name == "RUN":
            workdir.mkdir(parents=True, exist_ok=True)
            passed = {key: value for key, value in os.environ.items() if key.startswith(PASSED)}
            command = chrooted(root, image, instruction.command())
            subprocess.run(command, env=passed | image.env, check=True)
        elif instruction.name == "WORKDIR":
            (workdir / instruction.value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction.name == "COPY":
            *sources, target = instruction.words()
            self._copy(instruction.flags.get("from"), sources, root, image.workdir, target)

    def _copy(
        self, stage: str | None, sources: Sequence[str], root: Path, workdir: str, target: str
    ) -> None:
        """COPY: files into a folder or to a name, and of a folder what is in it."""
        origin = self.root(stage.lower()) if stage else self.context
        ignored = () if stage else ignore_patterns(self.context)
        to = within(root, str(Path(workdir, target)))
        for source in sources:
            path = within(origin, source)
            if path.is_dir():
                copy_tree(path, to, ignored, path.relative_to(origin))
            else:
                place = to / path.name if target.endswith("/") or to.is_dir() else to
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, place)


def within(root: Path, path: str) -> Path:
    """A path of an image below its root."""
    return Path(os.path.normpath(root / path.lstrip("/")))


def chrooted(root: Path, image: Image, command: Sequence[str]) -> list[str]:
    """The command, in the root and working directory of an image, as its user."""
    user = [f"--userspec={image.user}:{image.user}"] if image.user != "root" else []
    enter = ["env", f"--chdir={image.workdir}", "--"]
    return ["chroot", *user, str(root), *enter, *command]


def make_mount_points(base: Path) -> None:
    """Empty files and folders in the base, which take the machine's own by mounts."""
    for name in filter(os.path.exists, MOUNTED):
        place = within(base, name)
        if Path(name).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()


@contextmanager
def system_mounts(root: Path) -> Iterator[None]:
    """The machine's devices, names and certificates in a root, for as long as it is entered."""
    names = [name for name in MOUNTED if Path(name).exists()]
    places = [within(root, name) for name in names]
    for name, place in zip(names, places, strict=True):
        subprocess.run(["mount", "--rbind", name, place], check=True)
    try:
        yield
    finally:
        for place in places:
            subprocess.run(["umount", "--recursive", "--lazy", place], check=True)


def ignore_patterns(context: Path) -> tuple[str, ...]:
    """Patterns of .dockerignore, in their order; `!` keeps what an earlier one ignores."""
    path = context / ".dockerignore"
    lines = path.read_text().splitlines() if path.exists() else []
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def is_ignored(name: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore leaves out a file by its path below the context."""
    ignored = False
    parents = [str(path) for path in [Path(name), *Path(name).parents][:-1]]
    for pattern in patterns:
        bare = pattern.lstrip("!").strip("/").removeprefix("**/")
        if "**/" in pattern:
            matches = any(fnmatch.fnmatch(Path(path).name, bare) for path in parents)
        else:
            matches = any(same_depth(path, bare) for path in parents)
        if matches:
            ignored = not pattern.startswith("!")
    return ignored


def same_depth(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern in which `*` does not cross a slash."""
    return path.count("/") == pattern.count("/") and fnmatch.fnmatch(path, pattern)


def copy_tree(
    source: Path, target: Path, ignored: Sequence[str] = (), in_context: Path = Path()
) -> None:
    """Copy what is in a folder, with links as links and files that are there replaced.

    Parameters
    ----------
    ignored : patterns of .dockerignore, which are of paths below the context
    in_context : path of the source below the context
    """
    target.mkdir(parents=True, exist_ok=True)
    for folder, names, files in os.walk(source):
        below = Path(folder).relative_to(source)
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        for name in [*files, *links]:
            if is_ignored(str(in_context / below / name), ignored):
                continue
            place = target / below / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            shutil.copy2(Path(folder) / name, place, follow_symlinks=False)


def size_bytes(folder: Path) -> int:
    """Bytes of the files below a folder, links and second names of a file not counted."""
    files: Mapping[tuple[int, int], int] = {
        (state.st_dev, state.st_ino): state.st_size
        for path, _, names in os.walk(folder)
        for name in names
        if (state := (Path(path) / name).lstat()) and not (Path(path) / name).is_symlink()
    }
    return sum(files.values())
