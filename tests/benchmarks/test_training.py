"""Benchmarks of training: goals and projections follow from the figures, and steps are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training import prepare, spark, steps


def test_a_catalogue_is_projected_from_core_seconds() -> None:
    fast = {"songs": 400, "s": 10.0, "cpu_s": 18.0, "java_cpu_s": 0.0}
    slow = {"songs": 400, "s": 20.0, "cpu_s": 40.0, "java_cpu_s": 9.0}
    figures = {
        "cores": 2,
        spark.COMMAND_LINE: [fast, slow],
        spark.PATHS: [fast],
        spark.URIS: [slow],
    }
    # 2 cores for 1/40 s a song: 0.05 core-seconds, of 10^8 songs 5 · 10^6.
    assert "| command line | 40.0 | 0.050 | 1,389 | 69 $ |" in spark.table(figures, 0.05)
    paths, paths_cpu, uris, uris_cpu = spark.goals(figures)
    assert (paths.value, paths.met) == (1.0, True)
    assert (uris.value, uris.met) == (0.5, False)
    assert paths_cpu.value == 1.0
    assert uris_cpu.value == pytest.approx(0.45)


def test_prepare_is_held_to_every_core_at_the_rate_of_one() -> None:
    figures = {"workers": 2, "one": {"songs": 100, "s": 5.0}, "all": {"songs": 720, "s": 20.0}}
    assert prepare.ratio(figures) == pytest.approx(0.9)
    assert "| `prepare`, 2 cores | 36.0 | 7.7 h |" in prepare.table(figures)


def test_steps_are_taken_with_and_without_the_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "N_WINDOWS", 4)
    monkeypatch.setattr(steps, "WAYS", {"bf16, channels last": (True, True, False)})
    figures = steps.measure(tmp_path, n_steps=1, batch_size=2, workers=0, width=32)
    (rates,) = figures["ways"].values()
    assert rates["alone"] > 0
    assert rates["loaded"] > 0
    (goal,) = steps.goals(figures)
    assert goal.value == pytest.approx(rates["loaded"] / rates["alone"])
