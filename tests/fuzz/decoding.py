"""Fuzzing of the decoder processes: mutants and their outcomes."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from models import errors as audio_errors
from models.audio.windows import Windows
from models.card import AudioInput, Patches
from models.errors import AudioError, TasteprintError
from service import errors
from service.decoding.memfd import UploadMemfd
from service.decoding.pool import DecodePool
from tests.fuzz.mutate import Mutant
from tests.running import decoders_of, resident_bytes

AUDIO = AudioInput(sample_rate=16_000, window_s=1.0, short_audio="repeat", min_audio_s=0.1)
PATCHED = AUDIO.model_copy(
    update={"patches": Patches(seconds=0.15, starts_s=(0.05, 0.45, 0.8))},
)
WINDOWS = ("middle", "start", "all", "0.5")
# Every fifth mutant is decoded by its patches, so with each of the windows in turn.
PATCHED_EVERY = 5
# What a mutant may come to; anything else is a fault of the service.
KNOWN = {"ok"} | {
    name
    for module in (audio_errors, errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, AudioError)
}
# Outcomes of which the file is kept, as is one that takes longer than this.
KEPT = {"DecoderCrashed", "DecodeTimeout", "DecoderOutOfMemory", "DecoderLost"}
SLOW_S = 5.0
# Behind the decoder's broad `except`: what a reader raised that it should have said itself.
UNSAID = re.compile(r"cannot be decoded \((\w+)\)")
MiB = 1 << 20
DECODER_BYTES = 600 * MiB


@dataclass
class Findings:
    """What the mutants came to, by the format they were made from.

    Attributes
    ----------
    unsaid : numbers of mutants by the exception that a reader raised, where none was foreseen
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    unsaid: dict[str, list[int]] = field(default_factory=dict)
    kept: list[dict[str, object]] = field(default_factory=list)
    slowest: list[dict[str, object]] = field(default_factory=list)
    largest_decoder_bytes: int = 0

    def note(self, mutant: Mutant, number: int, outcome: str, seconds: float) -> bool:
        """Count it; whether its file is worth keeping."""
        kind = mutant.source.partition(":")[0]
        self.outcomes.setdefault(kind, Counter())[outcome] += 1
        record: dict[str, object] = {
            "number": number,
            "source": mutant.source,
            "done": mutant.done,
            "outcome": outcome,
            "seconds": round(seconds, 3),
            "sha256": sha256(mutant.content).hexdigest(),
        }
        self.slowest.append(record)
        self.slowest.sort(key=lambda record: -float(str(record["seconds"])))
        del self.slowest[10:]
        if worth := outcome in KEPT or outcome not in KNOWN or seconds > SLOW_S:
            self.kept.append(record)
        return worth

    def total(self) -> Counter[str]:
        return sum(self.outcomes.values(), Counter())

    def unknown(self) -> set[str]:
        return set(self.total()) - KNOWN


async def judge(
    pool: DecodePool,
    mutant: Mutant,
    number: int,
    findings: Findings,
    *,
    good: Path,
    folder: Path | None = None,
) -> str:
    """Decode a mutant as an upload is decoded, and note what came of it.

    Parameters
    ----------
    good : a file that decodes; tried after a mutant that cost the decoder its life
    folder : where mutants go that are worth a look
    """
    began = time.monotonic()
    with closing(UploadMemfd()) as spool:
        spool.write(mutant.content)
        outcome = await _outcome(pool, spool.path, number, findings)
    seconds = time.monotonic() - began
    if outcome in KEPT:  # the next file is decoded, by another process that is started for it
        assert await pool.decode(good, AUDIO, "middle")
    if findings.note(mutant, number, outcome, seconds) and folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / sha256(mutant.content).hexdigest()).write_bytes(mutant.content)
    return outcome


async def _outcome(pool: DecodePool, path: Path, number: int, findings: Findings) -> str:
    audio = AUDIO if number % PATCHED_EVERY else PATCHED
    try:
        windows = await pool.decode(path, audio, WINDOWS[number % len(WINDOWS)])
    except TasteprintError as error:
        if found := UNSAID.search(error.detail):
            findings.unsaid.setdefault(found[1], []).append(number)
        return type(error).__name__
    except Exception as error:
        return f"unknown: {type(error).__name__}"
    return "ok" if _holds(windows, audio) else "unknown: samples that are none"


def _holds(windows: Windows, audio: AudioInput) -> bool:
    samples = windows.samples
    shape_holds = samples.shape == (len(windows.starts_s), audio.input_samples)
    return shape_holds and bool(np.isfinite(samples).all()) and float(np.abs(samples).max()) <= 1


def watch_decoders(findings: Findings) -> None:
    """Hold the memory of the decoders of this process."""
    for pid in decoders_of(os.getpid()):
        size = resident_bytes(pid)
        findings.largest_decoder_bytes = max(findings.largest_decoder_bytes, size)
        assert size < DECODER_BYTES, f"a decoder holds {size} bytes"


def open_files() -> list[str]:
    """What this process has open, without the pipes that change with each decoder."""
    return sorted(filter(None, map(_readable, Path("/proc/self/fd").iterdir())))


def _readable(link: Path) -> str:
    try:
        return re.sub(r"\d+", "", str(link.readlink()))
    except OSError:
        return ""
