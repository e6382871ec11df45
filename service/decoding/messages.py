"""Wire format between the service and its decoder processes: JSON lines."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter

from models.card import AudioInput
from models.errors import TasteprintError


class Message(BaseModel):
    """Base of the messages: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(Message):
    """Request: decode windows of the file at `path` into the file at `samples`.

    Attributes
    ----------
    window : which windows are chosen: see `models.audio.window_choice`
    first, count : the part of the chosen windows to decode: `count` from position `first` on
    """

    path: str
    samples: str
    audio: AudioInput
    window: str
    max_windows: int
    first: int
    count: int


class Decoded(Message):
    """Response: the job's file holds float32 samples, shape (len(starts_s), window_samples)."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    starts_s: list[float]
    n_chosen: int
    quiet_peak: float


class Refused(Message):
    """Response: the file cannot be decoded; `error` is the class name of an `AudioError`."""

    error: str
    detail: str
    value: float | str | None = None
    limit: float | str | None = None
    remedy: str | None = None

    @classmethod
    def from_error(cls, error: TasteprintError) -> Refused:
        return cls(
            error=type(error).__name__,
            detail=error.detail,
            value=error.value,
            limit=error.limit,
            remedy=error.remedy,
        )


RESPONSE: TypeAdapter[Decoded | Refused] = TypeAdapter(Decoded | Refused)
READY = b"ready"
# To find out a file's format and duration: a second for the longest AAC without an index (98 MB).
# FFmpeg takes a minute for 100,000 tags in a WebM of 4 MB.
OPEN_CPU_S = 4.0
