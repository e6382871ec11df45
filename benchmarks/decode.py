"""Decoding on one core: 30 s of stereo 44.1 kHz to 16 kHz mono, from a clip and from a song.

CPU milliseconds per window (minimum of several runs), from a file in memory as in the service; the
part of it that the codec library takes; and the window compared with a full decode of the file:
error of its start, and cosine of the embeddings.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import onnxruntime as ort
import soundfile
import soxr

from benchmarks.result import Benchmark, Figures, Goal, Plan
from models.audio.ffmpeg_graph import GraphSource
from models.audio.window_choice import Samples, WindowChoice
from models.audio.windows import Windows, read_windows
from models.bundle import read
from models.card import AudioInput
from models.malloc import keep_freed_memory
from tests.sounds import golden, write

# Takes whole windows of 30 s.
BUNDLE = Path(__file__).parents[1] / "models" / "cf-estimator-paper"
# Milliseconds, from a Zen 4 with AVX-512; SONG_GOAL: maximum ratio of song to clip.
GOALS_MS = {"mp3": 24, "flac": 24, "ogg": 36, "wav": 7, "m4a": 30, "opus": 60}
SONG_GOAL = 1.25
CLIP_S, SONG_S = 30, 240
N_RUNS = 9
# Maximum start error of the search.
MAX_LAG_S = 0.05
Measured = TypeVar("Measured")


def min_ms(work: Callable[[], object]) -> float:
    """CPU time of all threads, which other load on the cores disturbs less than wall time."""
    taken = []
    for _ in range(N_RUNS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return 1000 * min(taken)


def in_memory(path: Path) -> Path:
    """A copy in an anonymous file in memory, as in the service; open until the process ends."""
    memory = os.memfd_create("benchmark")
    with open(memory, "wb", buffering=0, closefd=False) as file:
        content = memoryview(path.read_bytes())
        while content:
            content = content[file.write(content) :]
    return Path(f"/proc/{os.getpid()}/fd/{memory}")


def decode_ms(path: Path, audio: AudioInput) -> float:
    """One window as the service decodes it."""
    copy = in_memory(path)
    return min_ms(lambda: read_windows(copy, audio, WindowChoice()))


def library_ms(path: Path) -> float:
    """Decode a clip with the codec library only, without mixing down and resampling."""
    if path.suffix[1:] in {"flac", "wav"}:
        return min_ms(lambda: soundfile.read(path, dtype="int16"))
    source = GraphSource(path, 0)
    return min_ms(lambda: deque(source.blocks(), maxlen=0))


def _decode_all(path: Path) -> list[av.AudioFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.audio[0]))


def full_decode(path: Path) -> tuple[Samples, int]:
    """The whole file, mono, decoded without seeking; and its sample rate."""
    if path.suffix[1:] in {"mp3", "flac", "wav", "ogg"}:
        samples, sample_rate = soundfile.read(path, dtype="float32")
        return samples.mean(axis=1), sample_rate
    frames = _decode_all(path)
    # FFmpeg has cut off the encoder delay before time zero.
    return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames]), frames[0].rate


def window_of(whole: Samples, sample_rate: int, start_s: float, audio: AudioInput) -> Samples:
    """The same window, cut from the fully decoded file after resampling."""
    resampled = soxr.resample(whole, sample_rate, audio.sample_rate, quality="HQ")
    start = round(start_s * audio.sample_rate)
    cut = resampled[start : start + audio.window_samples]
    return np.pad(cut, (0, audio.window_samples - cut.size)).astype(np.float32)


def start_error_ms(window: Samples, expected: Samples, sample_rate: int) -> float:
    """The lag at which the window correlates best with the expected one."""
    product = np.fft.rfft(window) * np.conj(np.fft.rfft(expected))
    correlation = np.fft.irfft(product, window.size)
    max_lag = round(MAX_LAG_S * sample_rate)
    near = np.roll(correlation, max_lag)[: 2 * max_lag + 1]
    return 1000 * (int(near.argmax()) - max_lag) / sample_rate


def cosine(one: Samples, other: Samples) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def agreement(
    path: Path, windows: Windows, session: ort.InferenceSession, audio: AudioInput
) -> tuple[float, float]:
    """Start error in milliseconds, and the embeddings' cosine, against a full decode."""
    whole, sample_rate = full_decode(path)
    expected = window_of(whole, sample_rate, windows.starts_s[0], audio)
    error_ms = start_error_ms(windows.samples[0], expected, audio.sample_rate)
    decoded, reference = (
        session.run(["embedding"], {"waveform": samples[None]})[0][0]
        for samples in (windows.samples[0], expected)
    )
    return error_ms, cosine(decoded, reference)


