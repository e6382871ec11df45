"""Opening a file with FFmpeg's libraries, and the errors that say why one cannot be opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from models.audio.containers.signatures import HEAD_BYTES, other_type
from models.errors import NoAudioStream, NotAudio, TruncatedAudio

# No playlists, no `concat`, no network: with these demuxers a file cannot refer to other files.
DEMUXERS = "mov,mp4,m4a,matroska,webm,ogg,aac,flac,mp3,wav,w64,aiff,au,caf,asf,amr"
# As libsndfile names them.
PCM_NAMES = {
    "pcm_s8": "pcm_s8",
    "pcm_u8": "pcm_u8",
    "pcm_s16": "pcm_16",
    "pcm_s24": "pcm_24",
    "pcm_s32": "pcm_32",
    "pcm_f32": "float",
    "pcm_f64": "double",
    "pcm_alaw": "alaw",
    "pcm_mulaw": "ulaw",
    "adpcm_ima_wav": "ima_adpcm",
    "adpcm_ms": "ms_adpcm",
    "gsm_ms": "gsm610",
}
OPEN_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}


def open_container(path: Path, options: Mapping[str, str]) -> InputContainer:
    """The container of a file.

    Raises
    ------
    NotAudio, TruncatedAudio
    """
    try:
        return av.open(str(path), metadata_errors="ignore", options=dict(options))
    except (av.error.FFmpegError, ValueError) as error:
        raise _open_error(path, error) from error


def audio_stream(container: InputContainer) -> AudioStream:
    """The audio stream that players choose; `NoAudioStream` without any.

    The first one that is marked as default, which commentaries and other languages are not; else
    the first one.
    """
    streams = container.streams.audio
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise NoAudioStream(f"the file has no audio stream, only: {kinds or 'nothing'}")
    return next(filter(is_default, streams), streams[0])


def is_default(stream: AudioStream) -> bool:
    return bool(stream.disposition & Disposition.default)


def name_codec(decoder: str) -> str:
    """One name for one codec, whichever library and decoder reads it: `mp3`, `pcm_16`, …"""
    codec = av.Codec(decoder, "r").canonical_name
    return PCM_NAMES.get(codec.removesuffix("le").removesuffix("be"), codec)


def other_error(path: Path) -> NotAudio | None:
    """The error that names what the file is; None if its first bytes do not say."""
    with path.open("rb") as file:
        kind = other_type(file.read(HEAD_BYTES))
    if kind is None:
        return None
    return NotAudio(f"the file is {kind.name}, which is not read", remedy=kind.remedy)


def _open_error(path: Path, error: Exception) -> NotAudio | TruncatedAudio:
    if other := other_error(path):
        return other
    with path.open("rb") as file:
        head = file.read(12)
    # An MP4 keeps its index (`moov`) at the end unless told otherwise: cut off, it does not open.
    if head[4:8] == b"ftyp" and isinstance(error, av.error.InvalidDataError):
        return TruncatedAudio("the MP4 file ends before its index")
    names = {b"fLaC": "FLAC", b"OggS": "Ogg", b"RIFF": "WAV", b"FORM": "AIFF", b"ID3\x03": "MP3"}
    names |= {b".snd": "AU", b"dns.": "AU", b"#!AM": "AMR"}
    if name := names.get(head[:4]):
        return TruncatedAudio(f"the file begins as {name} and ends before any audio")
    return NotAudio("no decoder recognises the file")
