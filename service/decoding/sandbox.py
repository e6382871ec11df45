"""Sandbox of a decoder process: resource limits and the system call filter.

Enforced by the kernel, each with a test: address space, CPU time per request, size and number of
files, no core dump, no privileges by exec; and, where a system call filter is available
(`service.decoding.seccomp`), no network, no program, no new process, no signal to another process
and no access to its memory, no file opened for writing, created, renamed or removed.

Not enforced: a decoder runs as the service's user and reads whatever that user may read: other
uploads while they are in memory, `/proc/<service>/environ`. Landlock would prevent that, but it
also refuses `/proc/<service>/fd/<n>`, by which a decoder opens its files. A decoder that is taken
over may also give itself more CPU time and larger files, and its files in memory (which the MP3
reader creates) are not part of its address space; the service's own timeout kills it anyway.
Bugs in the kernel, reached by the calls that stay allowed, are not covered either.
"""

from __future__ import annotations

import logging
import resource
import signal
import sys
import threading

from service.decoding import seccomp
from service.errors import CannotStart

# Three pipes, the upload, the samples; the rest is for files that libraries open to read.
MAX_FILES = 32
# CPU time to find out a file's format and duration: a second for the longest AAC without an index
# (98 MB). FFmpeg would take a minute for 100,000 tags in a WebM of 4 MB.
OPEN_CPU_S = 4.0
NO_FILTER = "decoders run without a system call filter: they could reach the network"

log = logging.getLogger("tasteprint")


def limit_process(memory_bytes: int) -> None:
    """Set the limits that hold for the whole life of a decoder process."""
    _set_limit(resource.RLIMIT_AS, memory_bytes)
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_NOFILE, MAX_FILES)


def limit_cpu_time(cpu_s: float) -> None:
    """Limit the CPU time from now on; beyond the limit SIGPROF ends the process.

    Not RLIMIT_CPU, which counts from the start of the process by sampling at clock ticks: after a
    minute of short requests it is seconds off the CPU time used.
    """
    signal.setitimer(signal.ITIMER_PROF, cpu_s)


def limit_file_size(size_bytes: int) -> None:
    """Limit the size of files: a write beyond it fails with EFBIG."""
    _set_soft_limit(resource.RLIMIT_FSIZE, size_bytes)


def install_filter(*, required: bool) -> None:
    """Install the system call filter: after imports, and after the file for samples was opened.

    Raises
    ------
    OSError
        Where the filter is required and the kernel or the container refuses it.
    """
    try:
        seccomp.install()
    except OSError:
        if required:
            raise
        # Next best: no further process. The limit counts all processes of the user, so that only
        # 0 has an effect, and it does not apply to root.
        _set_limit(resource.RLIMIT_NPROC, 0)


def check(*, required: bool) -> None:
    """Check at the start of the service whether decoders can install the system call filter.

    Raises
    ------
    CannotStart
        Where the filter is required and not available.
    """
    if reason := find_filter_error():
        if required:
            raise CannotStart(
                f"decoders cannot install their system call filter: {reason}",
                remedy="let the container use seccomp, or unset TASTEPRINT_REQUIRE_SANDBOX",
            )
        log.warning("%s (%s)", NO_FILTER, reason)


def find_filter_error() -> str:
    """Why the filter cannot be installed here, or "". Tried in a thread, which then ends."""
    errors: list[str] = []

    def attempt() -> None:
        try:
            seccomp.install(every_thread=False)
        except OSError as error:
            errors.append(error.strerror or str(error))

    thread = threading.Thread(target=attempt, name="seccomp")
    thread.start()
    thread.join()
    return "".join(errors)


def _set_limit(which: int, value: int) -> None:
    """Set the soft and the hard limit; a hard limit that is lower already stays."""
    value = min(value, _hard_limit(which))
    resource.setrlimit(which, (value, value))


def _set_soft_limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (min(value, _hard_limit(which)), hard))


def _hard_limit(which: int) -> int:
    hard = resource.getrlimit(which)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
