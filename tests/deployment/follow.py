"""Follow a Dockerfile without a Docker engine: its steps as processes in fresh roots.

    python -m tests.deployment.follow --base runs/image/debian --out runs/image    # make image

Every stage that the target needs gets a root: an overlay on the root of the stage it is from. RUN
is run in it by chroot, COPY honours .dockerignore. At the end the image's command is started as
the image's user, with a root that is read-only but for /tmp and volumes, its HEALTHCHECK is run
until it succeeds, a song is embedded where the image does so, and the command is ended by SIGTERM.
Sizes are those of what each step added.

In place of the images of a registry stands `--base`, by default made by debootstrap: Debian with
its own python3. What differs from a Docker engine: that base, the host's network, and no limits.
All mounts are in a namespace of this process, so the kernel undoes them. Needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.deployment.container import Container, embed, free_port, routes
from tests.deployment.dockerfile import Dockerfile, read
from tests.deployment.roots import Roots, size_bytes
from tests.running import ROOT

IN_NAMESPACE = "IN_MOUNT_NAMESPACE"
START_S = 120.0


def enter_namespace(module: str, arguments: list[str]) -> None:
    """Run this program again in a mount namespace of its own, unless it is in one."""
    if os.environ.get(IN_NAMESPACE) != "1":
        os.environ[IN_NAMESPACE] = "1"
        command = ["unshare", "--mount", "--propagation", "private", "--", sys.executable, "-m"]
        os.execvp("unshare", [*command, module, *arguments])


def make_base(base: Path) -> None:
    """A minimal Debian with python3, pip and certificates, in place of `python:slim`."""
    if (base / "usr" / "bin" / "python3").exists():
        return
    base.mkdir(parents=True, exist_ok=True)
    packages = "--include=ca-certificates,python3,python3-pip,python3-venv"
    subprocess.run(["debootstrap", "--variant=minbase", packages, "trixie", base], check=True)
    # Images of Python have `python` too, which Debian has in a package of its own, and a pip that
    # installs without a virtual environment.
    (base / "usr" / "local" / "bin" / "python").symlink_to("/usr/bin/python3")
    for marker in (base / "usr" / "lib").glob("python3*/EXTERNALLY-MANAGED"):
        marker.unlink()


def added_bytes(roots: Roots, file: Dockerfile, target: str | None) -> dict[str, int]:
    """Bytes that the instructions of a target, and of the stages below it, add to the base."""
    found: dict[str, int] = {}
    name = file.stage(target).name
    while name in roots.layers:
        found = roots.added_bytes[name] | found
        name = file.stage(name).base
    return found


def run(roots: Roots, file: Dockerfile, target: str | None) -> dict[str, object]:
    """Start the target's image, and ask it for an embedding, if it has that route."""
    image, port = file.image(target), free_port()
    name = file.stage(target).name
    (variable,) = [key for key in image.env if key.endswith("_PORT")]
    settings = {variable: str(port)}
    if variable.startswith("TASTEPRINT_"):
        settings["TASTEPRINT_ALLOW_ANYONE"] = "true"
    container = Container(roots.root(name), image, roots.folder / f"{name}.log", settings)
    with container.running() as process:
        healthy_s = container.wait_until_healthy(process, START_S)
        figures: dict[str, object] = {"user": image.user, "healthy_s": round(healthy_s, 1)}
        if "/embed" in (served := routes(port)):
            answer = embed(port, (ROOT / "examples" / "chords.mp3").read_bytes())
            return figures | {"answered_by": answer["model"]["name"]}
        return figures | {"routes": served}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, default=ROOT / "Dockerfile")
    parser.add_argument("--context", type=Path, default=ROOT)
    parser.add_argument("--target", help="stage to build; by default the last one")
    parser.add_argument(
        "--base", type=Path, required=True, help="root of the base; made if missing"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the roots and figures")
    options = parser.parse_args()
    enter_namespace("tests.deployment.follow", sys.argv[1:])
    base, out = options.base.resolve(), options.out.resolve()
    make_base(base)
    file = read(options.file)
    roots = Roots(base, out, options.context.resolve())
    roots.build(file, options.target)
    name = file.stage(options.target).name
    added = added_bytes(roots, file, options.target)
    figures = {
        "file": str(options.file),
        "target": name,
        "base_bytes": size_bytes(base),
        "added_bytes": added,
        "sum_bytes": sum(added.values()),
        **run(roots, file, options.target),
    }
    text = json.dumps(figures, indent=1)
    (out / f"{name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
