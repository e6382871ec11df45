"""Pictures of the page: an upload, an error and a full service.

All on a desktop and on a phone, light and dark. `--pictures docs/figures` (`make page-pictures`)
writes those of the docs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser, Tab
from tests.running import Service
from tests.service.page.conftest import CHORDS, analyse, crowded
from tests.sounds import golden, write


def upload(tab: Tab, service: Service, song: Path) -> None:
    """Look at the answers to a song."""
    analyse(tab, service, song)
    tab.wait_for("document.getElementById('waveform').classList.contains('decoded')")


def error(tab: Tab, service: Service, song: Path) -> None:
    """Look at the refusal of a file that is no audio."""
    words = song.with_name("words.mp3")
    words.write_text("These are words.\n" * 100)
    tab.open(service.url + "/")
    tab.choose_file("#file", words)
    tab.wait_for("!document.getElementById('problem').hidden")


def full(tab: Tab, service: Service, song: Path) -> None:
    """Look at the refusal of a service that takes nothing more at present."""
    tab.open(service.url + "/")
    tab.choose_file("#file", CHORDS)
    tab.wait_for("document.querySelector('#problem button')")
    assert "Too busy" in tab.text("#problem")


def reference(tab: Tab, service: Service, song: Path) -> None:
    tab.open(service.url + "/docs")
    tab.wait_for("document.querySelectorAll('.opblock').length > 10")


DESKTOP_PX, PHONE_PX = 1280, 390
Look = Callable[[Tab, Service, Path], None]
LOOKS: tuple[Look, ...] = (upload, error, full)
# Name → what is looked at, width in px, dark mode.
PICTURES: dict[str, tuple[Look, int, bool]] = {
    f"page-{look.__name__}-{width}{'-dark' if dark else ''}": (look, width, dark)
    for look in LOOKS
    for width in (DESKTOP_PX, PHONE_PX)
    for dark in (False, True)
} | {"page-swagger-ui": (reference, DESKTOP_PX, False)}
# Picture → its name in the docs and the height in px of the part that they show.
IN_DOCS = {
    "page-upload-1280": ("page-desktop", 1560),
    "page-upload-390-dark": ("page-phone-dark", 1560),
    "page-error-1280": ("page-error", 690),
    "page-full-1280": ("page-full", 760),
}
COLOURS = 128


@pytest.fixture(scope="module")
def plain_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song with a plain name, and with louder and softer parts."""
    sound = golden(80.0, seed=7)
    loudness = 1 + 0.8 * np.sin(np.linspace(0, 25, len(sound)))
    sound *= loudness[:, None].astype(np.float32)
    return write(tmp_path_factory.mktemp("pictures") / "song.mp3", sound)


@pytest.fixture(scope="module")
def crowded_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with crowded(tmp_path_factory.mktemp("crowded")) as (service, _):
        yield service


@pytest.mark.parametrize("name", PICTURES)
def test_the_page_looks_as_it_should(
    browser: Browser,
    full_service: Service,
    crowded_service: Service,
    plain_song: Path,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    name: str,
) -> None:
    look, width, dark = PICTURES[name]
    with browser.tab(width=width, dark=dark, mobile=width < 500) as tab:
        look(tab, crowded_service if look is full else full_service, plain_song)
        tab.wait_for("document.getAnimations().length === 0")
        path = tmp_path / f"{name}.png"
        tab.screenshot(path, whole=look is not reference)  # which is 12,000 px high
        assert tab.complaints() == []
    picture = Image.open(path).convert("RGB")
    pixels = np.asarray(picture)  # (height, width, 3)
    assert pixels.shape[1] == width
    assert (np.median(pixels) < 80) == dark
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    folder = pytestconfig.getoption("--pictures")
    if folder and name in IN_DOCS:
        title, height = IN_DOCS[name]
        shown = picture.crop((0, 0, width, min(height, picture.height)))
        shown.quantize(COLOURS).save(Path(folder, f"{title}.png"), optimize=True)
