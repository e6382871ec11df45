"""The page shows what the service answers to a real upload in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, Tab
from tests.bundles import small_models
from tests.running import Service, running
from tests.service.page.conftest import CHORDS, analyse, wait_for_answer
from tests.sounds import golden, write


def rows(tab: Tab, section: str) -> dict[str, str]:
    """Name and number of each row with a bar, of the section with that heading."""
    script = f"""Object.fromEntries([...document.querySelectorAll('section')]
        .find(section => section.querySelector('h2')?.textContent === {json.dumps(section)})
        .querySelectorAll('tbody tr').values()
        .map(row => [row.querySelector('th').textContent, row.querySelector('.number').textContent])
    )"""
    found: dict[str, str] = tab.evaluate(script)
    return found


def test_every_answer_of_an_analysis_is_shown(tab: Tab, full_service: Service) -> None:
    analyse(tab, full_service, CHORDS)
    models = full_service.answer("/analyze", CHORDS)["models"]
    for name in ("tags", "genre", "mood", "sounds"):
        shown = rows(tab, name.capitalize())
        for label in models[name]["labels"]:
            expected = f"{100 * label['probability']:.1f} %"
            assert shown[label["label"].replace("_", " ")] == expected, label
    shown = rows(tab, "Emotion")
    for name, value in models["emotion"]["values"].items():
        assert float(shown[name.replace("_", " ")].replace("−", "-")) == pytest.approx(
            value, abs=5e-4
        )
    assert list(rows(tab, "Tags")) == [
        label["label"].replace("_", " ") for label in models["tags"]["labels"]
    ]
    assert "mp3 · 0:12 · 44100 Hz · 2 channels" in tab.text("#file-facts")


def test_the_embedding_is_that_of_the_encoder(tab: Tab, full_service: Service) -> None:
    analyse(tab, full_service, CHORDS)
    tab.click("#copy-embedding")
    tab.wait_for("document.getElementById('copy-embedding').textContent === 'Copied'")
    copied = json.loads(tab.copied())
    assert copied == full_service.embedding(CHORDS)["embedding"]
    assert "40 dimensions by cf-estimator" in tab.text("#embedding-text")


def test_the_nearest_songs_are_those_of_the_catalogue(tab: Tab, full_service: Service) -> None:
    analyse(tab, full_service, CHORDS)
    hits = full_service.answer("/similar", CHORDS)["hits"]
    script = "[...document.querySelectorAll('#hits tbody tr')].map(row => row.textContent)"
    shown: list[str] = tab.evaluate(script)
    assert len(hits) == len(shown) == 10
    for hit, line in zip(hits, shown, strict=True):
        assert f"{hit['artist']} – {hit['title']}" in line
        assert f"{hit['cosine']:.3f}" in line


def test_what_a_service_lacks_is_not_shown(tab: Tab, tmp_path: Path) -> None:
    """No catalogue, and a model without a spectrogram: the rest is shown, and no problem."""
    with running(tmp_path / "log", catalogue="none", **small_models(tmp_path)) as service:
        analyse(tab, service, CHORDS)
        assert tab.is_shown("#vector")
        assert not any(map(tab.is_shown, ("#neighbours", "#seen", "#problem")))
        asked = sum("/similar" in url for url in tab.requested())
        assert asked == 1
        tab.choose_file("#file", CHORDS)
        tab.wait_for("document.getElementById('cache').textContent.startsWith('From the cache')")
        wait_for_answer(tab)
        assert sum("/similar" in url for url in tab.requested()) == asked  # once is enough


def test_it_says_what_the_cache_said(tab: Tab, full_service: Service, tmp_path: Path) -> None:
    unseen = write(tmp_path / "unseen.wav", golden(4.0, 16_000, 1, seed=4711), 16_000)
    analyse(tab, full_service, unseen)
    assert "Computed for this request: " in tab.text("#cache")
    assert "From the cache" not in tab.text("#cache")
    stages = rows(tab, "Where the time went")
    assert {"upload", "decode", "run the networks"} <= set(stages)
    tab.choose_file("#file", unseen)
    tab.wait_for("document.getElementById('cache').textContent.startsWith('From the cache')")
    assert "Computed for this request" not in tab.text("#cache")
    assert "decode" not in rows(tab, "Where the time went")


def test_the_window_is_asked_for_again_where_it_is_dragged_to(
    tab: Tab, full_service: Service, song: Path
) -> None:
    analyse(tab, full_service, song)
    assert tab.text("#window-text") == "0:25 – 0:55"  # the middle of 80 s
    before = rows(tab, "Genre")
    tab.drag("#waveform", 0.5, 0.25)
    tab.wait_for("document.getElementById('window-text').textContent.startsWith('0:05')")
    tab.wait_for("document.getElementById('curl').textContent.includes('window=5')")
    wait_for_answer(tab)
    starts = float(tab.evaluate("document.getElementById('offset').value"))
    assert starts == pytest.approx(5.0, abs=0.2)
    answer = full_service.answer("/classify/genre", song, window=str(starts))
    expected = {label["label"]: f"{100 * label['probability']:.1f} %" for label in answer["labels"]}
    assert rows(tab, "Genre") == expected != before


def test_the_whole_song_is_several_windows(tab: Tab, full_service: Service, song: Path) -> None:
    analyse(tab, full_service, song)
    tab.evaluate("document.getElementById('window-choice').value = 'all'")
    tab.evaluate("document.getElementById('window-choice').dispatchEvent(new Event('change'))")
    tab.wait_for("document.getElementById('window-text').textContent.endsWith('windows')")
    wait_for_answer(tab)
    starts = full_service.answer("/analyze", song, window="all")["window"]["starts"]
    assert tab.text("#window-text") == f"{len(starts)} windows"


def test_short_audio_has_no_window_to_move(tab: Tab, full_service: Service) -> None:
    analyse(tab, full_service, CHORDS)
    assert tab.evaluate("document.getElementById('offset').disabled")
    assert tab.text("#window-hint") == "The window holds the whole of this audio."


def drawn(tab: Tab, canvas: str) -> int:
    """Number of different colours of a canvas."""
    script = f"""(() => {{ const canvas = document.getElementById({json.dumps(canvas)});
        const {{ data }} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size; }})()"""
    n_colours: int = tab.evaluate(script)
    return n_colours


def test_waveform_and_embedding_are_drawn(tab: Tab, full_service: Service, song: Path) -> None:
    analyse(tab, full_service, song)
    assert drawn(tab, "waveform") >= 4  # ground, window, patches, wave
    assert drawn(tab, "embedding") >= 3
    label = tab.evaluate("document.getElementById('waveform').getAttribute('aria-label')")
    assert label == "Waveform of 1:20; analysed: 0:25 to 0:55"


def run_shown(tab: Tab, kind: str, song: Path) -> str:
    """What the shown command prints, run in the folder of the song."""
    shown = tab.evaluate(f"document.getElementById({json.dumps(kind)}).textContent")
    command = ["sh", "-c", shown] if kind == "curl" else [sys.executable, "-c", shown]
    done = subprocess.run(command, cwd=song.parent, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_curl_line_gets_the_same_answer(tab: Tab, full_service: Service, song: Path) -> None:
    analyse(tab, full_service, song)
    answer: dict[str, Any] = json.loads(run_shown(tab, "curl", song))
    expected = full_service.answer("/analyze", song)
    assert answer["models"]["genre"]["labels"] == expected["models"]["genre"]["labels"]
    assert answer["audio"] == expected["audio"]


def test_the_python_lines_get_the_same_answer(tab: Tab, full_service: Service, song: Path) -> None:
    analyse(tab, full_service, song)
    printed = run_shown(tab, "python", song)
    expected = full_service.answer("/analyze", song)["models"]
    assert f"genre {expected['genre']['labels']}" in printed
    assert len(printed.splitlines()) == len(expected)


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff", "ogg", "opus", "m4a", "webm"])
def test_every_format_is_analysed(
    tab: Tab, full_service: Service, clips: dict[str, Path], kind: str
) -> None:
    """Also one that the browser cannot decode: AIFF."""
    analyse(tab, full_service, clips[kind])
    assert rows(tab, "Genre")
    is_drawn = "cannot decode" not in tab.text("#window-hint")
    assert is_drawn == (kind != "aiff")


def test_nothing_is_loaded_from_elsewhere(browser: Browser, full_service: Service) -> None:
    with browser.tab() as tab:
        analyse(tab, full_service, CHORDS)
        own = ("blob:", "data:", full_service.url)  # data: the icons of the browser's player
        urls = tab.requested()
        assert [url for url in urls if not url.startswith(own)] == []
        assert len([url for url in urls if "/web/" in url]) > 5
        assert tab.complaints() == []


def test_it_works_below_a_path_of_a_proxy(tab: Tab, full_service: Service) -> None:
    page = full_service.http.get("/").text
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert addresses
    assert not [address for address in addresses if address.startswith("/")]


def test_names_of_files_are_text(tab: Tab, full_service: Service, tmp_path: Path) -> None:
    named = tmp_path / "<img src=x onerror=alert(1)>.wav"
    write(tmp_path / "plain.wav", golden(3.0, 16_000, 1), 16_000).rename(named)
    analyse(tab, full_service, named)
    assert "<img src=x" in tab.text("#file-facts")
    assert tab.evaluate("document.querySelectorAll('main img').length") == 0


def test_behind_keys_the_page_asks_for_one(tab: Tab, tmp_path: Path) -> None:
    """What the page shows and the service logs does not contain it."""
    key = "k" * 24
    with running(tmp_path / "log", api_keys=key, **small_models(tmp_path)) as service:
        tab.open(service.url + "/")
        tab.wait_for("!document.getElementById('key-form').hidden")
        tab.choose_file("#file", CHORDS)
        tab.wait_for("!document.getElementById('problem').hidden")
        assert "API key needed" in tab.text("#problem")
        tab.click("#key")
        tab.write(key)
        tab.press("Enter")
        wait_for_answer(tab)
        assert not tab.is_shown("#problem")
        assert "X-API-Key: <key>" in tab.text("#curl")
        assert key not in tab.evaluate("document.body.textContent")
        assert key not in service.log()
