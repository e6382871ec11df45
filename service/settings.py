"""Every fact of a deployment, read once from `TASTEPRINT_*` and passed down."""

from __future__ import annotations

import difflib
import os
import re
import sys
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
from service.errors import CannotStart

# RFC 6454, section 6.2: no path, no slash at the end, the default port left out or not.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


def parse_origins(value: object) -> object:
    """Origins between commas, as a browser states them; what is no string is left as it is.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, str):
        return value
    origins = tuple(each.strip().lower() for each in value.split(",") if each.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin} is no origin: write scheme, host and port alone, as https://example.org"
            )
    return origins


MODELS_DIR = Path(models.__file__).parent
PREFIX = "TASTEPRINT_"
MiB = 1 << 20


def cores() -> int:
    """Cores that this process may use: fewer than the machine's where it is confined."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class Settings(BaseSettings):
    """The defaults need nothing: no Redis, no GPU, no configuration."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="`debug` adds a line for each computation."
    )
    access_log: bool = Field(default=True, description="Log a line for each request.")
    log_format: Literal["text", "json"] = Field(
        default="text", description="`json` logs one object a line."
    )
    otlp_endpoint: AnyHttpUrl | None = Field(
        default=None,
        description="Collector of OpenTelemetry traces (OTLP over HTTP); needs the extra `otel`.",
    )
    shutdown_s: float = Field(
        default=10.0, gt=0, description="What running requests get to finish in."
    )
    max_connections: int = Field(
        default=20_000,
        ge=1,
        description="Most connections; beyond it the one that has been idle longest is closed.",
    )
    head_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Longest that a connection may take to send a request's head.",
    )

    api_keys: Annotated[Digests, NoDecode, BeforeValidator(parse_keys)] = Field(
        default=(),
        repr=False,
        description="Keys, separated by commas: who has none of them is refused.",
    )
    api_keys_file: Path | None = Field(
        default=None, description="File of such keys, one a line; they count beside the others."
    )
    guard_docs: bool = Field(
        default=False, description="Ask for a key also at `/`, `/docs` and `/openapi.json`."
    )
    guard_metrics: bool = Field(default=True, description="Ask for a key also at `/metrics`.")
    allow_anyone: bool = Field(
        default=False, description="Listen also where other machines reach it, without any keys."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)] = Field(
        default=(),
        description="Origins whose pages may read answers, separated by commas; `*` is every one.",
    )

    models_dir: Path = Field(
        default=MODELS_DIR, description="Folder of bundles, one folder a bundle."
    )
    default_model: str = Field(
        default="cf-estimator", description="Model of a POST /embed that names none."
    )
    precision: Literal["auto", "float32", "float16", "int8"] = Field(
        default="auto",
        description="`auto` takes float16 on a GPU and int8 on a CPU that runs it faster, where it "
        "was measured to agree with float32; a name is taken wherever a model has it.",
    )
    require_gpu: bool = Field(default=False, description="Refuse to start where CUDA is not used.")
    infer_threads: int = Field(
        default=0,
        ge=0,
        description="CPU threads of a run; 0 measures at the start how the cores are best split.",
    )
    infer_timeout_s: float = Field(
        default=20.0, gt=0, description="Longest a window may wait for its model and its answer."
    )
    deadline_s: float = Field(
        default=30.0, gt=0, description="Longest from an upload's last byte to its answer."
    )
    max_batch: int = Field(
        default=16, ge=1, description="Most windows in one run on a GPU; on a CPU it is always one."
    )
    max_windows: int = Field(
        default=60, ge=1, description="Most windows of one file with `window=all`."
    )

    max_upload_bytes: int = Field(
        default=100 * MiB, ge=1, description="Largest file that is taken."
    )
    max_batch_files: int = Field(
        default=1000, ge=1, description="Most files of one POST /embed/batch."
    )
    max_held_bytes: int = Field(
        default=1024 * MiB, ge=1, description="Most bytes of uploads held in memory at a time."
    )
    upload_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest silence of a client that is uploading."
    )
    min_upload_bytes_per_s: int = Field(
        default=16 << 10, ge=1, description="Least pace of an upload after that time."
    )
    max_in_flight: int = Field(
        default_factory=lambda: 6 * cores(),
        ge=1,
        description="Most windows of audio in work at a time; beyond it the answer is 429.",
    )

    decode_workers: int = Field(default_factory=cores, ge=1, description="Decoder processes.")
    decode_timeout_s: float = Field(default=20.0, gt=0, description="Longest decoding of one file.")
    decode_memory_bytes: int = Field(
        default=2048 * MiB, ge=512 * MiB, description="Address space of a decoder process."
    )
    require_sandbox: bool = Field(
        default=False,
        description="Refuse to start where the kernel filters no system calls of decoders.",
    )

    redis_url: RedisDsn | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="Cache in this Redis, `rediss://` by TLS; without it, in the process.",
    )
    redis_timeout_ms: int = Field(
        default=50, ge=1, description="Longest wait for Redis, each time."
    )
    redis_pause_s: float = Field(
        default=1.0, ge=0.05, description="How long Redis is left alone after it failed."
    )
    cache_entries: int = Field(
        default=10_000,
        ge=0,
        description="Answers kept in the process; 0 keeps none. Redis has its own limit.",
    )
    cache_ttl_s: int = Field(default=7 * 24 * 3600, ge=1, description="How long an answer is kept.")

    @field_validator("max_held_bytes")
    @classmethod
    def _holds_one_upload(cls, max_held_bytes: int, info: ValidationInfo) -> int:
        if max_held_bytes < (least := info.data.get("max_upload_bytes", 0)):
            raise ValueError(f"should be at least {PREFIX}MAX_UPLOAD_BYTES, which is {least}")
        return max_held_bytes


def from_environment() -> Settings:
    """The settings that `TASTEPRINT_*` gives, none of them misspelt.

    Raises
    ------
    CannotStart
        Where a variable of that prefix is no setting: ignored, it would seem to hold.
    pydantic.ValidationError
        Where a value is not one that its setting takes.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    given = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    unknown = [name for name in given if name.upper() not in known]
    if unknown:
        near = {each: None for name in unknown for each in _nearest(name.upper(), known)}
        raise CannotStart(
            f"no such setting: {', '.join(unknown)}",
            value=", ".join(unknown),
            remedy=f"there is {', '.join(near)}" if near else "the README lists every setting",
        )
    return Settings()


def _nearest(name: str, known: list[str]) -> list[str]:
    # Without the prefix, which makes all of them look alike.
    bare = [each.removeprefix(PREFIX) for each in known]
    return [PREFIX + each for each in difflib.get_close_matches(name.removeprefix(PREFIX), bare)]
