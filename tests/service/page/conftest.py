"""A Chromium, and a service with the shipped models and a small catalogue."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.bundle import read
from models.catalogue import Catalogue, save
from service.catalogue.store import source_of
from service.settings import MODELS_DIR
from tests.browser import Browser, Tab, chromium
from tests.bundles import small_models
from tests.running import ROOT, Service, running, wait_until
from tests.sounds import golden, write

N_SONGS = 40
CHORDS = ROOT / "examples" / "chords.mp3"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium: sudo apt-get install chromium")
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab whose page, when the test ends, has complained of nothing."""
    with browser.tab() as tab:
        yield tab
        assert tab.complaints() == []


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of 80 seconds: its window can be moved."""
    folder = tmp_path_factory.mktemp("song")
    return write(folder / 'a song\'s "name" & more.mp3', golden(80.0, seed=7))


def write_catalogue(path: Path) -> None:
    """A catalogue of seeded vectors in the space of `cf-estimator`."""
    random = np.random.default_rng(0)
    bundle = read(MODELS_DIR / "cf-estimator")
    vectors = random.standard_normal((N_SONGS, 40)).astype(np.float32)
    ids = [f"track {index}" for index in range(N_SONGS)]
    texts: dict[str, list[str | None]] = {
        "title": [f"Song {index}" for index in range(N_SONGS)],
        "artist": [f"Artist {index % 7}" for index in range(N_SONGS)],
        "sha256": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
    }
    save(Catalogue.build(source_of(bundle), ids, vectors, texts), path)


@pytest.fixture(scope="session")
def full_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The shipped models and a catalogue; files up to 20 MB."""
    folder = tmp_path_factory.mktemp("full")
    write_catalogue(folder / "catalogue.parquet")
    settings = {"catalogue": folder / "catalogue.parquet", "max_upload_bytes": 20 << 20}
    with running(folder / "log", decode_workers=2, **settings) as service:
        yield service


def analyse(tab: Tab, service: Service, path: Path) -> None:
    """Open the page, choose a file, and wait for everything that is asked of it."""
    tab.open(service.url + "/")
    tab.choose_file("#file", path)
    wait_for_answer(tab)


def wait_for_answer(tab: Tab) -> None:
    tab.wait_for(
        "document.getElementById('results').getAttribute('aria-busy') === null"
        " && document.getElementById('status').textContent.startsWith('Analysed')"
    )


@contextmanager
def crowded(folder: Path) -> Iterator[tuple[Service, int]]:
    """A service that is full: the one window that it takes at a time waits for a stopped decoder.

    Yields the service and the decoder's process id, by which SIGCONT makes room.
    """
    patient = dict.fromkeys(("decode_timeout_s", "deadline_s", "shutdown_s"), 3600)
    settings = {**small_models(folder), **patient, "max_in_flight": 1}
    first = write(folder / "first.wav", golden(2.0, 16_000, 1, seed=60), 16_000)
    with running(folder / "log", **settings) as service, ThreadPoolExecutor(1) as client:
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)
        files = {"file": ("first.wav", first.read_bytes())}
        answer = client.submit(httpx.post, service.url + "/embed", files=files, timeout=None)
        try:
            wait_until(lambda: service.metric("tasteprint_windows_in_work 1.0"), "it is full")
            yield service, decoder
        finally:
            with suppress(ProcessLookupError):  # of a service that ended meanwhile
                os.kill(decoder, signal.SIGCONT)
            assert answer.result().status_code == 200
