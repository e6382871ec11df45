"""Audio comes in by the file picker, by drag and drop, and by the microphone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.browser import Tab
from tests.running import Service, wait_until
from tests.service.page.conftest import CHORDS, analyse, wait_for_answer


def test_a_dropped_file_is_analysed(tab: Tab, full_service: Service) -> None:
    tab.open(full_service.url + "/")
    tab.drop_files(CHORDS)
    wait_for_answer(tab)
    digest = hashlib.sha256(CHORDS.read_bytes()).hexdigest()
    assert "chords.mp3 · mp3 · 0:12" in tab.text("#file-facts")
    assert digest[:12] in tab.text("#file-facts")


def test_of_several_dropped_files_none_is_taken(
    tab: Tab, full_service: Service, short_clip: Path
) -> None:
    tab.open(full_service.url + "/")
    tab.drop_files(CHORDS, short_clip)
    tab.wait_for("!document.getElementById('problem').hidden")
    assert "2 files were dropped" in tab.text("#problem")
    assert "/embed/batch" in tab.text("#problem")
    assert not [url for url in tab.requested() if "/analyze" in url]


def test_a_recording_is_analysed(tab: Tab, full_service: Service) -> None:
    """The fake microphone beeps."""
    tab.open(full_service.url + "/")
    tab.click("#record")
    tab.wait_for("document.getElementById('record').getAttribute('aria-pressed') === 'true'")
    assert tab.text("#record") == "Stop and analyse"
    tab.evaluate("new Promise(resolve => setTimeout(resolve, 2500))")  # of sound
    tab.click("#record")
    wait_for_answer(tab)
    facts = tab.text("#file-facts")
    assert facts.startswith("recording.webm · opus · 0:0"), facts
    assert tab.text("#record") == "Record"
    assert tab.is_shown("#tasks .card")
    assert tab.is_shown("#save-hint")  # since the commands below name a file


def test_while_it_records_the_time_and_the_level_are_shown(tab: Tab, full_service: Service) -> None:
    tab.open(full_service.url + "/")
    assert not tab.is_shown("#level")
    tab.click("#record")
    tab.wait_for("document.getElementById('recorded').textContent === '0:01'")
    tab.wait_for("parseFloat(document.getElementById('level-bar').style.width) > 10")  # a beep
    tab.click("#record")
    wait_for_answer(tab)
    assert not tab.is_shown("#level")


def test_the_example_is_analysed_and_can_be_saved(
    tab: Tab, full_service: Service, tmp_path: Path
) -> None:
    tab.open(full_service.url + "/")
    tab.click("#example")
    wait_for_answer(tab)
    assert tab.text("#file-facts").startswith("example.wav · pcm_16 · 0:40 · 22050 Hz · mono")
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    tab.browser.send("Browser.setDownloadBehavior", browserContextId=tab.context, **behaviour)
    tab.click("#save")
    saved = tmp_path / "example.wav"
    wait_until(saved.exists, "the example is saved")
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert digest[:12] in tab.text("#file-facts")
    tab.choose_file("#file", CHORDS)
    tab.wait_for("document.getElementById('file-facts').textContent.startsWith('chords')")
    assert not tab.is_shown("#save-hint")


def test_where_the_browser_gives_no_microphone_it_says_why(tab: Tab, full_service: Service) -> None:
    script = "Object.defineProperty(window, 'isSecureContext', {value: false})"
    tab.send("Page.addScriptToEvaluateOnNewDocument", source=script)  # as at an http:// address
    tab.open(full_service.url + "/")
    assert tab.evaluate("document.getElementById('record').disabled")
    assert "https:// and localhost" in tab.text("#record-hint")


def test_without_a_microphone_it_says_what_to_do(tab: Tab, full_service: Service) -> None:
    tab.open(full_service.url + "/")
    tab.evaluate(  # as a user who refuses; the flag of the browser allows all
        "navigator.mediaDevices.getUserMedia = () =>"
        " Promise.reject(new DOMException('Permission denied', 'NotAllowedError'))"
    )
    tab.click("#record")
    tab.wait_for("!document.getElementById('problem').hidden")
    assert "No microphone" in tab.text("#problem")
    assert "choose a file" in tab.text("#problem")


def test_another_file_takes_the_place_of_the_first(
    tab: Tab, full_service: Service, song: Path
) -> None:
    analyse(tab, full_service, song)
    assert tab.text("#file-facts").startswith(song.name)
    tab.choose_file("#file", CHORDS)
    wait_for_answer(tab)
    assert tab.text("#file-facts").startswith("chords.mp3")
    assert "chords.mp3" in tab.text("#curl")
    assert tab.text("#window-text") == "0:00 – 0:12"


def test_what_was_asked_before_is_not_shown_over_what_was_asked_last(
    tab: Tab, full_service: Service, song: Path
) -> None:
    """The first request is aborted where a second one follows at once."""
    tab.open(full_service.url + "/")
    tab.choose_file("#file", song)
    tab.choose_file("#file", CHORDS)
    wait_for_answer(tab)
    assert tab.text("#file-facts").startswith("chords.mp3")
    assert tab.text("#status") == "Analysed chords.mp3."


@pytest.mark.parametrize("steps", [1, 4])
def test_arrow_keys_move_the_window(
    tab: Tab, full_service: Service, song: Path, steps: int
) -> None:
    analyse(tab, full_service, song)
    tab.evaluate("document.getElementById('offset').focus()")
    for _ in range(steps):
        tab.press("ArrowRight")
    tab.wait_for(
        f"document.getElementById('curl').textContent.includes('window={25 + steps / 2:g}')"
    )
    wait_for_answer(tab)
    assert tab.text("#window-text").startswith("0:25" if steps == 1 else "0:27")
    assert tab.evaluate("document.getElementById('window-choice').value") == "offset"
    asked = [url for url in tab.requested() if re.search(r"/analyze\?", url)]
    assert len(asked) == 2  # not once a key
