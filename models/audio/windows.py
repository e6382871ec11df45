"""From a file to a model's input: open, seek to the window, decode, mix down, resample.

Training and service read audio through this one module, so that they hear the same samples.
WAV, AIFF and FLAC go through libsndfile; MP3, Ogg, and what it cannot open (AAC in MP4 or ADTS,
WebM, ALAC, WMA), through FFmpeg's libraries, held to those containers and to local files.
Only the windows that are asked for are decoded.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr

from models.audio.ffmpeg import AvReader
from models.audio.libsndfile import SndfileReader
from models.audio.mp3 import Mp3Reader
from models.audio.window_choice import Samples, WindowChoice, repeat_to_length, window_starts
from models.card import AudioInput
from models.errors import AudioTooShort, NotFinite, SilentAudio, UnsupportedLayout

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 8
# Below -80 dB of full scale nothing but dither is left of a 16-bit recording.
SILENCE_PEAK = 1e-4
# Read on both sides of a window, so that the resampler's edges fall outside it.
MARGIN_S = 0.02
EVERY = slice(None)


class Reader(Protocol):
    """An open audio file; `n_frames` and `read` count in samples at the file's own rate."""

    codec: str
    sample_rate: int
    channels: int
    n_frames: int

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class AudioFacts:
    """What a file is, as it came."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float


@dataclass(frozen=True)
class Windows:
    """The model's input, of the windows that were read.

    Attributes
    ----------
    starts_s : of those that can be heard, in seconds; silent ones are left out
    samples : float32, shape (len(starts_s), window_samples), in [-1, 1]
    n_chosen : windows that the choice has in this audio, read here or not
    quiet_peak : of the windows left out the highest peak, as a share of full scale
    """

    facts: AudioFacts
    starts_s: tuple[float, ...]
    samples: Samples
    n_chosen: int = 1
    quiet_peak: float = 0.0


def open_audio(path: Path) -> Reader:
    """Open as MP3, with libsndfile, or with FFmpeg what that cannot read.

    Raises
    ------
    NotAudio, NoAudioStream, TruncatedAudio, CorruptAudio, UnsupportedLayout
    """
    reader: Reader = Mp3Reader.open(path) or SndfileReader.open(path) or AvReader(path)
    try:
        _check_layout(reader)
    except UnsupportedLayout:
        reader.close()
        raise
    return reader


def _check_layout(reader: Reader) -> None:
    if not MIN_SAMPLE_RATE <= reader.sample_rate <= MAX_SAMPLE_RATE:
        raise UnsupportedLayout(
            f"the sample rate is {reader.sample_rate} Hz, "
            f"read are {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz",
            value=reader.sample_rate,
            limit=MIN_SAMPLE_RATE if reader.sample_rate < MIN_SAMPLE_RATE else MAX_SAMPLE_RATE,
        )
    if not 1 <= reader.channels <= MAX_CHANNELS:
        raise UnsupportedLayout(
            f"the audio has {reader.channels} channels, read are 1 to {MAX_CHANNELS}",
            value=reader.channels,
            limit=MAX_CHANNELS,
        )


def read_windows(
    path: Path,
    audio: AudioInput,
    choice: WindowChoice,
    *,
    max_windows: int = 60,
    part: slice = EVERY,
) -> Windows:
    """Open a file and decode the chosen windows of it: see `windows_of`.

    Raises
    ------
    AudioError
        The subclass says which: see `models.errors`.
    """
    with closing(open_audio(path)) as reader:
        return windows_of(reader, audio, choice, max_windows=max_windows, part=part)


def windows_of(
    reader: Reader,
    audio: AudioInput,
    choice: WindowChoice,
    *,
    max_windows: int = 60,
    part: slice = EVERY,
) -> Windows:
    """Decode the chosen windows as a model's card wants them.

    Parameters
    ----------
    part : which of the chosen windows, by their position; where it leaves some out, silence in all
        of it is no error

    Raises
    ------
    AudioError
        The subclass says which: see `models.errors`.
    """
    facts = AudioFacts(
        codec=reader.codec,
        sample_rate=reader.sample_rate,
        channels=reader.channels,
        duration_s=reader.n_frames / reader.sample_rate,
    )
    chosen = window_starts(choice, facts.duration_s, audio, max_windows)
    heard, quiet_peak = [], 0.0
    for start_s in chosen[part]:
        try:
            heard.append((start_s, _read_window(reader, audio, start_s)))
        except SilentAudio as quiet:  # of several windows the silent ones are left out
            quiet_peak = max(quiet_peak, float(quiet.value or 0.0))
    if not heard and len(chosen[part]) == len(chosen):
        raise silent(quiet_peak)
    samples = np.array([window for _, window in heard], np.float32)
    return Windows(
        facts=facts,
        starts_s=tuple(start for start, _ in heard),
        samples=samples.reshape(-1, audio.window_samples),
        n_chosen=len(chosen),
        quiet_peak=quiet_peak,
    )


def _read_window(reader: Reader, audio: AudioInput, start_s: float) -> Samples:
    """The window that starts there, shape (window_samples,)."""
    start = round(start_s * reader.sample_rate)
    count = round(audio.window_s * reader.sample_rate)
    margin = round(MARGIN_S * reader.sample_rate)
    before = min(margin, start)
    mono = reader.read(start - before, before + count + margin)
    if mono.size <= before:
        raise AudioTooShort("there are no samples in the window", value=0, limit=1)
    _check_finite(mono)
    _check_level(mono[before : before + count])
    skip = round(before * audio.sample_rate / reader.sample_rate)
    window = resample(mono, reader.sample_rate, audio.sample_rate)[skip:]
    _check_finite(window)  # of samples near float32's largest the resampler makes infinite ones
    return np.clip(repeat_to_length(window, audio.window_samples), -1.0, 1.0)


def _check_finite(mono: Samples) -> None:
    # NaN is both the least and the greatest wherever it is.
    if not (np.isfinite(mono.min()) and np.isfinite(mono.max())):
        raise NotFinite("the audio holds samples that are NaN, infinite or far too large")


def _check_level(mono: Samples) -> None:
    peak = float(max(-mono.min(), mono.max()))
    if peak < SILENCE_PEAK:
        raise silent(peak)


def silent(peak: float) -> SilentAudio:
    return SilentAudio(
        f"the window peaks at {peak:.2g} of full scale, the least is {SILENCE_PEAK:g}",
        value=peak,
        limit=SILENCE_PEAK,
    )


def resample(mono: Samples, source_rate: int, target_rate: int) -> Samples:
    """Band-limited resampling (soxr, HQ); float32, shape (n,) -> (n · target / source,)."""
    if source_rate == target_rate:
        return mono
    return np.asarray(soxr.resample(mono, source_rate, target_rate, quality="HQ"), np.float32)
