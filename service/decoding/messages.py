"""Wire format between the service and its decoder processes: JSON lines."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.card import AudioInput
from models.errors import TasteprintError

Notes = Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=8)]


class Message(BaseModel):
    """Base of the messages: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DecodeRequest(Message):
    """Request to decode windows of the file at `path` into the file at `samples`.

    Attributes
    ----------
    window : the text of a `models.audio.window_choice.WindowChoice`
    first, count : which of the chosen windows to decode: `count` of them from position `first` on
    """

    path: str
    samples: str
    audio: AudioInput
    window: str
    max_windows: int
    first: int
    count: int


class DecodeResponse(Message):
    """Response: the samples file holds float32, shape (len(starts_s), input_samples)."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    notes: Notes
    starts_s: list[float]
    n_chosen: int
    silent_peak: float
    is_moved: bool


class DecodeError(Message):
    """Response: the file cannot be decoded; `error` is the class name of an `AudioError`."""

    error: str
    detail: str
    value: int | float | str | None = None
    limit: int | float | str | None = None
    remedy: str | None = None

    @classmethod
    def from_error(cls, error: TasteprintError) -> DecodeError:
        return cls(
            error=type(error).__name__,
            detail=error.detail,
            value=error.value,
            limit=error.limit,
            remedy=error.remedy,
        )


RESPONSE: TypeAdapter[DecodeResponse | DecodeError] = TypeAdapter(DecodeResponse | DecodeError)
READY = b"ready"
