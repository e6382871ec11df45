"""The sandbox of a decoder, tried by a process in the same sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.decoding import sandbox
from service.decoding.pool import DecodePool
from service.decoding.process import MAX_PREFIX_BYTES
from service.settings import Settings
from tests.bundles import AUDIO
from tests.running import ROOT, decoders_of

MiB = 1 << 20
MEMORY, FILE_BYTES, CPU_S = 512 * MiB, 4 * MiB, 20
ENTER = f"""
import ctypes, errno, json, mmap, os, platform, resource, signal, socket, subprocess, sys, threading
import time
import numpy
from service.decoding import sandbox, seccomp
victim, samples = int(sys.argv[1]), open(sys.argv[2], "r+b", buffering=0)
sandbox.limit_process({MEMORY})
sandbox.limit_cpu_time({CPU_S}); sandbox.limit_file_size({FILE_BYTES})
sandbox.install_filter(required=True)
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    entries = ",".join(seccomp.REFUSED).split(",")
    (entry,) = (entry for entry in entries if entry.split()[0] == name)
    (number,) = seccomp.numbers(entry, platform.machine())
    if libc.syscall(number, *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "")

def in_memory():
    with open(os.memfd_create("x"), "wb", buffering=0) as file:
        while True:
            file.write(bytes({MiB}))

def in_a_thread():
    thread = threading.Thread(target=os.getpid)
    thread.start()
    thread.join()
"""
# Attempts, as expressions, each with the error that it must end in.
REFUSED = {
    "a socket": ("socket.socket()", "EPERM"),
    "a pair of sockets": ("socket.socketpair()", "EPERM"),
    "a connection": ("call('connect', 0, 0, 0)", "EPERM"),
    "a fork": ("os.fork()", "EPERM"),
    "a program": ("os.execv('/bin/true', ['true'])", "EPERM"),
    "a program in a process of its own": ("subprocess.run(['/bin/true'])", "EPERM"),
    "a shell": ("os.posix_spawn('/bin/sh', ['sh', '-c', ':'], {})", "EPERM"),
    "tracing": ("call('ptrace', 16, victim, 0, 0)", "EPERM"),
    "reading another's memory": ("call('process_vm_readv', victim, 0, 0, 0, 0, 0)", "EPERM"),
    "writing another's memory": ("open(f'/proc/{victim}/mem', 'r+b')", "EPERM"),
    "a signal": ("os.kill(victim, signal.SIGUSR1)", "EPERM"),
    "a signal to all": ("os.kill(-1, 0)", "EPERM"),
    "another's limits": ("resource.prlimit(victim, resource.RLIMIT_CPU, (1, 1))", "EPERM"),
    "a mount": ("call('mount', 0, 0, 0, 0, 0)", "EPERM"),
    "bpf": ("call('bpf', 0, 0, 0)", "EPERM"),
    "io_uring": ("call('io_uring_setup', 8, 0)", "EPERM"),
    "a name space": ("call('unshare', 0x10000000)", "EPERM"),
    "a new file": ("open('made', 'wb')", "EPERM"),
    "a file without a name": ("os.open('.', os.O_TMPFILE | os.O_RDWR)", "EPERM"),
    "a file that is there": ("open(sys.argv[2], 'r+b')", "EPERM"),
    "removing": ("os.unlink(sys.argv[2])", "EPERM"),
    "renaming": ("os.rename(sys.argv[2], 'other')", "EPERM"),
    "another mode": ("os.chmod(sys.argv[2], 0o777)", "EPERM"),
    "cutting": ("os.truncate(sys.argv[2], 0)", "EPERM"),
    "a large file in memory": ("in_memory()", "EFBIG"),
    "many files": ("[os.open('/dev/null', os.O_RDONLY) for _ in range(100)]", "EMFILE"),
    "a large file": (f"[samples.write(bytes({MiB})) for _ in range(5)]", "EFBIG"),
    "much memory": (f"numpy.ones({MEMORY}, 'u1')", "MemoryError"),
    "much mapped memory": (f"mmap.mmap(-1, {MEMORY})", "ENOMEM"),
}
ALLOWED = {
    "a thread": "in_a_thread()",
    "reading": "open('/proc/self/status').read()",
    "the samples": "samples.seek(0) or samples.write(b'samples')",
    "a signal to itself": "os.kill(os.getpid(), 0)",
    "more time for the next job": f"sandbox.limit_cpu_time({CPU_S})",
    "a larger file for the next job": f"sandbox.limit_file_size({FILE_BYTES})",
}
# Starts another program for which the kernel grants no filter: seccomp itself is refused.
REFUSING = """
import ctypes, os, platform, sys
from service.decoding import seccomp
step, machine = seccomp._step, platform.machine()
code = [step(seccomp.LOAD, seccomp.NUMBER), step(seccomp.EQUAL, seccomp.SECCOMP[machine], 0, 1),
        step(seccomp.RETURN, seccomp.ENOSYS), step(seccomp.RETURN, seccomp.ALLOW)]
