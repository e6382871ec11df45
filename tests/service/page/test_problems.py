"""Errors on the page say what the service says: what was wrong, value, limit, remedy."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.browser import Tab
from tests.bundles import small_models
from tests.running import Service, running, wait_until
from tests.service.page.conftest import CHORDS, analyse, crowded, wait_for_answer
from tests.sounds import golden, write


def shown_problem(tab: Tab) -> str:
    tab.wait_for("!document.getElementById('problem').hidden")
    # Without the style, which begins lines with capitals.
    text: str = tab.evaluate("document.getElementById('problem').textContent")
    return text


def test_a_file_that_is_no_audio(tab: Tab, full_service: Service, tmp_path: Path) -> None:
    words = tmp_path / "words.mp3"
    words.write_text("These are words.\n" * 100)
    tab.open(full_service.url + "/")
    tab.choose_file("#file", words)
    shown = shown_problem(tab)
    problem = full_service.post("/analyze", words).json()
    for name in ("title", "detail", "remedy", "type"):
        assert problem[name] in shown, name
    assert "415" in shown
    assert tab.focused() == "problem"
    assert not tab.is_shown("#heard")


def test_a_problem_names_the_request_that_the_log_has(
    tab: Tab, full_service: Service, tmp_path: Path
) -> None:
    silent = write(tmp_path / "silent.wav", golden(2.0, 16_000, 1) * 0, 16_000)
    tab.open(full_service.url + "/")
    tab.choose_file("#file", silent)
    assert "Silent" in shown_problem(tab)
    terms = "[...document.querySelectorAll('#problem dt')]"
    found = f"{terms}.find(term => term.textContent === 'request').nextElementSibling"
    request_id: str = tab.evaluate(f"{found}.textContent")
    assert request_id in full_service.log()


def test_a_window_beyond_the_end_leaves_the_answer_before(
    tab: Tab, full_service: Service, song: Path
) -> None:
    analyse(tab, full_service, song)
    tab.evaluate(
        "(() => { const slider = document.getElementById('offset'); slider.max = 500;"
        " slider.value = 400; slider.dispatchEvent(new Event('input')); })()"
    )
    assert "400" in shown_problem(tab)
    assert tab.is_shown("#heard")
    tab.choose_file("#file", CHORDS)
    wait_for_answer(tab)
    assert not tab.is_shown("#problem")


def test_a_file_that_is_too_large_is_not_sent(
    tab: Tab, full_service: Service, tmp_path: Path
) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(21 << 20))
    tab.open(full_service.url + "/")
    tab.wait_for("document.getElementById('limit').textContent.includes('21.0 MB')")
    tab.choose_file("#file", large)
    shown = shown_problem(tab)
    assert f"{21 << 20} bytes" in shown
    assert f"{20 << 20} bytes" in shown
    assert not [url for url in tab.requested() if "/analyze" in url]


def test_a_service_that_is_gone_is_said_to_be(tab: Tab, tmp_path: Path) -> None:
    with running(tmp_path / "log", **small_models(tmp_path)) as service:
        tab.open(service.url + "/")
        url = service.url
    tab.choose_file("#file", CHORDS)
    shown = shown_problem(tab)
    assert "No answer" in shown
    assert url in shown
    assert "Try again" in shown


def test_the_problem_of_one_model_is_in_its_card(tab: Tab, full_service: Service) -> None:
    """By an answer whose genre failed, since no good file fails one model alone."""
    analysis = full_service.answer("/analyze", CHORDS)
    entry = analysis["models"]["genre"]
    problem = {"type": "urn:x", "title": "The model failed", "status": 500, "detail": "it did so"}
    kept = {name: entry[name] for name in ("model", "kind", "task")}
    analysis["models"]["genre"] = {**kept, "problem": problem}
    tab.open(full_service.url + "/")
    tab.evaluate(
        "import('./web/answers.js').then(answers => {"
        f" answers.showTasks({json.dumps(analysis)});"
        " document.getElementById('answers').hidden = false; })"
    )
    cards: list[str] = tab.evaluate(
        "[...document.querySelectorAll('#tasks .card')].map(card => card.innerText)"
    )
    (genre,) = [card for card in cards if card.startswith("Genre")]
    assert "The model failed: it did so" in genre
    assert any(card.startswith("Mood") and "%" in card for card in cards)


def test_a_full_service_is_asked_again_by_a_button(tab: Tab, tmp_path: Path) -> None:
    with crowded(tmp_path) as (service, decoder):
        tab.open(service.url + "/")
        tab.choose_file("#file", CHORDS)
        shown = shown_problem(tab)
        problem = service.post("/analyze", CHORDS).json()
        assert problem["type"] == "urn:tasteprint:busy"
        for name in ("title", "type", "status", "value", "limit"):
            assert str(problem[name]) in shown, name
        assert "chords.mp3" in shown
        assert tab.text("#problem button") == "Try again (the service asks to wait 1 s)"
        os.kill(decoder, signal.SIGCONT)
        wait_until(lambda: service.metric("tasteprint_windows_in_work 0.0"), "there is room")
        tab.press("Tab")  # from the problem, which has the focus, to its button
        tab.press("Enter")
        wait_for_answer(tab)
        assert not tab.is_shown("#problem")
        assert tab.focused() == "status"


def test_a_service_that_shuts_down_says_when_to_try_again(tab: Tab, tmp_path: Path) -> None:
    with crowded(tmp_path) as (service, decoder):
        tab.open(service.url + "/")
        tab.wait_for("document.getElementById('limit').textContent")
        service.process.send_signal(signal.SIGTERM)
        wait_until(service.is_stopping, "new work is refused")
        tab.choose_file("#file", CHORDS)
        shown = shown_problem(tab)
        assert "The service is stopping" in shown
        assert "503" in shown
        assert "wait 2 s" in tab.text("#problem button")
        os.kill(decoder, signal.SIGCONT)
        assert service.wait() == 0


def test_a_song_with_too_many_windows_is_refused_and_the_answer_before_stays(
    tab: Tab, tmp_path: Path
) -> None:
    with running(tmp_path / "log", **small_models(tmp_path), max_windows=2) as service:
        analyse(tab, service, CHORDS)
        tab.evaluate("document.getElementById('window-choice').value = 'all'")
        tab.evaluate("document.getElementById('window-choice').dispatchEvent(new Event('change'))")
        shown = shown_problem(tab)
        problem = service.post("/analyze", CHORDS, window="all").json()
        assert problem["type"] == "urn:tasteprint:audio-too-long"
        for name in ("title", "remedy", "value", "limit"):
            assert str(problem[name]) in shown, name
        assert tab.is_shown("#vector")
        # Another attempt would be refused too.
        assert tab.evaluate("document.querySelectorAll('#problem button').length") == 0


def test_an_error_of_a_proxy_is_said_to_be_none_of_the_service(
    tab: Tab, full_service: Service
) -> None:
    """Answered in the place of the service, by the browser's own interception."""
    tab.open(full_service.url + "/")
    tab.answer_instead("*/analyze*", 502, "<html>Bad gateway</html>", {})
    tab.choose_file("#file", CHORDS)
    shown = shown_problem(tab)
    assert "Error 502" in shown
    assert "proxy" in shown
    assert "Try again" in shown
