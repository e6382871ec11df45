"""The page by keyboard, by screen reader, in dark mode, and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import Browser, Tab
from tests.running import Service
from tests.service.page.conftest import CHORDS, analyse

PHONE_PX, DESKTOP_PX = 390, 1100
# Of WCAG 2.2, success criterion 1.4.3, for text of usual size.
MIN_CONTRAST = 4.5


def test_everything_is_reached_by_tab(tab: Tab, full_service: Service, song: Path) -> None:
    analyse(tab, full_service, song)
    tab.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        tab.press("Tab")
        reached.append(tab.focused())
    expected = ["file", "record", "window-choice", "offset", "copy-embedding", "copy-curl"]
    order = [name for name in reached if name in expected]
    assert order[: len(expected)] == expected


def test_the_file_picker_opens_by_a_key(tab: Tab, full_service: Service) -> None:
    tab.open(full_service.url + "/")
    tab.send("Page.setInterceptFileChooserDialog", enabled=True)
    tab.evaluate("document.getElementById('file').focus()")
    tab.press("Enter")
    tab.evaluate("0")
    assert tab.events("Page.fileChooserOpened")


def test_a_screen_reader_is_told_what_the_pictures_show(
    tab: Tab, full_service: Service, song: Path
) -> None:
    analyse(tab, full_service, song)
    told = tab.accessible()
    pictures = [name for role, name in told if role in ("image", "img", "graphics-document")]
    assert any(name.startswith("Waveform of 1:20") for name in pictures)
    assert any(name.startswith("Mel spectrogram. The input of musicnn-msd") for name in pictures)
    assert any(name.startswith("Embedding as bars") for name in pictures)
    headings = [name for role, name in told if role == "heading"]
    assert headings[0] == "Tasteprint"
    assert {"Audio", "What was heard", "Genre", "Where the time went"} <= set(headings)


def test_every_control_has_a_name(tab: Tab, full_service: Service, song: Path) -> None:
    analyse(tab, full_service, song)
    controls = ("button", "slider", "combobox", "textbox", "link")
    unnamed = [role for role, name in tab.accessible() if role in controls and not name.strip()]
    assert not unnamed


def test_progress_and_problems_are_announced(tab: Tab, full_service: Service) -> None:
    tab.open(full_service.url + "/")
    roles = "['status', 'problem'].map(id => document.getElementById(id).getAttribute('role'))"
    assert tab.evaluate(roles) == ["status", "alert"]


@pytest.mark.parametrize("width", [PHONE_PX, DESKTOP_PX])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, full_service: Service, song: Path, width: int
) -> None:
    with browser.tab(width=width, mobile=width == PHONE_PX) as tab:
        analyse(tab, full_service, song)
        assert tab.evaluate("innerWidth") == width
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.complaints() == []


def test_what_a_finger_touches_is_large_enough(browser: Browser, full_service: Service) -> None:
    """44 px high, as WCAG 2.2, success criterion 2.5.5 asks."""
    with browser.tab(width=PHONE_PX, mobile=True) as tab:
        analyse(tab, full_service, CHORDS)
        heights: list[float] = tab.evaluate(
            "[...document.querySelectorAll('button, .button, select, input[type=range]')]"
            ".filter(control => control.checkVisibility())"
            ".map(control => control.getBoundingClientRect().height)"
        )
        assert len(heights) >= 7
        assert min(heights) >= 44


LUMINANCE = """(() => {
    const luminance = ([red, green, blue]) => [[red, 0.2126], [green, 0.7152], [blue, 0.0722]]
        .map(([value, weight]) => [value / 255, weight])
        .reduce((sum, [value, weight]) => sum + weight
            * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4), 0);
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const ground = node => {
        for (; node; node = node.parentElement) {
            const colour = numbers(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.9) return colour;
        }
        return [255, 255, 255];
    };
    const texts = 'p, h1, h2, h3, a, th, td, caption, button, .button, summary, code, dt, dd';
    return [...document.querySelectorAll(texts)]
        .filter(node => node.checkVisibility() && node.textContent.trim() && !node.disabled)
        .map(node => {
            const [low, high] = [luminance(numbers(getComputedStyle(node).color)),
                luminance(ground(node))].sort((a, b) => a - b);
            return [(high + 0.05) / (low + 0.05), node.textContent.slice(0, 40)];
        });
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_in_light_and_dark(
    browser: Browser, full_service: Service, dark: bool
) -> None:
    with browser.tab(dark=dark) as tab:
        analyse(tab, full_service, CHORDS)
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(18, 23, 21)") == dark
        contrasts: list[tuple[float, str]] = tab.evaluate(LUMINANCE)
        assert len(contrasts) > 50
        assert not [found for found in contrasts if found[0] < MIN_CONTRAST]


def test_canvases_take_the_colours_of_dark_mode(browser: Browser, full_service: Service) -> None:
    with browser.tab() as tab:
        analyse(tab, full_service, CHORDS)
        script = "document.getElementById('embedding').toDataURL()"
        light = tab.evaluate(script)
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        tab.send("Emulation.setEmulatedMedia", features=[dark])
        tab.wait_for(f"{script} !== {light!r}")
