"""System call filter (seccomp-BPF): calls that a decoder does not need fail with EPERM.

A deny list rather than an allow list: libraries and kernels differ in the calls that they need,
and an allow list that lacks one makes decoders fail in production. So a call that is newer than
this list passes.

Source: Linux `Documentation/userspace-api/seccomp_filter.rst`; numbers from its `unistd.h`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# Each call with its numbers on x86_64 and on aarch64; `-` where that machine lacks the call.
NETWORK = """
socket 41 198, socketpair 53 199, connect 42 203, bind 49 200, listen 50 201, accept 43 202,
accept4 288 242, sendto 44 206, sendmsg 46 211, sendmmsg 307 269, shmget 29 194, semget 64 190,
msgget 68 186, mq_open 240 180"""
PROGRAMS = "execve 59 221, execveat 322 281, fork 57 -, vfork 58 -"
OTHER_PROCESSES = """
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272,
rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_send_signal 424 424, pidfd_open 434 434,
pidfd_getfd 438 438, process_madvise 440 440, setpriority 141 140, sched_setaffinity 203 122"""
FILES = """
creat 85 -, truncate 76 45, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38,
renameat2 316 276, mkdir 83 -, mkdirat 258 34, rmdir 84 -, link 86 -, linkat 265 37, symlink 88 -,
symlinkat 266 36, mknod 133 -, mknodat 259 33, chmod 90 -, fchmod 91 52, fchmodat 268 53,
fchmodat2 452 452, chown 92 -, lchown 94 -, fchown 93 55, fchownat 260 54, setxattr 188 5,
lsetxattr 189 6, fsetxattr 190 7, utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88,
memfd_secret 447 447, name_to_handle_at 303 264, open_by_handle_at 304 265"""
KERNEL = """
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428,
move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433,
mount_setattr 442 442, unshare 272 97, setns 308 268, bpf 321 280, perf_event_open 298 241,
userfaultfd 323 282, io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427,
add_key 248 217, request_key 249 218, keyctl 250 219, init_module 175 105, finit_module 313 273,
delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, reboot 169 142"""
REFUSED = (NETWORK, PROGRAMS, OTHER_PROCESSES, FILES, KERNEL)
# Their arguments are in memory, which a filter cannot read; libc falls back to older calls.
UNKNOWN = "clone3 435 435, openat2 437 437"
# Refused by an argument: a flag that is missing or set, or the number of another process.
CLONE, OPEN, OPENAT = "clone 56 220", "open 2 -", "openat 257 56"
SIGNALS = "kill 62 129, tkill 200 130, tgkill 234 131"
LIMITS = "prlimit64 302 261"

AUDIT_ARCH = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
SECCOMP = {"x86_64": 317, "aarch64": 277}
X32 = 0x4000_0000  # x86_64's second set of numbers for the same calls
CLONE_THREAD = 0x0001_0000
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCH, ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`
ALLOW, FAIL = 0x7FFF_0000, 0x0005_0000
EPERM, ENOSYS = FAIL | errno.EPERM, FAIL | errno.ENOSYS

SET_MODE_FILTER, EVERY_THREAD = 1, 1
PR_SET_NO_NEW_PRIVS = 38


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(*, every_thread: bool = True) -> None:
    """Install the filter in this thread or in the whole process; it cannot be undone.

    Raises
    ------
    OSError
        Where the machine, the kernel or the container supports no filter.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no system call filter for {sys.platform} on {machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    code = filter_code(machine, os.getpid())
    program = _Program(len(code) // 8, code)
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))
    flags = EVERY_THREAD if every_thread else 0
    arguments = (SECCOMP[machine], SET_MODE_FILTER, flags)
    _check(libc.syscall(*map(ctypes.c_long, arguments), ctypes.byref(program)))


def _check(result: int) -> None:
    if result:  # -1, or the number of a thread that already has another filter
        code = ctypes.get_errno()
        raise OSError(code, f"no system call filter ({os.strerror(code)})")


def filter_code(machine: str, pid: int) -> bytes:
    """The filter's BPF program for the process `pid`; 8 bytes per instruction."""
    code = [_step(LOAD, ARCH), _step(EQUAL, AUDIT_ARCH[machine], 1, 0), _step(RETURN, EPERM)]
    code.append(_step(LOAD, NUMBER))
    if machine == "x86_64":
        code += [_step(AT_LEAST, X32, 0, 1), _step(RETURN, EPERM)]
    for table, result in [*((table, EPERM) for table in REFUSED), (UNKNOWN, ENOSYS)]:
        for number in numbers(table, machine):
            code += [_step(EQUAL, number, 0, 1), _step(RETURN, result)]
    own, thread = _step(EQUAL, pid, 1, 0), _step(ANY_BIT, CLONE_THREAD, 1, 0)
    code += _by_argument(CLONE, machine, 0, thread)
    code += _by_argument(OPEN, machine, 1, _step(ANY_BIT, WRITING, 0, 1))
    code += _by_argument(OPENAT, machine, 2, _step(ANY_BIT, WRITING, 0, 1))
    code += _by_argument(SIGNALS, machine, 0, own)
    code += _by_argument(LIMITS, machine, 0, _step(EQUAL, 0, 2, 0), own)
    return b"".join([*code, _step(RETURN, ALLOW)])


def _by_argument(table: str, machine: str, argument: int, *tests: bytes) -> list[bytes]:
    """Refuse a call unless a test of its argument jumps over the refusal."""
    code: list[bytes] = []
    # All of these are `int` or flags in the lower half; both machines are little-endian.
    body = [_step(LOAD, ARGUMENTS + 8 * argument), *tests, _step(RETURN, EPERM)]
    for number in numbers(table, machine):
        code += [_step(EQUAL, number, 0, len(body) + 1), *body, _step(RETURN, ALLOW)]
    return code


def _step(code: int, k: int, on_true: int = 0, on_false: int = 0) -> bytes:
    """`struct sock_filter`: an operation, and how many instructions to skip by its outcome."""
    return struct.pack("=HBBI", code, on_true, on_false, k)


def numbers(table: str, machine: str) -> list[int]:
    """The numbers of a table's calls on that machine."""
    column = 1 + list(AUDIT_ARCH).index(machine)
    found = (entry.split()[column] for entry in table.split(","))
    return [int(number) for number in found if number != "-"]
