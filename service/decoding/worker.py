"""One decoder process, seen from the service: start, one job at a time, kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import numpy as np
import numpy.typing as npt

import models
from models import errors as audio_errors
from models.audio.windows import AudioFacts, Windows
from models.errors import AudioError, CorruptAudio
from service import errors
from service.decoding.memfd import SampleFile
from service.decoding.messages import ANSWER, OPEN_CPU_S, READY, Decoded, Job, Refused
from service.errors import DecoderCrashed, DecoderLost, DecodeTimeout
from service.observability.events import Death
from service.settings import Settings

ROOT = Path(models.__file__).parent.parent
# What a process dies of by its own doing; SIGKILL and the like come from outside.
OWN_FAULTS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
}
START_TIMEOUT_S = 60.0
# Of samples; more would keep everybody waiting for milliseconds.
BLOCKING_BYTES = 2 << 20


class Decoder:
    """A running decoder process. After a failure that is not the file's it is not `alive`."""

    def __init__(self, process: Process, timeout_s: float) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._timeout_s = timeout_s
        self._late = False
        self._samples = SampleFile()

    @classmethod
    async def start(cls, settings: Settings) -> Decoder:
        """Start a process and wait until it takes jobs.

        Raises
        ------
        DecoderLost
        """
        decoder = cls(await _launch(settings), settings.decode_timeout_s)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                started = await decoder._stdout.readline() == READY
        except TimeoutError:
            started = False
        except BaseException:  # cancelled: nobody else knows of the process
            await decoder.stop()
            raise
        if not started:
            code = await decoder.stop()
            raise DecoderLost(f"a decoder process did not start (status {code})", value=code)
        return decoder

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._stdout.at_eof()

    async def ended(self) -> Death:
        """Wait for the process's end; what it ended of."""
        code = await self._process.wait()
        await self.stop()
        if self._late or -code == signal.SIGPROF:
            return "timed-out"
        return "crashed" if -code in OWN_FAULTS else "lost"

    @property
    def samples_path(self) -> Path:
        """Where the process is to put the samples."""
        return self._samples.path

    async def decode(self, job: Job) -> Windows:
        """Have one file decoded.

        Raises
        ------
        AudioError
            Also where the file takes the process down or too long.
        DecoderLost
            Where the process was ended from outside.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._ask(job)
                if isinstance(answer, Decoded):
                    return await self._collect(answer, job)
        except TimeoutError as error:
            self._late = True
            await self.stop()
            raise DecodeTimeout(
                f"decoding took over {self._timeout_s:g} s", limit=self._timeout_s
            ) from error
        except BaseException:
            await self.stop()  # else its late answer would be taken for the next job's
            raise
        raise _error(answer)

    async def _ask(self, job: Job) -> Decoded | Refused:
        try:
            self._stdin.write(job.line())
            await self._stdin.drain()
            return ANSWER.validate_json(await self._stdout.readline())
        except (OSError, RuntimeError, ValueError) as error:  # an end, or an answer that is none
            raise await self._cause_of_death() from error

    async def _cause_of_death(self) -> AudioError | DecoderLost:
        code = await self.stop()
        if -code == signal.SIGPROF:
            return DecodeTimeout(
                f"the file takes more CPU time than {min(OPEN_CPU_S, self._timeout_s):g} s to open "
                f"or {self._timeout_s:g} s to decode",
                limit=self._timeout_s,
            )
        if -code in OWN_FAULTS:
            name = signal.Signals(-code).name
            return DecoderCrashed(f"the decoder died on this file ({name})", value=name)
        return DecoderLost(f"the decoder ended during this request (status {code})", value=code)

    async def _collect(self, done: Decoded, job: Job) -> Windows:
        shape = (len(done.starts_s), job.audio.window_samples)
        # A process that parses hostile files is not believed.
        if shape[0] > job.count or done.n_chosen > job.max_windows:
            raise DecoderLost(
                "the decoder answered more windows than it may", value=shape[0], limit=job.count
            )
        try:
            samples = (await self._take(4 * shape[0] * shape[1])).view(np.float32).reshape(shape)
        except (EOFError, ValueError) as error:  # fewer bytes, or a file that was closed with it
            raise DecoderLost("the decoder delivered less than it said") from error
        if np.isnan(samples[:, -1]).any():
            raise DecoderLost("the decoder delivered less than it said")
        facts = AudioFacts(done.codec, done.sample_rate, done.channels, done.duration_s)
        return Windows(facts, tuple(done.starts_s), samples, done.n_chosen, done.quiet_peak)

    async def _take(self, size: int) -> npt.NDArray[np.uint8]:
        if size <= BLOCKING_BYTES:
            return self._samples.take(size)
        return await asyncio.to_thread(self._samples.take, size)

    async def stop(self) -> int:
        """Kill the process and wait for its end; its exit status, negative for a signal."""
        if self._process.returncode is None:
            # Not its own `kill`, which polls first: of a process that has just ended by itself it
            # takes the exit status away from the one who waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        try:
            return await self._process.wait()
        finally:  # also where the wait is cancelled
            self._stdin.close()
            self._samples.close()


async def _launch(settings: Settings) -> Process:
    limits = (
        settings.decode_memory_bytes,
        settings.decode_timeout_s,
        int(settings.require_sandbox),
    )
    arguments = [str(limit) for limit in limits]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.decoding.process", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,  # libmpg123 prints what it thinks of a file
        env=_environment(),
        start_new_session=True,  # Ctrl-C is the service's to handle
    )


def _environment() -> dict[str, str]:
    """The service's environment without its settings; NumPy needs no threads.

    This keeps Redis's password out of a decoder's own memory and crash reports. It is no wall: a
    decoder has the service's user, which may read `/proc/<pid>/environ` of the service.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TASTEPRINT_")}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _error(refused: Refused) -> AudioError:
    """The error that the process met, by its class's name; only audio errors have one."""
    name = refused.error
    kind = getattr(audio_errors, name, None) or getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, AudioError)):
        kind = CorruptAudio
    return kind(refused.detail, value=refused.value, limit=refused.limit, remedy=refused.remedy)
