"""Settings of a deployment, read once from the environment variables `TASTEPRINT_*`."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    RedisDsn,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import models
from service.api_keys import Digests
from service.api_keys import parse_list as parse_keys
from service.cores import cores
from service.errors import CannotStart

# RFC 6454, section 6.2: no path, no slash at the end, the default port left out or not.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


def parse_origins(value: object) -> object:
    """Parse CORS origins separated by commas; other types are returned unchanged.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, str):
        return value
    origins = tuple(origin.strip().lower() for origin in value.split(",") if origin.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin} is not a valid origin: write scheme, host and port, as https://example.org"
            )
    return origins


MODELS_DIR = Path(models.__file__).parent
PREFIX = "TASTEPRINT_"
MiB = 1 << 20


class Settings(BaseSettings):
    """Settings of a deployment; the defaults need no Redis, no GPU and no configuration."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="`debug` adds a line per computation."
    )
    access_log: bool = Field(default=True, description="Log a line per request.")
    log_format: Literal["text", "json"] = Field(
        default="text", description="`json` logs one JSON object per line."
    )
    otlp_endpoint: AnyHttpUrl | None = Field(
        default=None,
        description="Collector of OpenTelemetry traces (OTLP over HTTP); needs the extra `otel`.",
    )
    shutdown_s: float = Field(
        default=10.0, gt=0, description="Time for running requests to finish at a shutdown."
    )
    max_connections: int = Field(
        default=20_000,
        ge=1,
        description="Maximum number of connections; beyond it the longest idle one is closed.",
    )
    head_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Time limit for a connection to send a request's headers.",
    )
    keep_alive_s: float = Field(
        default=75.0,
        gt=0,
        description="Time that a connection stays open without a request; longer than a load "
        "balancer keeps it, often 60 s.",
    )

    api_keys: Annotated[Digests, NoDecode, BeforeValidator(parse_keys)] = Field(
        default=(),
        repr=False,
        description="API keys, separated by commas; a request without one of them is refused.",
    )
    api_keys_file: Path | None = Field(
        default=None, description="File of further API keys, one per line."
    )
    guard_docs: bool = Field(
        default=False,
        description="Require a key at the pages `/` and `/docs` and at `/openapi.json` too.",
    )
    guard_metrics: bool = Field(default=True, description="Require a key at `/metrics` too.")
    allow_anyone: bool = Field(
        default=False,
        description="Allow listening without API keys where other machines reach the service.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)] = Field(
        default=(),
        description="Origins whose pages may read answers (CORS), separated by commas; `*` allows "
        "all.",
    )

    models_dir: Path = Field(
        default=MODELS_DIR, description="Folder of model bundles, one subfolder per bundle."
    )
    default_model: str = Field(
        default="cf-estimator", description="Default model of `POST /embed`, loaded at the start."
    )
    precision: Literal["auto", "float32", "float16", "int8"] = Field(
        default="auto",
        description="`auto` uses float16 on a GPU, and int8 on a CPU that runs it faster, where "
        "it was measured to agree with float32; a named precision is used by every model that "
        "has it.",
    )
    catalogue: Annotated[Path | None, BeforeValidator(lambda path: path or None)] = Field(
        default=None,
        description="Catalogue of songs that `/similar` searches, by `tasteprint index`; read anew "
        "when it is replaced. By default the one in the default model's folder; `none` for none.",
    )
    catalogue_writable: bool = Field(
        default=False,
        description="Allow `PUT` and `DELETE /catalogue/{track_id}`; TASTEPRINT_CATALOGUE is then "
        "begun where there is no file.",
    )
    require_gpu: bool = Field(default=False, description="Refuse to start without CUDA.")
    infer_threads: int = Field(
        default=0,
        ge=0,
        description="CPU threads of an inference run; 0 measures the fastest split of the cores "
        "at the start.",
    )
    infer_timeout_s: float = Field(
        default=20.0,
        gt=0,
        description="Time limit of a window in a model's queue and in the model.",
    )
    deadline_s: float = Field(
        default=30.0,
        gt=0,
        description="Time limit from an upload's last byte to its answer, and of waiting for the "
        "loading of a model.",
    )
    max_batch: int = Field(
        default=16,
        ge=1,
        description="Maximum batch size on a GPU, in windows; on a CPU it is always 1.",
    )
    max_windows: int = Field(
        default=60, ge=1, description="Maximum number of windows of one file with `window=all`."
    )

    max_upload_bytes: int = Field(default=100 * MiB, ge=1, description="Maximum size of a file.")
    max_batch_files: int = Field(
        default=1000, ge=1, description="Maximum number of files of one `POST /embed/batch`."
    )
    max_held_bytes: int = Field(
        default=1024 * MiB,
        ge=1,
        description="Upload memory budget: maximum bytes of all uploads in memory.",
    )
    upload_timeout_s: float = Field(
        default=30.0, gt=0, description="Time limit for an idle client during an upload."
    )
    min_upload_bytes_per_s: int = Field(
        default=16 << 10, ge=1, description="Minimum rate of an upload after the idle time."
    )
    max_in_flight: int = Field(
        default_factory=lambda: 6 * cores(),
        ge=1,
        description="Maximum number of windows of audio in flight; beyond it the answer is 429.",
    )

    decode_workers: int = Field(default_factory=cores, ge=1, description="Decoder processes.")
    decode_timeout_s: float = Field(
        default=20.0, gt=0, description="Time limit for decoding one file."
    )
    decode_memory_bytes: int = Field(
        default=2048 * MiB, ge=512 * MiB, description="Address space of a decoder process."
    )
    require_sandbox: bool = Field(
        default=False,
        description="Refuse to start where the kernel cannot filter the decoders' system calls.",
    )

    redis_url: RedisDsn | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="URL of the Redis cache, `rediss://` for TLS; without it the cache is in "
        "memory.",
    )
    redis_timeout_ms: int = Field(default=50, ge=1, description="Time limit per call of Redis.")
    redis_pause_s: float = Field(
        default=1.0,
        ge=0.05,
        description="Interval between probes while the circuit breaker is open.",
    )
    cache_entries: int = Field(
        default=10_000,
        ge=0,
        description="Maximum number of answers cached in memory; 0 caches none. An answer counts "
        "once for each 400 numbers begun (15 KB), so with `levels=true` several times. Redis has "
        "its own limit.",
    )
    cache_ttl_s: int = Field(
        default=7 * 24 * 3600, ge=1, description="Time that an answer stays in the cache."
    )

    @field_validator("max_held_bytes")
    @classmethod
    def _fits_one_upload(cls, max_held_bytes: int, info: ValidationInfo) -> int:
        if max_held_bytes < (minimum := info.data.get("max_upload_bytes", 0)):
            raise ValueError(f"should be at least {PREFIX}MAX_UPLOAD_BYTES, which is {minimum}")
        return max_held_bytes


def from_environment() -> Settings:
    """The settings of the environment variables `TASTEPRINT_*`.

    Raises
    ------
    CannotStart
        If a variable with that prefix is not a setting: ignored, it would seem to have an effect.
    pydantic.ValidationError
        If a value is not valid for its setting.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    given = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    unknown = [name for name in given if name.upper() not in known]
    if unknown:
        near = {match: None for name in unknown for match in _nearest(name.upper(), known)}
        raise CannotStart(
            f"no such setting: {', '.join(unknown)}",
            value=", ".join(unknown),
            remedy=f"did you mean {', '.join(near)}?"
            if near
            else "docs/settings.md lists every setting",
        )
    return Settings()


def _nearest(name: str, known: list[str]) -> list[str]:
    # Without the prefix, which makes all names similar.
    bare = [setting.removeprefix(PREFIX) for setting in known]
    matches = difflib.get_close_matches(name.removeprefix(PREFIX), bare)
    return [PREFIX + match for match in matches]