def in_fresh_process(measure: Callable[..., Measured], *given: object) -> Measured:
    """Run in a separate process with the memory settings of the service's decoders."""
    with multiprocessing.get_context("spawn").Pool(1, keep_freed_memory) as pool:
        return pool.apply(measure, given)


def measure(plan: Plan) -> Figures:
    audio = read(BUNDLE).card.audio
    kinds = dict(list(GOALS_MS.items())[: plan.of(len(GOALS_MS), 1)])
    return {"resample_ms": resample_ms(audio), "rows": list(rows_of(plan.sounds.folder, kinds))}


def rows_of(folder: Path, goals_ms: dict[str, int]) -> Iterator[Figures]:
    """One row per format."""
    bundle = read(BUNDLE)
    audio = bundle.card.audio
    content = bundle.graph_bytes(bundle.card.graph())
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    for kind, goal_ms in goals_ms.items():
        clip, song = (
            write(folder / f"{seconds}.{kind}", golden(seconds)) for seconds in (CLIP_S, SONG_S)
        )
        windows = read_windows(song, audio, WindowChoice())
        error_ms, similarity = agreement(song, windows, session, audio)
        row = {
            "format": kind,
            "goal_ms": goal_ms,
            "clip_ms": in_fresh_process(decode_ms, clip, audio),
            "song_ms": in_fresh_process(decode_ms, song, audio),
            "library_ms": in_fresh_process(library_ms, clip),
            "start_error_ms": error_ms,
            "cosine": similarity,
        }
        print(table_row(row), flush=True)
        yield row


def resample_ms(audio: AudioInput) -> float:
    """CPU time of resampling: the same for all formats except Opus, which has 48 kHz."""
    mono = golden(CLIP_S)[:, 0].copy()
    return min_ms(lambda: soxr.resample(mono, 44_100, audio.sample_rate, quality="HQ"))


HEADER = (
    "| format | goal, ms | clip, ms | 4-minute song, ms | song ÷ clip (goal ≤ 1.25) "
    "| codec library alone, ms | start error, ms | cosine to a full decode |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table_row(row: Figures) -> str:
    return (
        f"| {row['format']} | {row['goal_ms']} | {row['clip_ms']:.1f} | {row['song_ms']:.1f} "
        f"| {row['song_ms'] / row['clip_ms']:.2f} | {row['library_ms']:.1f} "
        f"| {row['start_error_ms']:.2f} | {row['cosine']:.6f} |"
    )


def table(figures: Figures) -> str:
    resampling = f"Each includes {figures['resample_ms']:.1f} ms of resampling 44.1 kHz to 16 kHz."
    return "\n".join([HEADER, *map(table_row, figures["rows"]), f"\n{resampling}"])


def goals(figures: Figures) -> list[Goal]:
    slowest = max(figures["rows"], key=lambda row: row["clip_ms"] / row["goal_ms"])
    longest = max(figures["rows"], key=lambda row: row["song_ms"] / row["clip_ms"])
    over = slowest["clip_ms"] / slowest["goal_ms"]
    ratio = longest["song_ms"] / longest["clip_ms"]
    return [
        Goal(f"decoding a clip ÷ its goal, slowest format ({slowest['format']})", over, max=1),
        Goal(
            f"decoding a song ÷ a clip, slowest format ({longest['format']})", ratio, max=SONG_GOAL
        ),
    ]


DECODE = Benchmark("decode", "Decoding on one core", measure, table, goals)
