"""What a decoder may use of the machine, once a hostile file has a say in what it does.

Held by the kernel, each with a test: address space, CPU time a job, size and number of files, no
core dump, no privileges by exec; and where a system call filter can be had
(`service.decoding.seccomp`) no network, no program, no new process, no signal to or look into
another process, no file opened for writing, made, renamed or removed.

Not held: a decoder has the service's user and reads whatever that may read: other uploads while
they are in memory, `/proc/<service>/environ`. Landlock would hold that, and refuses to look at
`/proc/<service>/fd/<n>` too, by which a decoder gets its files. A decoder that is taken over may
also give itself more CPU time and larger files, and files in memory (which the MP3 reader makes)
are not in its address space; the service's own clock kills it all the same. And the kernel's faults
behind the calls that are left are the kernel's.
"""

from __future__ import annotations

import logging
import resource
import signal
import threading

from service.decoding import seccomp
from service.errors import CannotStart

# Its three pipes, the upload, the samples; the rest is for what libraries open to read.
MAX_FILES = 32
LOST_WITHOUT = "decoders run without a system call filter: they could reach the network"

log = logging.getLogger("tasteprint")


def limit(memory_bytes: int) -> None:
    """What holds for a decoder's whole life."""
    _lower(resource.RLIMIT_AS, memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, MAX_FILES)


def allow_cpu(cpu_s: float) -> None:
    """CPU time from now on, past which the process ends by SIGPROF.

    Not RLIMIT_CPU, which counts from the process's start by the ticks that it was met at: after a
    minute of short jobs these are seconds off what it has used.
    """
    signal.setitimer(signal.ITIMER_PROF, cpu_s)


def allow_file(size: int) -> None:
    """Bytes in a file, past which a write fails with EFBIG."""
    _renew(resource.RLIMIT_FSIZE, size)


def close_off(*, required: bool) -> None:
    """Install the filter: after imports, and after the file for the samples was opened.

    Raises
    ------
    OSError
        Where it is required and cannot be had.
    """
    try:
        seccomp.install()
    except OSError:
        if required:
            raise
        # The next best: the user gets no further process. It counts all of a user's processes, so
        # no other number means anything, and it does not hold root.
        _lower(resource.RLIMIT_NPROC, 0)


def check(*, required: bool) -> None:
    """Say at the start of the service what its decoders will be held by.

    Raises
    ------
    CannotStart
        Where the filter is required and cannot be had.
    """
    if refused := why_not():
        if required:
            raise CannotStart(
                f"decoders cannot be held by a system call filter: {refused}",
                remedy="let the container use seccomp, or unset TASTEPRINT_REQUIRE_SANDBOX",
            )
        log.warning("%s (%s)", LOST_WITHOUT, refused)


def why_not() -> str:
    """Why no filter can be had here; empty where it can. A thread tries it and ends with it."""
    found: list[str] = []

    def attempt() -> None:
        try:
            seccomp.install(every_thread=False)
        except OSError as error:
            found.append(error.strerror or str(error))

    thread = threading.Thread(target=attempt, name="seccomp")
    thread.start()
    thread.join()
    return "".join(found)


def _lower(which: int, value: int) -> None:
    """Set both limits; a hard one that is lower already stays."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _renew(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
