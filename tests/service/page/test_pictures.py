"""Pictures of the page: desktop and phone, light and dark, an upload, an error, Swagger UI.

`--pictures docs/figures` (`make page-pictures`) writes those of the docs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser, Tab
from tests.running import Service
from tests.service.page.conftest import analyse
from tests.sounds import golden, write

Look = Callable[[Tab, Service, Path], None]


def upload(tab: Tab, service: Service, song: Path) -> None:
    analyse(tab, service, song)
    tab.wait_for("document.getElementById('waveform').classList.contains('decoded')")


def error(tab: Tab, service: Service, song: Path) -> None:
    words = song.with_name("words.mp3")
    words.write_text("These are words.\n" * 100)
    tab.open(service.url + "/")
    tab.choose_file("#file", words)
    tab.wait_for("!document.getElementById('problem').hidden")


def reference(tab: Tab, service: Service, song: Path) -> None:
    tab.open(service.url + "/docs")
    tab.wait_for("document.querySelectorAll('.opblock').length > 10")


# Name → what is looked at, width in px, dark mode.
PICTURES: dict[str, tuple[Look, int, bool]] = {
    "page-desktop": (upload, 1000, False),
    "page-desktop-dark": (upload, 1000, True),
    "page-phone": (upload, 390, False),
    "page-phone-dark": (upload, 390, True),
    "page-error": (error, 1000, False),
    "page-error-phone": (error, 390, True),
    "page-swagger-ui": (reference, 1000, False),
}
# Height in px of the part that the docs show; the other pictures show the same in other colours.
IN_DOCS = {"page-desktop": 1420, "page-phone-dark": 1420, "page-error": 650}
COLOURS = 128


@pytest.fixture(scope="module")
def plain_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song with a plain name, and with louder and softer parts."""
    sound = golden(80.0, seed=7)
    loudness = 1 + 0.8 * np.sin(np.linspace(0, 25, len(sound)))
    sound *= loudness[:, None].astype(np.float32)
    return write(tmp_path_factory.mktemp("pictures") / "song.mp3", sound)


@pytest.mark.parametrize("name", PICTURES)
def test_the_page_looks_as_it_should(
    browser: Browser,
    full_service: Service,
    plain_song: Path,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    name: str,
) -> None:
    look, width, dark = PICTURES[name]
    with browser.tab(width=width, dark=dark, mobile=width < 500) as tab:
        look(tab, full_service, plain_song)
        tab.wait_for("document.getAnimations().length === 0")
        path = tmp_path / f"{name}.png"
        tab.screenshot(path)
        assert tab.complaints() == []
    picture = Image.open(path).convert("RGB")
    pixels = np.asarray(picture)  # (height, width, 3)
    assert pixels.shape[1] == width
    assert (np.median(pixels) < 80) == dark
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    folder = pytestconfig.getoption("--pictures")
    if folder and name in IN_DOCS:
        shown = picture.crop((0, 0, width, min(IN_DOCS[name], picture.height)))
        shown.quantize(COLOURS).save(Path(folder, path.name), optimize=True)
