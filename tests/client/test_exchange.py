"""Retries and errors of the exchange, without a network: replies are sent in."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from email.utils import formatdate

import pytest
from tasteprint_client import (
    AudioRefused,
    BadAnswer,
    ConnectionFailed,
    Retry,
    TasteprintError,
    Unavailable,
)
from tasteprint_client.exchange import Deadline, Reply, Request, Wait, error_of, exchange

ASK = Request("GET", "/limits")
GOOD = Reply(200, {}, b"{}")
PATIENT = Retry(total_s=60)


def refused(status: int, kind: str = "busy", **headers: str) -> Reply:
    problem = {"type": f"urn:tasteprint:{kind}", "title": kind, "status": status, "remedy": "wait"}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    content_type = {"content-type": "application/problem+json"}
    return Reply(status, content_type | names, json.dumps(problem).encode())


def run(
    replies: Sequence[Reply | ConnectionFailed], retry: Retry = PATIENT
) -> tuple[Reply, list[float]]:
    """Send the replies in; the accepted one, and the waits."""
    flow = exchange(ASK, retry, Deadline(retry.total_s))
    waits: list[float] = []
    step, coming = next(flow), iter(replies)
    while True:
        try:
            if isinstance(step, Wait):
                waits.append(step.seconds)
                step = flow.send(None)
            elif isinstance(reply := next(coming), ConnectionFailed):
                step = flow.throw(reply)
            else:
                step = flow.send(reply)
        except StopIteration as end:
            return end.value, waits


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_busy_service_is_asked_again(status: int) -> None:
    reply, waits = run([refused(status), refused(status), GOOD])
    assert reply is GOOD
    assert len(waits) == 2


def test_a_broken_connection_is_tried_again() -> None:
    reply, waits = run([ConnectionFailed("reset"), GOOD])
    assert reply is GOOD
    assert len(waits) == 1


def test_a_page_of_a_proxy_is_tried_again_and_named_in_the_end() -> None:
    page = Reply(502, {"content-type": "text/html"}, b"<html>Bad Gateway</html>")
    assert run([page, GOOD])[0] is GOOD
    with pytest.raises(BadAnswer, match="Bad Gateway"):
        run([page], Retry(total_s=0.01))


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 415, 422, 500])
def test_what_would_fail_again_is_not_asked_again(status: int) -> None:
    with pytest.raises(TasteprintError) as caught:
        run([refused(status)])
    assert caught.value.attempts == 1


def test_a_refused_model_stays_refused() -> None:
    with pytest.raises(Unavailable):
        run([refused(503, "model-refused")])


def test_retry_after_is_the_minimum_wait() -> None:
    _, waits = run([refused(429, retry_after="3"), refused(429, retry_after="0"), GOOD])
    assert 3 <= waits[0] <= 3.5
    assert 0.5 <= waits[1] <= 1


def test_retry_after_may_be_a_date() -> None:
    reply = refused(503, retry_after=formatdate(time.time() + 30, usegmt=True))
    error = error_of(reply)
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == pytest.approx(30, abs=5)


@pytest.mark.parametrize("text", ["soon", "", "-5", "Xyz, 99 Foo 2026 25:00:00 GMT"])
def test_an_odd_retry_after_is_no_wait(text: str) -> None:
    error = error_of(refused(429, retry_after=text))
    assert isinstance(error, Unavailable)
    assert not error.retry_after_s


def test_waits_double_up_to_the_maximum_with_jitter() -> None:
    retry = Retry(total_s=1000, first_s=1, max_s=4)
    waits = run([refused(429)] * 6 + [GOOD], retry)[1]
    for wait_s, full_s in zip(waits, [1, 2, 4, 4, 4, 4], strict=True):
        assert full_s / 2 <= wait_s <= full_s
    assert len(set(waits)) == len(waits)


def test_no_attempt_comes_after_the_deadline() -> None:
    with pytest.raises(Unavailable) as caught:
        run([refused(429, retry_after="61")])
    assert caught.value.attempts == 1


def test_the_error_says_how_often_it_was_tried() -> None:
    replies = [refused(429), refused(429), refused(415)]
    with pytest.raises(AudioRefused, match="3 attempts"):
        run(replies)


def test_fields_of_a_later_problem_are_left_out() -> None:
    content = {"type": "t", "title": "T", "status": 422, "hint": {"of": "a later version"}}
    reply = Reply(422, {"content-type": "application/problem+json"}, json.dumps(content).encode())
    assert isinstance(error_of(reply), AudioRefused)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"detail": "no type"}', b"\xff"])
def test_a_problem_that_is_none_is_a_bad_answer(body: bytes) -> None:
    reply = Reply(422, {"content-type": "application/problem+json"}, body)
    assert isinstance(error_of(reply), BadAnswer)
