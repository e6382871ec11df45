"""Settings of the recommender, from the environment variables `RECOMMENDER_*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).parents[2]


class Settings(BaseSettings):
    """The defaults run beside `make serve`, with the factorisation of the shipped encoder."""

    model_config = SettingsConfigDict(env_prefix="RECOMMENDER_", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8001, ge=0, le=65535, description="Port to listen on.")
    service_url: str = Field(
        default="http://127.0.0.1:8000", description="URL of the Tasteprint service."
    )
    api_key: str = Field(
        default="", repr=False, description="API key, if the service asks for one."
    )
    factors: Path = Field(
        default=ROOT / "models/cf-estimator/factors",
        description="Folder of `tasteprint-train factorize`, of the space of the encoder.",
    )
    database: Path = Field(
        default=Path("recommender.sqlite"), description="SQLite file of songs and plays."
    )
    max_upload_bytes: int = Field(default=100 << 20, ge=1, description="Maximum size of a file.")
    embed_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="Time limit for the service to embed a song, retries included.",
    )
