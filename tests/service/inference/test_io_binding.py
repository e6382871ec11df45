"""A bound run answers what a plain one does, to the bit, also beside others on its session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from models.audio.window_choice import Samples
from service.inference.devices import CPU
from service.inference.io_binding import pays, run_bound, run_plain
from service.inference.session import options
from tests.bundles import AUDIO, write_bundle

OUTPUTS = ["features", "embedding"]


@pytest.fixture
def session(tmp_path: Path) -> ort.InferenceSession:
    bundle = write_bundle(tmp_path, "levels")
    graph = bundle.graph_bytes(bundle.card.graph())
    return ort.InferenceSession(graph, options(1), providers=[CPU])


def noise(batch: int, seed: int = 0) -> Samples:
    shape = (batch, AUDIO.window_samples)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def same(session: ort.InferenceSession, inputs: Samples) -> None:
    plain = run_plain(session, OUTPUTS, "waveform", inputs)
    bound = run_bound(session, OUTPUTS, "waveform", inputs)
    for one, other in zip(plain, bound, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_every_batch_size_has_its_own_shape(session: ort.InferenceSession, batch: int) -> None:
    same(session, noise(batch))


def test_a_view_is_bound_by_what_it_shows(session: ort.InferenceSession) -> None:
    same(session, noise(6)[::2])


def test_runs_beside_each_other_keep_apart(session: ort.InferenceSession) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda seed: same(session, noise(1 + seed % 3, seed)), range(60)))


def test_an_answer_outlives_what_it_was_bound_by(session: ort.InferenceSession) -> None:
    kept = run_bound(session, OUTPUTS, "waveform", noise(2))
    copies = [each.copy() for each in kept]
    for seed in range(1, 20):
        run_bound(session, OUTPUTS, "waveform", noise(2, seed))
    for one, other in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_is_an_error(session: ort.InferenceSession) -> None:
    with pytest.raises(Exception, match="waveform"):
        run_bound(session, OUTPUTS, "waveform", noise(2)[:, :100])


def test_binding_is_chosen_where_it_is_quicker() -> None:
    numbers = np.random.default_rng(0).standard_normal(200_000)

    def slow() -> None:
        np.sort(numbers)

    def quick() -> None:
        np.sort(numbers[:100])

    assert pays(slow, quick)
    assert not pays(quick, slow)
