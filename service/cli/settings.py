"""Settings of the pipeline on this machine: those of the service, without its cache and limits."""

from __future__ import annotations

from typing import Any

from service.settings import Settings, from_environment


def local_settings(model: str | None, precision: str, workers: int) -> Settings:
    """The service's settings (`TASTEPRINT_*`), with what a run of many files needs otherwise.

    Parameters
    ----------
    model : an encoder; None: the default one
    workers : decoder processes; 0: as set, by default one for each core
    """
    settings = from_environment()
    workers = workers or settings.decode_workers
    changes: dict[str, Any] = {
        "precision": precision,
        "decode_workers": workers,
        "cache_entries": 0,  # each file is heard once
        "redis_url": None,
        "max_in_flight": max(settings.max_in_flight, 4 * workers),
    }
    return settings.model_copy(update=changes | ({"default_model": model} if model else {}))
