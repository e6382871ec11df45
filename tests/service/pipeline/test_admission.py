"""Admission control: windows and bytes are bounded; beyond the limit the answer is 429 at once."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.errors import Busy
from service.pipeline.admission import Admission
from service.transport.upload import UploadBudget
from tests.bundles import small_models
from tests.running import running
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write


def test_slots_are_released_also_after_an_error() -> None:
    admission = Admission(1)
    with admission.admit(), pytest.raises(Busy), admission.admit():
        pass
    with pytest.raises(ValueError, match="cue"), admission.admit():
        raise ValueError("on cue")
    assert admission.in_flight == 0


def test_long_requests_leave_a_quarter_of_the_slots_to_short_ones() -> None:
    admission = Admission(12)
    with admission.admit(4), admission.admit(4):
        with pytest.raises(Busy) as caught, admission.admit(4):
            pass
        assert caught.value.limit == 9
        with ExitStack() as short:
            for _ in range(4):
                short.enter_context(admission.admit())
            with pytest.raises(Busy), admission.admit():
                pass
    assert admission.in_flight == 0


def test_upload_bytes_are_bounded() -> None:
    budget = UploadBudget(100)
    budget.reserve(80)
    with pytest.raises(Busy) as caught:
        budget.reserve(30)
    assert (caught.value.value, caught.value.limit) == (80, 100)
    budget.release(80)
    budget.reserve(100)


def test_beyond_the_bound_is_429_with_retry_after(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.wav", golden(2.0, seed=seed)) for seed in (60, 61)]
    with (
        running(tmp_path / "log", **small_models(tmp_path), max_in_flight=1) as service,
        ThreadPoolExecutor(2) as clients,
    ):
        (decoder,) = service.decoders()
        os.kill(decoder, signal.SIGSTOP)  # the one that is admitted waits for it
        answers = [clients.submit(service.embed, path) for path in paths]
        refused = next(as_completed(answers)).result()
        assert_problem(refused, 429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        os.kill(decoder, signal.SIGCONT)
        assert sorted(answer.result().status_code for answer in answers) == [200, 429]
        for path in paths:
            service.embedding(path)
