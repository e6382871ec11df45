"""Decoder process: `python -m service.decoding.process MEMORY_BYTES TIMEOUT_S REQUIRE_SANDBOX`.

With REQUIRE_SANDBOX = 1 the process ends if the kernel grants no system call filter (see
`sandbox`).

Each line on stdin is a `DecodeRequest`, each line on stdout the response to it; the samples go into
the file that the request names. Lines are JSON rather than pickles: a hostile file may take this
process over, and nothing that the service reads from the process may run code in the service.
"""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from io import FileIO
from pathlib import Path

import numpy as np

from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import decode_windows, open_audio
from models.errors import CorruptAudio, TasteprintError
from models.malloc import keep_freed_memory
from service.decoding import sandbox
from service.decoding.messages import (
    READY,
    DecodeError,
    DecodeRequest,
    DecodeResponse,
    Message,
)
from service.errors import DecoderOutOfMemory

Compute = Callable[[Samples], Samples]
# Frames that the MP3 reader prepends to an excerpt of a file.
MAX_PREFIX_BYTES = 64 << 10


def main() -> None:
    memory_bytes, timeout_s, required = read_arguments()
    sandbox.limit_process(memory_bytes)
    keep_freed_memory()
    serve(lambda samples: samples, timeout_s, required=required)


def read_arguments() -> tuple[int, float, bool]:
    """MEMORY_BYTES, TIMEOUT_S and REQUIRE_SANDBOX."""
    return int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1"


def serve(compute: Compute, timeout_s: float, *, required: bool) -> None:
    """Run requests until stdin closes, which also happens when the service dies.

    Parameters
    ----------
    compute : what is written of the samples: (n_windows, input_samples) -> (n_windows, n)
    required : whether the process ends without a system call filter
    """
    _send_line(READY)
    samples: FileIO | None = None
    for line in sys.stdin.buffer:
        request = DecodeRequest.model_validate_json(line)
        # The service kills a stuck decoder; where the service has died, the alarm does.
        signal.alarm(math.ceil(timeout_s) + 5)
        sandbox.limit_cpu_time(min(sandbox.OPEN_CPU_S, timeout_s))
        sandbox.limit_file_size(max_file_bytes(request))
        if samples is None:  # the filter forbids opening any file for writing later
            samples = FileIO(request.samples, "r+")
            sandbox.install_filter(required=required)
        response = run_request(request, samples, timeout_s, compute)
        _send_line(response.model_dump_json().encode())
        signal.alarm(0)


def max_file_bytes(request: DecodeRequest) -> int:
    """Bytes that a request may write to one file: samples, or MP3 frames cut out of the upload."""
    sample_bytes = 4 * request.count * request.audio.input_samples
    try:
        return max(sample_bytes, Path(request.path).stat().st_size + MAX_PREFIX_BYTES)
    except OSError:  # the upload was closed: its client disconnected
        return sample_bytes


def _send_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def run_request(
    request: DecodeRequest, samples: FileIO, timeout_s: float, compute: Compute
) -> Message:
    """Decode one file; any error becomes a `DecodeError`, since the process must survive it."""
    try:
        choice = WindowChoice.parse(request.window)
        part = slice(request.first, request.first + request.count)
        with closing(open_audio(Path(request.path))) as reader:
            sandbox.limit_cpu_time(timeout_s)
            windows = decode_windows(
                reader, request.audio, choice, max_windows=request.max_windows, part=part
            )
        _write_rows(compute(windows.samples), samples)
    except TasteprintError as error:
        return DecodeError.from_error(error)
    except MemoryError:
        return DecodeError.from_error(DecoderOutOfMemory("the decoder's memory limit was reached"))
    except Exception as error:
        detail = f"the audio cannot be decoded ({type(error).__name__})"
        return DecodeError.from_error(CorruptAudio(detail))
    return DecodeResponse(
        codec=windows.info.codec,
        sample_rate=windows.info.sample_rate,
        channels=windows.info.channels,
        duration_s=windows.info.duration_s,
        notes=list(windows.info.notes),
        starts_s=list(windows.starts_s),
        n_chosen=windows.n_chosen,
        silent_peak=windows.silent_peak,
        is_moved=windows.is_moved,
    )


def _write_rows(rows: Samples, file: FileIO) -> None:
    file.seek(0)
    view = rows.reshape(-1).view(np.uint8).data
    while view:
        view = view[file.write(view) :]


if __name__ == "__main__":
    main()
