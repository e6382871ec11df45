"""Sounds that the tests synthesise, and the files they are written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Sound = NDArray[np.float32]

SAMPLE_RATE = 44_100
FORMATS = ("wav", "flac", "aiff", "mp3", "ogg", "opus", "m4a", "webm")


def golden(
    seconds: float = 6.0, sample_rate: int = SAMPLE_RATE, channels: int = 2, seed: int = 0
) -> Sound:
    """A seeded chord that changes every half second, with noise; shape (n, channels)."""
    random = np.random.default_rng(seed)
    n = round(seconds * sample_rate)
    t = np.arange(n) / sample_rate
    beat = (t * 2).astype(int)
    roots = 110 * 2 ** (random.integers(0, 24, beat[-1] + 1) / 12)
    top = 0.4 * sample_rate
    mono = 0.02 * random.standard_normal(n)
    for harmonic in (1, 1.25, 1.5, 2, 3, 4):
        pitch = roots[beat] * harmonic
        mono += np.where(pitch < top, 0.08 / harmonic, 0) * np.sin(2 * np.pi * pitch * t)
    levels = np.linspace(1, 0.7, channels)
    return (mono[:, None] * levels).astype(np.float32)


def write(
    path: Path, sound: Sound, sample_rate: int = SAMPLE_RATE, subtype: str | None = None
) -> Path:
    """Write by what the path ends in; libsndfile where it can, else FFmpeg's libraries."""
    kind = path.suffix[1:]
    if kind == "opus":
        return write_av(path, sound, sample_rate, "libopus", "ogg")
    if kind == "webm":
        return write_av(path, sound, sample_rate, "libopus", "webm")
    if kind == "m4a":
        return write_av(path, sound, sample_rate, "aac", "ipod")
    if subtype is None and kind in {"wav", "flac", "aiff"}:
        # libsndfile rounds floats otherwise for FLAC than for WAV: give both the same integers.
        return _write_blocks(path, np.round(sound * 32767).astype(np.int16), sample_rate, "PCM_16")
    return _write_blocks(path, sound, sample_rate, subtype)


def _write_blocks(path: Path, sound: NDArray[Any], sample_rate: int, subtype: str | None) -> Path:
    with soundfile.SoundFile(path, "w", sample_rate, sound.shape[1], subtype) as file:
        # One long write of Ogg Vorbis crashes libsndfile.
        for start in range(0, len(sound), sample_rate):
            file.write(sound[start : start + sample_rate])
    return path


def write_av(
    path: Path, sound: Sound, sample_rate: int, codec: str, container: str, bit_rate: int = 192_000
) -> Path:
    """Encode with FFmpeg's libraries; (n, channels) with one or two channels."""
    layout = "stereo" if sound.shape[1] == 2 else "mono"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000 if codec == "libopus" else sample_rate)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate, stream.layout = bit_rate, layout
        for start in range(0, len(sound), sample_rate):
            planes = np.ascontiguousarray(sound[start : start + sample_rate].T)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sample_rate, None
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_surround(path: Path, sound: Sound, codec: str, container: str) -> Path:
    """7.1 by FFmpeg's libraries, at 48 kHz; (n, 8)."""
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "7.1"
        # Packed, as PyAV counts nine planes in a frame of eight.
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="flt", layout="7.1")
        frame.sample_rate, frame.pts = 48_000, None
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_silent_video(path: Path) -> Path:
    """A second of video without sound."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for level in range(0, 100, 10):
            pixels = np.full((64, 64, 3), level, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    return path
