"""Audio windows as model input: open, seek, decode, mix down, resample.

Training and service both read audio through this module, so that they get the same samples. WAV,
AIFF, AU and FLAC are read by libsndfile; MP3, Ogg, and formats that libsndfile cannot open (AAC in
MP4 or ADTS, WebM, ALAC, WMA, AMR), by FFmpeg's libraries, restricted to those containers and to
local files. Only the chosen windows are decoded, and of a model with patches only those.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from models.audio.ffmpeg import FfmpegReader
from models.audio.joined import AudioReader
from models.audio.length import Notes
from models.audio.libsndfile import SndfileReader
from models.audio.mp3.reader import open_mp3
from models.audio.pieces import open_joined
from models.audio.signal.levels import (
    Level,
    check_finite,
    check_level,
    moved_note,
    read_nearest_audible,
    silent_error,
)
from models.audio.spans import Span, patch_spans, patch_starts, window_span
from models.audio.window_choice import Samples, WindowChoice, repeat_to_length, window_starts
from models.card import AudioInput
from models.errors import AudioTooShort, SilentAudio, UnsupportedLayout

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 8
EVERY = slice(None)


@dataclass(frozen=True)
class AudioInfo:
    """Metadata of the file: codec, sample rate, channels, duration, and notes on its length."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    notes: Notes = ()


@dataclass(frozen=True)
class Windows:
    """Decoded windows as the model's input, without silent windows.

    Attributes
    ----------
    starts_s : start of each window in seconds
    samples : float32, shape (len(starts_s), input_samples), in [-1, 1]
    n_chosen : number of chosen windows in the whole audio
    silent_peak : highest peak of the silent windows, as a share of full scale
    is_moved : whether the window is not in the middle, since the middle is silent
    """

    info: AudioInfo
    starts_s: tuple[float, ...]
    samples: Samples
    n_chosen: int = 1
    silent_peak: float = 0.0
    is_moved: bool = False


def open_audio(path: Path) -> AudioReader:
    """Open as MP3, else with libsndfile, else with FFmpeg; each piece of a joined file.

    Raises
    ------
    NotAudio, NoAudioStream, TruncatedAudio, CorruptAudio, UnsupportedLayout
    """
    return open_joined(path, _open_piece) or _open_piece(path)


def _open_piece(path: Path) -> AudioReader:
    reader = open_mp3(path) or SndfileReader.open(path) or FfmpegReader(path)
    try:
        _check_layout(reader)
    except UnsupportedLayout:
        reader.close()
        raise
    return reader


def _check_layout(reader: AudioReader) -> None:
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
    reader: AudioReader,
    audio: AudioInput,
    choice: WindowChoice,
    *,
    max_windows: int = 60,
    part: slice = EVERY,
) -> Windows:
    """Decode the chosen windows as the model's card specifies.

    Where the middle of the audio is silent, the audible window nearest to it takes its place.

    Parameters
    ----------
    part : which of the chosen windows, by position; if it excludes some, silence in all windows of
        the part is not an error

    Raises
    ------
    AudioError
        The subclass says which: see `models.errors`.
    """
    chosen = _choose_windows(reader, audio, choice, max_windows)
    starts_s: list[float] = []
    windows: list[Samples] = []
    silent_peak, is_moved = 0.0, False
    for start_s in chosen[part]:
        try:
            windows.append(_read_window(reader, audio, start_s))
            starts_s.append(start_s)
        except SilentAudio as error:  # silent windows among several are left out
            silent_peak = max(silent_peak, float(error.value or 0.0))
    if not windows and choice.mode == "middle":
        read = partial(_read_window, reader, audio)
        nearest = read_nearest_audible(reader, audio, read)
        if nearest is not None:
            starts_s, windows, is_moved = [nearest[0]], [nearest[1]], True
    if not windows and len(chosen[part]) == len(chosen):
        raise silent_error(silent_peak)
    samples = np.array(windows, np.float32)
    return Windows(
        # After reading, which may find gaps.
        info=_describe(reader, moved_note(chosen[0], starts_s[0]) if is_moved else ()),
        starts_s=tuple(starts_s),
        samples=samples.reshape(-1, audio.input_samples),
        n_chosen=len(chosen),
        silent_peak=silent_peak,
        is_moved=is_moved,
    )


