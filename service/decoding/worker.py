"""Decoder worker: starts, feeds and kills one decoder process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

import models
from models import errors as audio_errors
from models.audio.windows import AudioInfo, Windows
from models.errors import AudioError, CorruptAudio, TasteprintError
from service import errors
from service.decoding.memfd import SampleMemfd
from service.decoding.messages import (
    READY,
    RESPONSE,
    DecodeError,
    DecodeRequest,
    DecodeResponse,
)
from service.decoding.sandbox import OPEN_CPU_S
from service.errors import DecoderCrashed, DecoderLost, DecodeTimeout
from service.observability.events import ExitCause
from service.settings import Settings

ROOT = Path(models.__file__).parent.parent
# Signals of a crash; SIGKILL and the like come from outside the process.
CRASH_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
}
START_TIMEOUT_S = 60.0
# Samples that are read on the event loop; more would block it for milliseconds.
MAX_BLOCKING_BYTES = 2 << 20


class DecoderWorker:
    """A running decoder process; killed after a failure that is not an error of the file.

    Attributes
    ----------
    module : is run as the process
    stated_errors : that the process may state; any other one is taken for `CorruptAudio`
    is_killed : whether `kill` was called
    samples_path : the file that the process writes samples to
    """

    module: ClassVar[str] = "service.decoding.process"
    stated_errors: ClassVar[tuple[type[TasteprintError], ...]] = (AudioError,)

    def __init__(self, process: Process, timeout_s: float) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._timeout_s = timeout_s
        self._timed_out = False
        self.is_killed = False
        self._samples = SampleMemfd()
        self.samples_path = self._samples.path

    @classmethod
    async def start(cls, settings: Settings, *arguments: str) -> Self:
        """Start a process and wait until it takes requests.

        Parameters
        ----------
        arguments : of the process, after those that every one has

        Raises
        ------
        DecoderLost
        """
        worker = cls(await _launch(cls.module, settings, arguments), settings.decode_timeout_s)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                started = await worker._stdout.readline() == READY + b"\n"
        except TimeoutError:
            started = False
        except BaseException:  # cancelled: no caller gets the worker, so none would end the process
            await worker.kill()
            raise
        if not started:
            code = await worker.kill()
            raise DecoderLost(f"a decoder process did not start (status {code})", value=code)
        return worker

    @property
    def is_alive(self) -> bool:
        """Whether the process is running, as far as asyncio has noticed."""
        return self._process.returncode is None and not self._stdout.at_eof()

    async def wait_for_exit(self) -> ExitCause:
        """Wait until the process exits; returns the cause."""
        code = await self._process.wait()
        await self.kill()
        if self._timed_out or -code == signal.SIGPROF:
            return "timed-out"
        return "crashed" if -code in CRASH_SIGNALS else "lost"

    async def decode(self, request: DecodeRequest) -> Windows:
        """Decode one file in the process.

        Raises
        ------
        AudioError
            Also where the process crashes on the file or takes too long.
        DecoderLost
            Where the process was killed from outside.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._request(request)
                if isinstance(response, DecodeResponse):
                    return await self._collect(response, request)
        except TimeoutError as error:
            self._timed_out = True
            await self.kill()
            raise DecodeTimeout(
                f"decoding took over {self._timeout_s:g} s", limit=self._timeout_s
            ) from error
        except BaseException:
            await self.kill()  # else its late response would be taken for the next request's
            raise
        raise self._to_error(response)

    async def _request(self, request: DecodeRequest) -> DecodeResponse | DecodeError:
        try:
            self._stdin.write(request.model_dump_json().encode() + b"\n")
            await self._stdin.drain()
            return RESPONSE.validate_json(await self._stdout.readline())
        except (OSError, RuntimeError, ValueError) as error:  # it exited, or sent no response
            raise await self._exit_error() from error

    async def _exit_error(self) -> AudioError | DecoderLost:
        code = await self.kill()
        if -code == signal.SIGPROF:
            return DecodeTimeout(
                f"the file takes more CPU time than {min(OPEN_CPU_S, self._timeout_s):g} s to open "
                f"or {self._timeout_s:g} s to decode",
                limit=self._timeout_s,
            )
        if -code in CRASH_SIGNALS:
            name = signal.Signals(-code).name
            return DecoderCrashed(f"the decoder crashed on this file ({name})", value=name)
        return DecoderLost(
            f"the decoder process exited during this request (status {code})", value=code
        )

    async def _collect(self, response: DecodeResponse, request: DecodeRequest) -> Windows:
        shape = (len(response.starts_s), self._row_size(request))
        # A process that parses hostile files is not trusted.
        if shape[0] > request.count or response.n_chosen > request.max_windows:
            raise DecoderLost(
                "the decoder returned more windows than requested",
                value=shape[0],
                limit=request.count,
            )
        try:
            samples = (await self._take(4 * shape[0] * shape[1])).view(np.float32).reshape(shape)
        except (EOFError, ValueError) as error:  # too few bytes, or the file was closed meanwhile
            raise DecoderLost("the decoder wrote fewer samples than it stated") from error
        if np.isnan(samples[:, -1]).any():  # wiped bytes that were not overwritten
            raise DecoderLost("the decoder wrote fewer samples than it stated")
        info = AudioInfo(
            response.codec,
            response.sample_rate,
            response.channels,
            response.duration_s,
            tuple(response.notes),
        )
        starts_s = tuple(response.starts_s)
        return Windows(
            info,
            starts_s,
            samples,
            response.n_chosen,
            response.silent_peak,
            response.is_moved,
        )

    def _row_size(self, request: DecodeRequest) -> int:
        """Number of floats that the process writes for each window."""
        return request.audio.input_samples

    def _to_error(self, response: DecodeError) -> TasteprintError:
        """The error that the process states, looked up by class name."""
        name = response.error
        kind = getattr(audio_errors, name, None) or getattr(errors, name, None)
        if not (isinstance(kind, type) and issubclass(kind, self.stated_errors)):
            kind = CorruptAudio
        return kind(
            response.detail, value=response.value, limit=response.limit, remedy=response.remedy
        )

    async def _take(self, size: int) -> npt.NDArray[np.uint8]:
        if size <= MAX_BLOCKING_BYTES:
            return self._samples.take(size)
        return await asyncio.to_thread(self._samples.take, size)

    async def kill(self) -> int:
        """Kill the process and wait until it exits; its exit status, negative for a signal."""
        self.is_killed = True
        if self._process.returncode is None:
            # Not `Process.kill`, which polls first: where the process has just exited by itself,
            # that poll takes the exit status away from the task that waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        try:
            return await self._process.wait()
        finally:  # also where the wait is cancelled
            self._stdin.close()
            self._samples.close()


async def _launch(module: str, settings: Settings, more: Sequence[str]) -> Process:
    limits = (
        settings.decode_memory_bytes,
        settings.decode_timeout_s,
        int(settings.require_sandbox),
    )
    arguments = [*(str(limit) for limit in limits), *more]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,  # libmpg123 prints its warnings about a file
        env=_environment(),
        start_new_session=True,  # Ctrl-C goes to the service alone
    )


def _environment() -> dict[str, str]:
    """The service's environment without its settings; NumPy needs no threads.

    So the password of Redis is not in a decoder's own memory or crash reports. This is not a
    security boundary: a decoder runs as the service's user, which may read the service's
    `/proc/<pid>/environ`.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TASTEPRINT_")}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