seccomp.filter_code = lambda *_: b"".join(code)
seccomp.install()
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
DECODING = """
import asyncio, logging, os, re, sys
from pathlib import Path
from service.decoding import sandbox
from service.decoding.pool import DecodePool
from service.settings import Settings
from tests.bundles import AUDIO
from tests.running import decoders_of
logging.basicConfig()
sandbox.check(required=False)
async def main():
    pool = DecodePool(Settings(decode_workers=1))
    await pool.start()
    windows = await pool.decode(Path(sys.argv[1]), AUDIO, "middle")
    (decoder,) = decoders_of(os.getpid())
    print(windows.samples.any(), Path(f"/proc/{decoder}/limits").read_text())
    await pool.close()
asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(
    bool(sandbox.find_filter_error()), reason="no system call filter here"
)


def python(
    *arguments: str | Path, cwd: Path = ROOT, **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | settings
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60
    )


def run_sandboxed(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a sandboxed process; its victim is this process."""
    samples = folder / "samples"
    samples.write_bytes(b"")
    return python("-c", ENTER + code, str(os.getpid()), samples, cwd=folder)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The result of each attempt: the name of an error, or an empty string."""
    # The refused attempts last: they use up files.
    tried = ALLOWED | {name: code for name, (code, _) in REFUSED.items()}
    code = f"""
def attempt(code):
    try:
        eval(code)
    except OSError as error:
        return errno.errorcode[error.errno]
    except Exception as error:
        return type(error).__name__
    return ""
print(json.dumps({{name: attempt(code) for name, code in {tried!r}.items()}}))
"""
    done = run_sandboxed(code, tmp_path_factory.mktemp("sandboxed"))
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("what", REFUSED)
def test_a_sandboxed_process_is_refused(outcomes: dict[str, str], what: str) -> None:
    assert outcomes[what] == REFUSED[what][1]


@pytest.mark.parametrize("what", ALLOWED)
def test_a_sandboxed_process_is_allowed(outcomes: dict[str, str], what: str) -> None:
    assert outcomes[what] == ""


def test_a_process_that_never_ends_is_killed_at_its_cpu_limit(tmp_path: Path) -> None:
    spin = "sandbox.limit_cpu_time(0.01)\nwhile True: pass"
    assert run_sandboxed(spin, tmp_path).returncode == -signal.SIGPROF


def test_cpu_time_counts_from_the_start_of_the_job(tmp_path: Path) -> None:
    code = f"""
while time.process_time() < 0.7: pass
sandbox.limit_cpu_time({CPU_S}); sandbox.limit_file_size({FILE_BYTES})
print(signal.getitimer(signal.ITIMER_PROF)[0])
"""
    assert CPU_S - 1 <= float(run_sandboxed(code, tmp_path).stdout) <= CPU_S + 0.1


def test_a_decoder_is_sandboxed_after_its_first_job(short_clip: Path) -> None:
    async def scenario() -> tuple[str, str]:
        pool = DecodePool(Settings(decode_workers=1, decode_timeout_s=7, max_windows=3))
        await pool.start()
        try:
            await pool.decode(short_clip, AUDIO, "middle")
            (decoder,) = decoders_of(os.getpid())
            proc = Path(f"/proc/{decoder}")
            return (proc / "status").read_text(), (proc / "limits").read_text()
        finally:
            await pool.close()

    status, limits = asyncio.run(scenario())
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    soft = {name: int(value) for name, value in re.findall(r"^Max (.+?)  +(\d+)", limits, re.M)}
    assert soft["address space"] == Settings().decode_memory_bytes
    assert soft["core file size"] == 0
    assert soft["open files"] == sandbox.MAX_FILES
    assert soft["file size"] == short_clip.stat().st_size + MAX_PREFIX_BYTES


def test_the_service_does_not_start_without_a_required_filter() -> None:
    done = python(
        "-c", REFUSING, "-m", "service", TASTEPRINT_REQUIRE_SANDBOX="true", TASTEPRINT_PORT="0"
    )
    assert done.returncode == 1
    assert "system call filter" in done.stderr
    assert "TASTEPRINT_REQUIRE_SANDBOX" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_filter_decoders_may_start_no_process_and_a_warning_is_logged(
    short_clip: Path,
) -> None:
    done = python("-c", REFUSING, "-c", DECODING, short_clip)
    assert done.stdout.startswith("True"), done.stderr
    assert sandbox.NO_FILTER in done.stderr
    assert re.search(r"^Max processes +0 ", done.stdout, re.M)
