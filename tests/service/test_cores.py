"""Cores that a process may use: its affinity, and quotas of control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.cores import cores

ALL = len(os.sched_getaffinity(0))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "25000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, ALL),
        ({"cpu.max": f"{(ALL + 8) * 100000} 100000\n"}, ALL),
        ({"pod/cpu.max": "100000 100000\n", "pod/container/cpu.max": "max 100000\n"}, 1),
        ({}, ALL),
    ],
    ids=["one core", "part of a core", "no quota", "beyond the affinity", "of the pod", "no file"],
)
def test_the_quota_of_control_groups_limits_the_cores(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    groups = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    write(tmp_path, groups | {"proc/self/cgroup": "0::/pod/container\n"})
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota_us", "expected"), [("100000", 1), ("-1", ALL)])
def test_a_quota_of_version_one_limits_the_cores(
    tmp_path: Path, quota_us: str, expected: int
) -> None:
    # A container's own view: the host's path, and the group itself at the mount.
    files = {
        "proc/self/cgroup": "5:devices:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": f"{quota_us}\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert cores(write(tmp_path, files)) == expected


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert cores(tmp_path) == ALL
    assert 1 <= cores() <= ALL
