"""A small service for tests: JSON logs, one decoder, and an unreachable Redis."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.bundles import write_bundle
from tests.running import Service, running, wait_until
from tests.service.scrapes import scrape
from tests.sounds import golden, write

NOWHERE = "redis://127.0.0.1:1/0"  # a port that nothing listens on


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It has met a bit of everything: answers, refusals, and a decoder killed at its work."""
    folder = tmp_path_factory.mktemp("watched")
    write_bundle(folder / "models", "levels")
    settings = {"models_dir": folder / "models", "default_model": "levels", "decode_workers": 1}
    seen = {"log_format": "json", "redis_url": NOWHERE}
    with running(folder / "log", **settings, **seen) as service:
        clip = write(folder / "first.wav", golden(2.0, 8_000, 1, seed=90), 8_000)
        service.embedding(clip)
        service.embed(b"These are words.\n" * 100)
        os.kill(service.decoders()[0], signal.SIGKILL)
        # The first may still be given to the one that is gone.
        wait_until(lambda: service.embed(clip).status_code == 200, "another decoder works")
        assert scrape(service).value("tasteprint_decoder_deaths_total", cause="lost") == 1
        yield service
