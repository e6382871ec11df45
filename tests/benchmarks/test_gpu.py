"""The benchmark of GPUs runs its ways in on a CPU too, and draws what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.gpu import clips_per_second, noise, table, ways_in
from service.inference.devices import CPU
from service.inference.session import session_options
from tests.bundles import AUDIO, write_bundle


def test_each_way_in_runs_alone_and_beside_itself(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, "levels")
    graph = bundle.graph_bytes(bundle.card.graph())
    session = ort.InferenceSession(graph, session_options(1), providers=[CPU])
    ways = ways_in(session, noise(3, AUDIO.window_samples), "cpu")
    plain, bound = ways["plain"](), ways["bound"]()
    np.testing.assert_equal(plain, bound)
    for run in ways.values():
        assert clips_per_second([run], 3, 0.01) > 0
        assert clips_per_second([run, run], 3, 0.01) > 0


def test_what_was_measured_is_drawn() -> None:
    row = {"precision": "float32", "batch": 4, "plain": 11.0, "bound": 12.0, "on_device": 13.0}
    together = {"precision": "float32", "devices": 2, "plain": 22.0}
    drawn = table({"rows": [row], "together": [together]})
    assert "| float32 | 4 | 11 | 12 | 13 |" in drawn
    assert "| float32 | 2 | 22 |" in drawn
