"""Response schema of GET /limits, made from the settings and the constants of each stage."""

from __future__ import annotations

from pydantic import Field

from models.audio.windows import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from service.decoding.sandbox import OPEN_CPU_S
from service.middleware.request import MAX_QUERY_BYTES
from service.pipeline.audio_job import WINDOWS_AT_A_TIME
from service.schemas.responses import Answer
from service.settings import Settings
from service.transport.connection_limits import max_connections
from service.transport.header_limits import MAX_HEADER_BYTES


class Limits(Answer):
    """Limits of this deployment; a problem names the limit that a request exceeded."""

    upload_bytes: int = Field(description="Maximum size of a file: 413.")
    upload_silence_s: float = Field(
        description="Maximum idle time of a client during an upload: 408."
    )
    upload_bytes_per_s: int = Field(
        description="Minimum rate of an upload after the idle time: 408."
    )
    batch_files: int = Field(description="Maximum number of files of one POST /embed/batch: 400.")
    windows: int = Field(
        description="Maximum number of windows of one file with `window=all`: 422."
    )
    # A list, since few OpenAPI tools support the schema of a tuple.
    sample_rates: list[int] = Field(
        min_length=2, max_length=2, description="Minimum and maximum, in Hz: 422."
    )
    channels: int = Field(description="Maximum number of channels: 422.")
    windows_in_work: int = Field(
        description="Maximum number of windows in flight of all requests: 429."
    )
    windows_at_a_time: int = Field(
        description="Maximum number of windows in flight of one request."
    )
    held_bytes: int = Field(description="Maximum bytes of all uploads together: 429.")
    deadline_s: float = Field(description="Maximum time from an upload's end to its answer: 504.")
    open_cpu_s: float = Field(description="Maximum CPU time to open a file: 422.")
    decode_s: float = Field(description="Maximum time to decode a part of a file: 422.")
    decode_bytes: int = Field(description="Maximum memory of a decoder process: 422.")
    connections: int = Field(
        description="Beyond this number the connection that was idle longest is closed."
    )
    head_bytes: int = Field(description="Maximum size of a request's headers: 431.")
    query_bytes: int = Field(description="Maximum size of a query: 414.")
    head_s: float = Field(description="Maximum time to send a request's headers.")


def limits_of(settings: Settings) -> Limits:
    return Limits(
        upload_bytes=settings.max_upload_bytes,
        upload_silence_s=settings.upload_timeout_s,
        upload_bytes_per_s=settings.min_upload_bytes_per_s,
        batch_files=settings.max_batch_files,
        windows=settings.max_windows,
        sample_rates=[MIN_SAMPLE_RATE, MAX_SAMPLE_RATE],
        channels=MAX_CHANNELS,
        windows_in_work=settings.max_in_flight,
        windows_at_a_time=WINDOWS_AT_A_TIME,
        held_bytes=settings.max_held_bytes,
        deadline_s=settings.deadline_s,
        open_cpu_s=min(OPEN_CPU_S, settings.decode_timeout_s),
        decode_s=settings.decode_timeout_s,
        decode_bytes=settings.decode_memory_bytes,
        connections=max_connections(settings),
        head_bytes=MAX_HEADER_BYTES,
        query_bytes=MAX_QUERY_BYTES,
        head_s=settings.head_timeout_s,
    )
