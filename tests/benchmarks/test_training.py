"""Benchmarks of training: goals and projections follow from the figures, and steps are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training import prepare, spark, steps


def runs_of(start_s: float, song_s: float, *, java_s: float = 0.0) -> list[dict[str, float]]:
    """Two runs of each size, the second of them disturbed."""
    return [
        {
            "songs": songs,
            "s": (start_s + songs * song_s) * slower,
            "cpu_s": 2 * songs * song_s * slower,
            "java_cpu_s": songs * java_s,
        }
        for slower in (1.0, 1.5)
        for songs in (100, 400)
    ]


def test_a_catalogue_is_projected_from_core_seconds_after_the_start() -> None:
    figures = {
        "cores": 2,
        spark.COMMAND_LINE: runs_of(2.0, 1 / 40),
        spark.PATHS: runs_of(12.0, 1 / 40),
        spark.HADOOP: runs_of(20.0, 1 / 20, java_s=0.01),
    }
    # 2 cores for 1/40 s a song: 0.05 core-seconds, of 10^8 songs 5 · 10^6.
    rows = spark.table(figures, 0.05).splitlines()
    assert rows[2] == "| command line | 2.0 | 40.0 | 0.0500 | 0.0500 | 0.0000 | 1,389 | 69 $ |"
    assert rows[4].startswith("| Spark, read by Hadoop | 20.0 | 20.0 | 0.1000 | 0.1000 | 0.0100 |")
    paths, paths_cpu, hadoop, hadoop_cpu = spark.goals(figures)
    found = [goal.value for goal in (paths, paths_cpu, hadoop, hadoop_cpu)]
    assert found == pytest.approx([1.0, 1.0, 0.5, 0.5])
    assert (paths.met, hadoop.met) == (True, False)
    # 12 + n/40 = (2 + n/40) / 0.9
    assert spark.songs_to_goal(figures, spark.PATHS) == pytest.approx(3520)
    assert spark.songs_to_goal(figures, spark.HADOOP) == float("inf")
    with pytest.raises(ValueError, match="400 songs took no longer than 100"):
        spark.Line.through(runs_of(2.0, -1e-3), "s")


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
