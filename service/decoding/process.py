"""The decoder's own process: `python -m service.decoding.process MEMORY_BYTES TIMEOUT_S REQUIRED`.

REQUIRED is 1 where it is to end if the kernel lets it have no system call filter (see `sandbox`).

A line in on stdin is a job, a line out on stdout its answer; the samples go into the file that
the job names. Lines are JSON, because a hostile file may take this process over, and what the
service reads from it must not be able to run there.
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
from models.audio.windows import Windows, open_audio, windows_of
from models.errors import CorruptAudio, TasteprintError
from models.malloc import keep_freed_memory
from service.decoding import sandbox
from service.decoding.messages import OPEN_CPU_S, READY, Decoded, Job, Message, Refused
from service.errors import DecoderOutOfMemory

# What a reader puts before the frames that it cuts out.
CUT_BYTES = 64 << 10


def main() -> None:
    """Serve jobs until stdin ends, which it also does when the service dies."""
    memory_bytes, timeout_s, required = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1"
    sandbox.limit(memory_bytes)
    keep_freed_memory()
    _say(READY)
    samples: FileIO | None = None
    for line in sys.stdin.buffer:
        job = Job.model_validate_json(line)
        # The service kills a stuck decoder; these do where the service is gone.
        signal.alarm(math.ceil(timeout_s) + 5)
        sandbox.allow_cpu(min(OPEN_CPU_S, timeout_s))
        sandbox.allow_file(largest_file(job))
        if samples is None:  # a decoder has one such file, and after this opens none to write
            samples = FileIO(job.samples, "r+")
            sandbox.close_off(required=required)
        _say(answer(job, samples, timeout_s).line())
        signal.alarm(0)


def largest_file(job: Job) -> int:
    """Bytes that a job may put into one file: its samples, or what is cut out of its upload."""
    samples = 4 * job.count * job.audio.window_samples
    try:
        return max(samples, Path(job.path).stat().st_size + CUT_BYTES)
    except OSError:  # nobody waits for it any more, and it was closed
        return samples


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def answer(job: Job, samples: FileIO, timeout_s: float) -> Message:
    """Decode one file; whatever is wrong with it becomes an answer, as the process lives on."""
    try:
        choice = WindowChoice.parse(job.window)
        part = slice(job.first, job.first + job.count)
        with closing(open_audio(Path(job.path))) as reader:
            sandbox.allow_cpu(timeout_s)
            windows = windows_of(reader, job.audio, choice, max_windows=job.max_windows, part=part)
        _deliver(windows, samples)
    except TasteprintError as error:
        return Refused.by(error)
    except MemoryError:
        return Refused.by(DecoderOutOfMemory("the decoder's memory limit was reached"))
    except Exception as error:
        return Refused.by(CorruptAudio(f"the audio does not decode ({type(error).__name__})"))
    return Decoded(
        codec=windows.facts.codec,
        sample_rate=windows.facts.sample_rate,
        channels=windows.facts.channels,
        duration_s=windows.facts.duration_s,
        starts_s=list(windows.starts_s),
        n_chosen=windows.n_chosen,
        quiet_peak=windows.quiet_peak,
    )


def _deliver(windows: Windows, into: FileIO) -> None:
    into.seek(0)
    view = windows.samples.reshape(-1).view(np.uint8).data
    while view:
        view = view[into.write(view) :]


if __name__ == "__main__":
    main()