def _choose_windows(
    reader: AudioReader, audio: AudioInput, choice: WindowChoice, max_windows: int
) -> tuple[float, ...]:
    """Start of each window in seconds; of a truncated file only windows that are there.

    The middle of what is left is not the middle of the audio.
    """
    duration_s = reader.n_samples / reader.sample_rate
    if reader.truncation is None:
        return window_starts(choice, duration_s, audio, max_windows)
    start_s = choice.offset_s if choice.mode == "offset" else 0.0
    if choice.mode in {"middle", "all"} or choice.from_end or start_s + audio.window_s > duration_s:
        raise reader.truncation
    return (start_s,)


def _describe(reader: AudioReader, more_notes: Notes) -> AudioInfo:
    truncation = (reader.truncation.detail,) if reader.truncation else ()
    return AudioInfo(
        codec=reader.codec,
        sample_rate=reader.sample_rate,
        channels=reader.channels,
        duration_s=reader.n_samples / reader.sample_rate,
        notes=(*reader.notes, *truncation, *more_notes),
    )


def _read_window(reader: AudioReader, audio: AudioInput, start_s: float) -> Samples:
    """The model's input from the window at `start_s`, shape (input_samples,)."""
    if spans := patch_spans(audio, start_s, reader.sample_rate, reader.n_samples):
        patches = _read_spans(reader, audio, spans)
        heard: Samples = np.concatenate(
            [repeat_to_length(patch, audio.patch_samples) for patch in patches]
        )
    else:
        window = window_span(audio, start_s, reader.sample_rate)
        (part,) = _read_spans(reader, audio, (window,))
        heard = _cut_patches(part, audio)
        check_level(Level.of(heard).peak)
    return np.clip(heard, -1.0, 1.0)


def _read_spans(reader: AudioReader, audio: AudioInput, spans: tuple[Span, ...]) -> list[Samples]:
    """Read and resample spans, shorter at the end of the audio; an error if all are silent."""
    parts: list[Samples] = []
    peaks: list[float] = []
    for span in spans:
        mono = reader.read(span.start, span.count)
        if mono.size <= span.heard.start:
            raise AudioTooShort("the window has no samples", value=0, limit=1)
        check_finite(mono[: span.heard.start], mono[span.heard.stop :])
        heard = Level.of(mono[span.heard])
        heard.check_range(reader.codec, mono[span.heard])
        part = resample(mono, reader.sample_rate, audio.sample_rate)[span.skip :][: span.length]
        parts.append(part)
        # At both rates: resampled, the sound beside a span rings into it, and what is above the
        # model's frequencies is not heard.
        peaks.append(min(heard.peak, Level.of(part).peak))
    check_level(max(peaks))
    return parts


def _cut_patches(window: Samples, audio: AudioInput) -> Samples:
    """The patches of a window, or the window; (n_heard,) -> (input_samples,)."""
    starts, length = patch_starts(audio, window.size), audio.patch_samples
    # Repeated only if shorter than a patch; by rounding, the last one may end a sample after it.
    window = repeat_to_length(window, max(window.size, starts[-1] + length))
    return np.concatenate([window[start : start + length] for start in starts])


def resample(mono: Samples, source_rate: int, target_rate: int) -> Samples:
    """Band-limited resampling (soxr, HQ); float32, shape (n,) -> (n · target / source,)."""
    if source_rate == target_rate:
        return mono
    return np.asarray(soxr.resample(mono, source_rate, target_rate, quality="HQ"), np.float32)
