"""Errors of audio and bundles, shared by training and service; each has value, limit, remedy."""

from __future__ import annotations


class TasteprintError(Exception):
    """Base of every error that a user can act on.

    Attributes
    ----------
    detail : what was wrong, in a sentence
    value, limit : the value found and the limit that it exceeds, if any
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
    """Base of errors of audio that cannot be used as a model's input."""

    title = "Unusable audio"


class NotAudio(AudioError):
    """Raised if no decoder recognises the file."""

    title = "Not an audio file"
    remedy = "send MP3, FLAC, Ogg Vorbis, Opus, M4A/AAC, WAV, AIFF or WebM"


class UnsupportedCodec(AudioError):
    """Raised if the file has audio in a codec that is not read."""

    title = "Unsupported codec"
    remedy = "convert the file: ffmpeg -i INPUT OUTPUT.flac"


class NoAudioStream(AudioError):
    """Raised if the file has no audio stream with samples."""

    title = "No audio in the file"
    remedy = "send a file with at least one audio stream that has samples"


class TruncatedAudio(AudioError):
    """Raised if the file ends before its stated length."""

    title = "Truncated audio"
    remedy = (
        "upload the whole file again, or ask for a window in the part that is there: window=start, "
        "or an offset"
    )


class CorruptAudio(AudioError):
    """Raised if the audio cannot be decoded."""

    title = "Corrupt audio"
    remedy = "encode the file again from its source"


class AudioTooShort(AudioError):
    """Raised if the audio is shorter than the model's minimum."""

    title = "Audio too short"
    remedy = "send a longer excerpt"


class AudioTooLong(AudioError):
    """Raised if the audio has more windows than `max_windows`."""

    title = "Audio too long"
    remedy = "send a shorter file, or ask for window=middle"


class SilentAudio(AudioError):
    """Raised if the peak of every chosen window is below -80 dBFS."""

    title = "Silent audio"
    remedy = "choose another window, or send audio with a peak above -80 dBFS"


class NotFinite(AudioError):
    """Raised if the audio has samples that are NaN or infinite."""

    title = "NaN or infinity in the audio"
    remedy = "write the file again with finite samples in [-1, 1]"


class OutOfRange(AudioError):
    """Raised if samples in floating point are of another scale than [-1, 1]."""

    title = "Samples out of range"
    remedy = "divide the samples by their full scale, for example 32768, and write the file again"


class UnsupportedLayout(AudioError):
    """Raised if the sample rate or the number of channels is not supported."""

    title = "Unsupported sample rate or channel count"
    remedy = "convert the file, for example to 44100 Hz stereo"


class WindowOutside(AudioError):
    """Raised if the offset leaves less audio than the model's minimum."""

    title = "Window outside the audio"
    remedy = "ask for an offset before the end of the audio"


class BundleError(TasteprintError):
    """Raised if a bundle fails verification: schema, digest, tensors or trial run."""

    title = "Bundle refused"
    remedy = "export the bundle again"
