"""The benchmark of bundles: each by its route, a head after its encoder, goals if measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.bundle_cost import Inference, find_encoder
from benchmarks.bundles import goals, measure_bundles, table
from benchmarks.result import Figures, Plan
from benchmarks.routes import route_of
from benchmarks.sounds import CLIP_S, NAMES, Sounds
from tests.bundles import AUDIO, write_bundle, write_head, write_task

CLIP, SONG = NAMES.values()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return Plan(Sounds(tmp_path_factory.mktemp("sounds")), quick=True)


def row(model: str, ratios: list[float]) -> Figures:
    return {
        "model": model,
        "precision": "int8",
        "decode_ms": {CLIP: 31.04, SONG: 35.06},
        "infer_ms": {"float32": 41.12, "int8": 25.25},
        "per_s": {CLIP: 28.03, SONG: 22.04},
        "ratios": {CLIP: ratios, SONG: [0.2, 0.2]},
    }


def test_every_bundle_is_measured_through_the_service(tmp_path: Path, plan: Plan) -> None:
    encoder = write_bundle(tmp_path / "models", "levels")
    write_head(tmp_path / "models", "mood", encoder.digest)
    write_task(tmp_path / "models", "arousal", "regressor")
    rows = measure_bundles(plan, tmp_path / "models", "levels", [CLIP_S])
    assert [row["model"] for row in rows] == ["arousal", "levels", "mood"]
    for figures in rows:
        assert figures["precision"] == "float32"
        assert figures["per_s"][CLIP] > 0
        assert len(figures["ratios"][CLIP]) == 2
        assert figures["decode_ms"].keys() == {CLIP}
        assert figures["infer_ms"].keys() == {"float32"}
    assert rows[0]["decode_ms"] == rows[1]["decode_ms"]  # equal inputs are decoded once


def test_a_bundle_that_the_service_refuses_ends_the_run(tmp_path: Path, plan: Plan) -> None:
    encoder = write_bundle(tmp_path / "models", "levels")
    write_head(tmp_path / "models", "mood", encoder.digest, head=b"not a graph")
    with pytest.raises(RuntimeError, match="mood"):
        measure_bundles(plan, tmp_path / "models", "levels", [CLIP_S])


def test_a_head_is_timed_after_the_graph_of_its_encoder(tmp_path: Path) -> None:
    encoder = write_bundle(tmp_path, "levels")
    head = write_head(tmp_path, "mood", encoder.digest)
    waveforms = np.random.default_rng(0).uniform(-0.5, 0.5, (1, AUDIO.window_samples))
    assert find_encoder(head, [head, encoder]) is encoder
    assert find_encoder(head, [head]) is None
    assert find_encoder(encoder, [head, encoder]) is None
    in_parts = Inference(head, encoder, "float32").run(waveforms.astype(np.float32))
    as_a_whole = Inference(head, None, "float32").run(waveforms.astype(np.float32))
    assert in_parts.keys() == as_a_whole.keys() == {"embedding", "features", "probabilities"}
    for name, values in as_a_whole.items():
        np.testing.assert_allclose(in_parts[name], values, rtol=1e-5)


def test_a_route_names_task_and_model(tmp_path: Path) -> None:
    encoder = write_bundle(tmp_path, "levels").card
    assert route_of(encoder) == "/embed?model=levels"
    regressor = write_task(tmp_path, "gems", "regressor", task="emotion").card
    assert route_of(regressor) == "/regress/emotion?model=gems"
    classifier = write_task(tmp_path, "mood-kd", task="mood").card
    assert route_of(classifier) == "/classify/mood?model=mood-kd"


def test_the_table_states_the_median_ratio_and_its_range() -> None:
    drawn = table({"rows": [row("musicnn-msd", [0.6, 0.8, 0.7, 0.7])]})
    cells = "31.0 | 35.1 | 41.1 | 25.2 | 28.0 | 0.70 (0.60–0.80) | 22.0 | 0.20 (0.20–0.20)"
    assert f"\n| musicnn-msd | int8 | {cells} |\n" in drawn
    header, rule = drawn.splitlines()[:2]
    assert header.count("|") == rule.count("|")


def test_a_goal_holds_the_median_ratio_of_a_bundle_that_was_measured() -> None:
    rows = [row("cf-estimator", [1.0]), row("musicnn-msd", [0.9, 0.71, 0.1])]
    assert goals({"rows": rows[:1]}) == []
    clip, song = goals({"rows": rows})
    assert (clip.value, clip.min, clip.met) == (0.71, 0.3, True)
    assert (song.value, song.min, song.met) == (0.2, 0.3, False)
    assert "`musicnn-msd` ÷ `cf-estimator`" in clip.what
