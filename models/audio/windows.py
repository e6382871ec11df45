"""Audio windows as model input: open, seek, decode, mix down, resample.

Training and service read audio through this one module, so that they get the same samples. WAV,
AIFF and FLAC are read by libsndfile; MP3, Ogg, and what libsndfile cannot open (AAC in MP4 or ADTS,
WebM, ALAC, WMA), by FFmpeg's libraries, restricted to those containers and to local files. Only the
chosen windows are decoded.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr

from models.audio.ffmpeg import FfmpegReader
from models.audio.libsndfile import SndfileReader
from models.audio.mp3 import Mp3Reader
from models.audio.window_choice import Samples, WindowChoice, repeat_to_length, window_starts
from models.card import AudioInput
from models.errors import AudioTooShort, NotFinite, SilentAudio, UnsupportedLayout

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 8
# -80 dB of full scale: below, a 16-bit recording holds nothing but dither.
SILENCE_PEAK = 1e-4
# Read on both sides of a window, so that the resampler's edge effects fall outside of it.
MARGIN_S = 0.02
EVERY = slice(None)


class Reader(Protocol):
    """An open audio file; `n_frames` and `read` count samples at the file's own rate."""

    codec: str
    sample_rate: int
    channels: int
    n_frames: int

    def read(self, start: int, count: int) -> Samples:
        """Mono float32 samples [start, start + count), fewer at the end of the audio."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class AudioFacts:
    """Codec, sample rate, channels and duration of the file as uploaded."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float


@dataclass(frozen=True)
class Windows:
    """The windows that were decoded, as the model's input. Silent windows are left out.

    Attributes
    ----------
    starts_s : start of each window in seconds
    samples : float32, shape (len(starts_s), window_samples), in [-1, 1]
    n_chosen : number of chosen windows in this audio, decoded here or not
    quiet_peak : highest peak of the silent windows, as a share of full scale
    """

    facts: AudioFacts
    starts_s: tuple[float, ...]
    samples: Samples
    n_chosen: int = 1
    quiet_peak: float = 0.0


def open_audio(path: Path) -> Reader:
    """Open as MP3, else with libsndfile, else with FFmpeg.

    Raises
    ------
    NotAudio, NoAudioStream, TruncatedAudio, CorruptAudio, UnsupportedLayout
    """
    reader: Reader = Mp3Reader.open(path) or SndfileReader.open(path) or FfmpegReader(path)
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
            f"supported are {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz",
            value=reader.sample_rate,
            limit=MIN_SAMPLE_RATE if reader.sample_rate < MIN_SAMPLE_RATE else MAX_SAMPLE_RATE,
        )
    if not 1 <= reader.channels <= MAX_CHANNELS:
        raise UnsupportedLayout(
            f"the audio has {reader.channels} channels, supported are 1 to {MAX_CHANNELS}",
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
    """Open a file and decode its chosen windows: see `decode_windows`.

    Raises
    ------
    AudioError
        The subclass says which: see `models.errors`.
    """
    with closing(open_audio(path)) as reader:
        return decode_windows(reader, audio, choice, max_windows=max_windows, part=part)


def decode_windows(
    reader: Reader,
    audio: AudioInput,
    choice: WindowChoice,
    *,
    max_windows: int = 60,
    part: slice = EVERY,
) -> Windows:
    """Decode the chosen windows as the model's card specifies.

    Parameters
    ----------
    part : which of the chosen windows, by position; if it leaves some out, silence in all windows
        of the part is no error

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
    starts_s: list[float] = []
    windows: list[Samples] = []
    quiet_peak = 0.0
    for start_s in chosen[part]:
        try:
            windows.append(_read_window(reader, audio, start_s))
            starts_s.append(start_s)
        except SilentAudio as error:  # of several windows the silent ones are left out
            quiet_peak = max(quiet_peak, float(error.value or 0.0))
    if not windows and len(chosen[part]) == len(chosen):
        raise silent(quiet_peak)
    samples = np.array(windows, np.float32)
    return Windows(
        facts=facts,
        starts_s=tuple(starts_s),
        samples=samples.reshape(-1, audio.window_samples),
        n_chosen=len(chosen),
        quiet_peak=quiet_peak,
    )


def _read_window(reader: Reader, audio: AudioInput, start_s: float) -> Samples:
    """The window at `start_s`, shape (window_samples,)."""
    start = round(start_s * reader.sample_rate)
    count = round(audio.window_s * reader.sample_rate)
    margin = round(MARGIN_S * reader.sample_rate)
    before = min(margin, start)
    mono = reader.read(start - before, before + count + margin)
    if mono.size <= before:
        raise AudioTooShort("the window holds no samples", value=0, limit=1)
    _check_finite(mono)
    _check_level(mono[before : before + count])
    skip = round(before * audio.sample_rate / reader.sample_rate)
    window = resample(mono, reader.sample_rate, audio.sample_rate)[skip:]
    _check_finite(window)  # the resampler overflows on samples near the largest float32
    return np.clip(repeat_to_length(window, audio.window_samples), -1.0, 1.0)


def _check_finite(mono: Samples) -> None:
    # If any sample is NaN, so are the minimum and the maximum.
    if not (np.isfinite(mono.min()) and np.isfinite(mono.max())):
        raise NotFinite("the audio holds samples that are NaN, infinite or far too large")


def _check_level(mono: Samples) -> None:
    peak = float(max(-mono.min(), mono.max()))
    if peak < SILENCE_PEAK:
        raise silent(peak)


def silent(peak: float) -> SilentAudio:
    return SilentAudio(
        f"the window peaks at {peak:.2g} of full scale, the minimum is {SILENCE_PEAK:g}",
        value=peak,
        limit=SILENCE_PEAK,
    )


def resample(mono: Samples, source_rate: int, target_rate: int) -> Samples:
    """Band-limited resampling (soxr, HQ); float32, shape (n,) -> (n · target / source,)."""
    if source_rate == target_rate:
        return mono
    return np.asarray(soxr.resample(mono, source_rate, target_rate, quality="HQ"), np.float32)
