"""The filter's BPF program, interpreted step by step for both machines, and its call numbers."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest

from service.decoding import seccomp
from service.decoding.seccomp import ALLOW, AUDIT_ARCH, ENOSYS, EPERM, filter_code, numbers

PID = 4711
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# On both machines: what a decoder does all the time.
READ, FUTEX, MMAP = {"x86_64": 0, "aarch64": 63}, {"x86_64": 202, "aarch64": 98}, 9


def outcome(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the kernel would return for a call: the filter's program, interpreted."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    arch = AUDIT_ARCH[machine] if arch is None else arch
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", filter_code(machine, PID)))
    at, value = 0, 0
    while True:
        code, on_true, on_false, k = steps[at]
        at += 1
        if code == seccomp.RETURN:
            return int(k)
        if code == seccomp.LOAD:
            (value,) = struct.unpack_from("=I", data, k)
            continue
        holds = {
            seccomp.EQUAL: value == k,
            seccomp.AT_LEAST: value >= k,
            seccomp.ANY_BIT: bool(value & k),
        }[code]
        at += on_true if holds else on_false


def number(table: str, name: str, machine: str) -> int:
    (entry,) = (entry for entry in table.split(",") if entry.split()[0] == name)
    return numbers(entry, machine)[0]


@pytest.mark.parametrize("machine", AUDIT_ARCH)
def test_every_call_of_the_tables_is_refused(machine: str) -> None:
    for table in seccomp.REFUSED:
        assert {outcome(machine, number) for number in numbers(table, machine)} == {EPERM}
    assert {outcome(machine, number) for number in numbers(seccomp.UNKNOWN, machine)} == {ENOSYS}


@pytest.mark.parametrize("machine", AUDIT_ARCH)
def test_what_a_decoder_does_is_allowed(machine: str) -> None:
    assert outcome(machine, READ[machine]) == ALLOW
    assert outcome(machine, FUTEX[machine]) == ALLOW


@pytest.mark.parametrize("machine", AUDIT_ARCH)
def test_calls_are_told_apart_by_their_arguments(machine: str) -> None:
    clone = number(seccomp.CLONE, "clone", machine)
    assert outcome(machine, clone, 0x0011) == EPERM
    assert outcome(machine, clone, seccomp.CLONE_THREAD | 0x0F00) == ALLOW
    openat = number(seccomp.OPENAT, "openat", machine)
    assert outcome(machine, openat, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_RDONLY | os.O_TRUNC):
        assert outcome(machine, openat, 0, 0, flags) == EPERM
    for name in ("kill", "tkill", "tgkill"):
        call = number(seccomp.SIGNALS, name, machine)
        assert outcome(machine, call, PID, 9) == ALLOW
        for other in (0, 1, 2**64 - 1, 2**64 - PID):
            assert outcome(machine, call, other, 9) == EPERM
    prlimit = number(seccomp.LIMITS, "prlimit64", machine)
    assert [outcome(machine, prlimit, pid) for pid in (0, PID, 1)] == [ALLOW, ALLOW, EPERM]


def test_another_set_of_numbers_is_no_way_round() -> None:
    socket = number(seccomp.NETWORK, "socket", "x86_64")
    assert outcome("x86_64", seccomp.X32 | socket) == EPERM
    i386 = 0x4000_0003
    assert outcome("x86_64", MMAP, arch=i386) == EPERM


@pytest.mark.parametrize("machine", AUDIT_ARCH)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("no headers of Linux here")
    text = HEADERS[machine].read_text()
    stated = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", text, re.MULTILINE))
    column = 1 + list(AUDIT_ARCH).index(machine)
    tables = (*seccomp.REFUSED, seccomp.UNKNOWN, seccomp.CLONE, seccomp.OPEN, seccomp.OPENAT)
    entries = ",".join((*tables, seccomp.SIGNALS, seccomp.LIMITS)).split(",")
    for name, *given in (entry.split() for entry in entries):
        # A call that is younger than the headers cannot be looked up in them.
        assert given[column - 1] == stated.get(name, given[column - 1]), name
    assert len(stated) > 200
