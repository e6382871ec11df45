"""A run with I/O binding has a plain run's outputs to the bit, also beside concurrent runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from models.audio.window_choice import Samples
from service.inference.devices import CPU
from service.inference.io_binding import run_bound
from service.inference.model import run_plain
from service.inference.session import session_options
from tests.bundles import AUDIO, write_bundle

OUTPUTS = ["features", "embedding"]


@pytest.fixture
def session(tmp_path: Path) -> ort.InferenceSession:
    bundle = write_bundle(tmp_path, "levels")
    graph = bundle.graph_bytes(bundle.card.graph())
    return ort.InferenceSession(graph, session_options(1), providers=[CPU])


def noise(batch: int, seed: int = 0) -> Samples:
    shape = (batch, AUDIO.window_samples)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def check_same(session: ort.InferenceSession, inputs: Samples) -> None:
    plain = run_plain(session, OUTPUTS, "waveform", inputs)
    bound = run_bound(session, OUTPUTS, "waveform", inputs)
    for plain_output, bound_output in zip(plain, bound, strict=True):
        np.testing.assert_array_equal(plain_output, bound_output)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_every_batch_size_has_its_own_shape(session: ort.InferenceSession, batch: int) -> None:
    check_same(session, noise(batch))


def test_a_strided_view_is_bound_by_its_own_values(session: ort.InferenceSession) -> None:
    check_same(session, noise(6)[::2])


def test_concurrent_bound_runs_do_not_mix(session: ort.InferenceSession) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda seed: check_same(session, noise(1 + seed % 3, seed)), range(60)))


def test_outputs_outlive_their_binding(session: ort.InferenceSession) -> None:
    kept = run_bound(session, OUTPUTS, "waveform", noise(2))
    copies = [values.copy() for values in kept]
    for seed in range(1, 20):
        run_bound(session, OUTPUTS, "waveform", noise(2, seed))
    for values, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(values, copy)


def test_an_input_of_another_shape_is_an_error(session: ort.InferenceSession) -> None:
    with pytest.raises(Exception, match="waveform"):
        run_bound(session, OUTPUTS, "waveform", noise(2)[:, :100])
