"""Spans of a file to read for a window: the whole window, or each of its patches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.card import AudioInput

# Read on both sides of a window or patch, so that the resampler's edge effects fall outside of it.
MARGIN_S = 0.02
# Each patch costs a seek and what is decoded before it: patches that make up more of the window
# than this are cut from the whole window, which takes no longer then.
MAX_PATCH_SHARE = 2 / 3


@dataclass(frozen=True)
class Span:
    """A stretch of the file, with margins, and the part of the model's input that it becomes.

    Attributes
    ----------
    start, count : samples to read, at the file's rate
    heard : the samples without margins, as a slice of those read
    skip : samples before the part, after resampling
    length : of the part, after resampling
    """

    start: int
    count: int
    heard: slice
    skip: int
    length: int


def window_span(audio: AudioInput, start_s: float, sample_rate: int) -> Span:
    """The span of the whole window at `start_s` of a file with that sample rate."""
    start = round(start_s * sample_rate)
    count = round(audio.window_s * sample_rate)
    margin = round(MARGIN_S * sample_rate)
    before = min(margin, start)
    return Span(
        start=start - before,
        count=before + count + margin,
        heard=slice(before, before + count),
        skip=round(before * audio.sample_rate / sample_rate),
        length=audio.window_samples,
    )


def patch_starts(audio: AudioInput, heard_samples: int) -> tuple[int, ...]:
    """Start of each patch in samples of a window, of which only the first samples are audio.

    In a shorter window the patches move together, so that they are spread over the audio as they
    are over a whole window, and none is of its repetition.

    Parameters
    ----------
    heard_samples : at the model's rate; audio shorter than a patch is repeated to its length
    """
    room, used = (
        max(0, length - audio.patch_samples) for length in (audio.window_samples, heard_samples)
    )
    if used >= room:
        return audio.patch_starts
    return tuple(round(start * used / room) for start in audio.patch_starts)


def patch_spans(
    audio: AudioInput, start_s: float, sample_rate: int, n_samples: int
) -> tuple[Span, ...]:
    """The span of each patch of the window at `start_s`.

    Empty where the patches are cut from the whole window: they make up most of what it has of the
    audio, or a patch is longer than that.

    Parameters
    ----------
    n_samples : length of the file
    """
    heard_s = n_samples / sample_rate - start_s
    heard_samples = min(round(heard_s * audio.sample_rate), audio.window_samples)
    if audio.patches is None or audio.input_samples > MAX_PATCH_SHARE * heard_samples:
        return ()
    window = window_span(audio, start_s, sample_rate)
    starts = patch_starts(audio, heard_samples)
    spans = tuple(_patch_span(audio, window, start, sample_rate) for start in starts)
    ends = [span.start + span.heard.stop for span in spans]
    return spans if max(ends) <= n_samples else ()


def _patch_span(audio: AudioInput, window: Span, start: int, sample_rate: int) -> Span:
    """The span of a patch that begins at sample `start` of the window, after resampling.

    A file sample and a resampled one fall together every `step` samples of the file. The span
    begins at such a pair, counted from the start of the window's span: so the patch has the same
    sampling instants as the window.
    """
    divisor = math.gcd(sample_rate, audio.sample_rate)
    step, resampled_step = sample_rate // divisor, audio.sample_rate // divisor
    begin, end = window.skip + start, window.skip + start + audio.patch_samples
    n_steps = max(0, begin - math.ceil(MARGIN_S * audio.sample_rate)) // resampled_step
    heard_begin, heard_end = begin * step // resampled_step, -(-end * step // resampled_step)
    return Span(
        start=window.start + n_steps * step,
        count=heard_end - n_steps * step + round(MARGIN_S * sample_rate),
        heard=slice(heard_begin - n_steps * step, heard_end - n_steps * step),
        skip=begin - n_steps * resampled_step,
        length=audio.patch_samples,
    )
