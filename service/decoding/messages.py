"""What the service and its decoder processes say to each other: one JSON line a message."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter

from models.card import AudioInput
from models.errors import TasteprintError


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"


class Job(Message):
    """Decode windows of the file at `path` into the file at `samples`: of those that are chosen,
    `count` from position `first` on.
    """

    path: str
    samples: str
    audio: AudioInput
    window: str
    max_windows: int
    first: int
    count: int


class Decoded(Message):
    """Done: float32 samples lie in the job's file, shape (len(starts_s), window_samples)."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    starts_s: list[float]
    n_chosen: int
    quiet_peak: float


class Refused(Message):
    """The file cannot be decoded; `error` is the name of an `AudioError`."""

    error: str
    detail: str
    value: float | str | None = None
    limit: float | str | None = None
    remedy: str | None = None

    @classmethod
    def by(cls, error: TasteprintError) -> Refused:
        return cls(
            error=type(error).__name__,
            detail=error.detail,
            value=error.value,
            limit=error.limit,
            remedy=error.remedy,
        )


ANSWER: TypeAdapter[Decoded | Refused] = TypeAdapter(Decoded | Refused)
READY = b"ready\n"
# To find out what a file is and how long: a second for the longest AAC without an index (98 MB).
# FFmpeg takes a minute for 100,000 tags in a WebM of 4 MB.
OPEN_CPU_S = 4.0
