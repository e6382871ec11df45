"""Decoder process: `python -m service.decoding.process MEMORY_BYTES TIMEOUT_S REQUIRE_SECCOMP`.

With REQUIRE_SECCOMP = 1 the process ends if the kernel grants no system call filter (see
`sandbox`).

A line on stdin is a job, a line on stdout its response; the samples go into the file that the job
names. Lines are JSON rather than pickles, because a hostile file may take this process over, and
nothing that the service reads from it may run code there.
"""

from __future__ import annotations

import math
import signal
import sys
from contextlib import closing
from io import FileIO
from pathlib import Path

import numpy as np

from models.audio.window_choice import WindowChoice
from models.audio.windows import Windows, decode_windows, open_audio
from models.errors import CorruptAudio, TasteprintError
from models.malloc import keep_freed_memory
from service.decoding import sandbox
from service.decoding.messages import OPEN_CPU_S, READY, Decoded, Job, Message, Refused
from service.errors import DecoderOutOfMemory

# What the MP3 reader puts in front of the frames that it cuts out of a file.
MAX_PREFIX_BYTES = 64 << 10


def main() -> None:
    """Run jobs until stdin ends, which it also does when the service dies."""
    memory_bytes, timeout_s, required = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1"
    sandbox.limit_process(memory_bytes)
    keep_freed_memory()
    _send_line(READY)
    samples: FileIO | None = None
    for line in sys.stdin.buffer:
        job = Job.model_validate_json(line)
        # The service kills a stuck decoder; the alarm does where the service is gone.
        signal.alarm(math.ceil(timeout_s) + 5)
        sandbox.limit_cpu_time(min(OPEN_CPU_S, timeout_s))
        sandbox.limit_file_size(max_file_bytes(job))
        if samples is None:  # one file for all jobs: the filter lets no other be opened to write
            samples = FileIO(job.samples, "r+")
            sandbox.install_filter(required=required)
        _send_line(run_job(job, samples, timeout_s).model_dump_json().encode())
        signal.alarm(0)


def max_file_bytes(job: Job) -> int:
    """Bytes that a job may write to one file: its samples, or MP3 frames cut out of its upload."""
    sample_bytes = 4 * job.count * job.audio.window_samples
    try:
        return max(sample_bytes, Path(job.path).stat().st_size + MAX_PREFIX_BYTES)
    except OSError:  # the upload was closed: its request has left
        return sample_bytes


def _send_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def run_job(job: Job, samples: FileIO, timeout_s: float) -> Message:
    """Decode one file; any error becomes a response, since the process goes on."""
    try:
        choice = WindowChoice.parse(job.window)
        part = slice(job.first, job.first + job.count)
        with closing(open_audio(Path(job.path))) as reader:
            sandbox.limit_cpu_time(timeout_s)
            windows = decode_windows(
                reader, job.audio, choice, max_windows=job.max_windows, part=part
            )
        _write_samples(windows, samples)
    except TasteprintError as error:
        return Refused.from_error(error)
    except MemoryError:
        return Refused.from_error(DecoderOutOfMemory("the decoder's memory limit was reached"))
    except Exception as error:
        detail = f"the audio does not decode ({type(error).__name__})"
        return Refused.from_error(CorruptAudio(detail))
    return Decoded(
        codec=windows.facts.codec,
        sample_rate=windows.facts.sample_rate,
        channels=windows.facts.channels,
        duration_s=windows.facts.duration_s,
        starts_s=list(windows.starts_s),
        n_chosen=windows.n_chosen,
        quiet_peak=windows.quiet_peak,
    )


def _write_samples(windows: Windows, file: FileIO) -> None:
    file.seek(0)
    view = windows.samples.reshape(-1).view(np.uint8).data
    while view:
        view = view[file.write(view) :]


if __name__ == "__main__":
    main()
