"""Following a Dockerfile: stages as overlay roots, COPY, users, and the image's command.

The service's own image is followed by `make image`, which downloads its dependencies.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.container import can_mount
from tests.deployment.roots import copy_tree, is_ignored
from tests.running import ROOT

TEXT = """\
FROM machine AS build
WORKDIR /project
COPY . .
RUN mkdir -p /made/bin && cp note.txt /made/ && echo $WHO > /made/who.txt

FROM machine AS runtime
ENV WHO=me PLACE=/made
WORKDIR /made
USER 10001

FROM runtime
COPY --from=build /made /made
RUN id -u > /dev/null && test "$(cat note.txt)" = "a note" && test ! -e /project
CMD ["sh", "-c", "cat note.txt && id -u && ! touch /made/x 2>/dev/null && touch /tmp/x"]
"""
# Runs in a mount namespace of its own: what is mounted there ends with it. The roots are on a
# tmpfs, since overlayfs takes no layer from within the folder below it, this machine's `/`.
PROGRAM = """
import json, subprocess, sys
from pathlib import Path
from tests.deployment.container import Container
from tests.deployment.dockerfile import read
from tests.deployment.follow import added_bytes
from tests.deployment.roots import Roots
context, folder = map(Path, sys.argv[1:])
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
file = read(context / "Dockerfile")
roots = Roots(Path("/"), folder, context)
root = roots.build(file)
container = Container(root, file.image(), folder / "output.txt")
with container.running() as process:
    process.wait(30)
project = roots.root("build") / "project"
print(json.dumps({
    "output": (folder / "output.txt").read_text().split(),
    "sent": sorted(path.name for path in project.iterdir()),
    "added": list(added_bytes(roots, file, None)),
}))
"""

needs_mounts = pytest.mark.skipif(not can_mount(), reason="needs root, to mount overlays")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(TEXT)
    (context / "note.txt").write_text("a note")
    (context / "secret.txt").write_text("not sent")
    (context / ".dockerignore").write_text("secret.*\n")
    return context


def follow(context: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    namespace = ["unshare", "--mount", "--propagation", "private", "--", sys.executable, "-c"]
    arguments = [PROGRAM, str(context), str(folder)]
    return subprocess.run([*namespace, *arguments], cwd=ROOT, capture_output=True, text=True)


@needs_mounts
def test_a_followed_image_has_what_its_steps_made_and_runs_as_its_user(
    context: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "roots"
    done = follow(context, folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "output": ["a", "note10001"],
        "sent": [".dockerignore", "Dockerfile", "note.txt"],
        "added": ["COPY /made /made"],
    }
    assert not Path("/project").exists()
    assert not Path("/made").exists()


@needs_mounts
def test_a_step_that_fails_ends_the_following(context: Path, tmp_path: Path) -> None:
    (context / "note.txt").write_text("another note")
    done = follow(context, tmp_path / "roots")
    assert done.returncode != 0
    assert "returned non-zero exit status 1" in done.stderr


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("README.md", False),
        ("docs/api.md", True),
        ("models/card.py", False),
        ("models/__pycache__/card.pyc", True),
        ("runs/models/x", True),
    ],
)
def test_what_dockerignore_leaves_out_is_not_sent(name: str, ignored: bool) -> None:
    patterns = ("*", "!README.md", "!models", "**/__pycache__")
    assert is_ignored(name, patterns) is ignored


def test_patterns_of_dockerignore_are_of_paths_below_the_context(tmp_path: Path) -> None:
    """For `COPY client /x`, where all but `client` is ignored."""
    (tmp_path / "context/client/package").mkdir(parents=True)
    (tmp_path / "context/client/package/code.py").touch()
    (tmp_path / "context/client/secret").touch()
    patterns = ("*", "!client", "client/secret")
    client = tmp_path / "context/client"
    copy_tree(client, tmp_path / "x", patterns, client.relative_to(tmp_path / "context"))
    found = [path.relative_to(tmp_path / "x") for path in (tmp_path / "x").rglob("*")]
    assert sorted(map(str, found)) == ["package", "package/code.py"]
