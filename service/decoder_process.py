"""The decoder's own process: `python -m service.decoder_process MEMORY_BYTES TIMEOUT_S`.

A line in on stdin is a job, a line out on stdout its answer; the samples go into the file that
the job names. Lines are JSON, because a hostile file may take this process over, and what the
service reads from it must not be able to run there.
"""

from __future__ import annotations

import math
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from models.audio import Windows, read_windows
from models.errors import CorruptAudio, TasteprintError
from models.window import WindowChoice
from service.allocator import keep_freed_memory
from service.decoder_messages import READY, Decoded, Job, Message, Refused
from service.errors import DecoderOutOfMemory


def main() -> None:
    """Serve jobs until stdin ends, which it also does when the service dies."""
    memory_bytes, timeout_s = int(sys.argv[1]), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_freed_memory()
    _say(READY)
    for line in sys.stdin.buffer:
        # The service kills a stuck decoder; the alarm does where the service is gone.
        signal.alarm(math.ceil(timeout_s) + 5)
        _say(answer(Job.model_validate_json(line)).line())
        signal.alarm(0)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def answer(job: Job) -> Message:
    """Decode one file; whatever is wrong with it becomes an answer, as the process lives on."""
    try:
        choice = WindowChoice.parse(job.window)
        part = slice(job.first, job.first + job.count)
        windows = read_windows(
            Path(job.path), job.audio, choice, max_windows=job.max_windows, part=part
        )
        _deliver(windows, Path(job.samples))
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


def _deliver(windows: Windows, into: Path) -> None:
    # "r+": a new file description, so that it is written from its start each time.
    with into.open("r+b", buffering=0) as file:
        view = windows.samples.reshape(-1).view(np.uint8).data
        while view:
            view = view[file.write(view) :]


if __name__ == "__main__":
    main()
