"""CPU cores that this process may use: its affinity, and the CPU quota of its control group."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cores(root: Path = ROOT) -> int:
    """Number of CPU cores that this process may use, not those of the machine.

    A quota counts too, which is how `cpus` of Docker and limits of Kubernetes are enforced: without
    it a container of two cores on a machine of 64 would start 64 decoders, and be throttled. A part
    of a core counts as one.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    quota = min(_quotas(root), default=math.inf)
    return max(1, min(allowed, math.ceil(quota))) if math.isfinite(quota) else allowed


def _quotas(root: Path) -> Iterator[float]:
    """The quotas in cores of the control groups of this process, and of those above them.

    Source: cgroups(7), and the kernel's documentation of `cpu.max` and `cpu.cfs_quota_us`.
    """
    mount = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _along(mount, path, ("cpu.max",))
        elif "cpu" in controllers.split(","):
            yield from _along(mount / "cpu", path, ("cpu.cfs_quota_us", "cpu.cfs_period_us"))


def _along(mount: Path, path: str, files: tuple[str, ...]) -> Iterator[float]:
    # Within a container the mount is often the group itself, and the path is the host's.
    group = mount / path.lstrip("/")
    for folder in {mount, group, *(above for above in group.parents if mount in above.parents)}:
        words = " ".join(_read(folder / name) for name in files).split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:  # else `max` or -1
            yield int(words[0]) / int(words[1])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
