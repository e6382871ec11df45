"""Errors of audio and bundles, shared by training and service; each has value, limit, remedy."""

from __future__ import annotations


class TasteprintError(Exception):
    """Root of every error that a user can act on.

    Attributes
    ----------
    detail : what was wrong, in a sentence
    value, limit : the value found and the limit that it breaks, where there are such
    remedy : what the user can do
    """

    title = "Error"
    remedy = ""

    def __init__(
        self,
        detail: str,
        *,
        value: str | float | None = None,
        limit: str | float | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.value = value
        self.limit = limit
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.detail}; {self.remedy}" if self.remedy else self.detail

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments survive a process boundary
        return (_rebuild, (type(self), self.detail, self.value, self.limit, self.remedy))


def _rebuild(
    kind: type[TasteprintError],
    detail: str,
    value: str | float | None,
    limit: str | float | None,
    remedy: str,
) -> TasteprintError:
    return kind(detail, value=value, limit=limit, remedy=remedy)


class AudioError(TasteprintError):
    """The audio cannot be used as a model's input."""

    title = "Unusable audio"


class NotAudio(AudioError):
    title = "Not an audio file"
    remedy = "send MP3, FLAC, Ogg Vorbis, Opus, M4A/AAC, WAV, AIFF or WebM"


class NoAudioStream(AudioError):
    title = "No audio in the file"
    remedy = "send a file that holds at least one audio stream with samples in it"


class TruncatedAudio(AudioError):
    title = "Truncated audio"
    remedy = "upload the whole file again"


class CorruptAudio(AudioError):
    title = "Corrupt audio"
    remedy = "encode the file again from its source"


class AudioTooShort(AudioError):
    title = "Audio too short"
    remedy = "send a longer excerpt"


class AudioTooLong(AudioError):
    title = "Audio too long"
    remedy = "send a shorter file, or ask for window=middle"


class SilentAudio(AudioError):
    title = "Silent audio"
    remedy = "choose another window, or send audio that can be heard"


class NotFinite(AudioError):
    title = "NaN or infinity in the audio"
    remedy = "write the file again with finite samples in [-1, 1]"


class UnsupportedLayout(AudioError):
    title = "Unsupported sample rate or channel count"
    remedy = "convert the file, for example to 44100 Hz stereo"


class WindowOutside(AudioError):
    title = "Window outside the audio"
    remedy = "ask for an offset before the end of the audio"


class BundleError(TasteprintError):
    """A bundle is refused: its schema, digest, tensors or probe run are wrong."""

    title = "Bundle refused"
    remedy = "export the bundle again"
