"""A job that ends its process is refused by name, and all others have their results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.training.audio.crashing import BAD, fail, square
from training.audio import windows
from training.audio.manifest import read_manifest
from training.audio.processes import map_in_processes
from training.audio.windows import Prepared, prepare
from training.networks.cf_estimator import CFEstimator


def test_jobs_that_end_their_process_are_refused_and_the_others_done() -> None:
    found = list(map_in_processes(square, range(30), 2, lambda job: -job))
    assert sorted(found) == sorted(-job if job in BAD else job * job for job in range(30))


def test_an_error_of_the_work_is_raised() -> None:
    with pytest.raises(ValueError, match="of 0"):
        list(map_in_processes(fail, [0], 1, lambda job: 0))


def test_processes_prepare_what_threads_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = CFEstimator.audio.model_copy(update={"window_s": 1.0})
    rng = np.random.default_rng(0)
    for number in range(20):
        soundfile.write(tmp_path / f"{number}.wav", rng.uniform(-0.5, 0.5, 20_000), 16_000)
    (tmp_path / "7.wav").write_bytes(b"RIFF")
    table = pd.DataFrame({"track_id": [str(number) for number in range(20)], "item_id": "i"})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    manifest = read_manifest(tmp_path / "manifest.csv", tmp_path)
    by_threads = list(prepare(manifest, tmp_path / "threads", audio))
    monkeypatch.setattr(windows, "MIN_FOR_PROCESSES", 1)
    by_processes = list(prepare(manifest, tmp_path / "processes", audio))

    def by_track(records: list[dict[str, object]]) -> dict[object, dict[str, object]]:
        return {record["track_id"]: record for record in records}

    assert by_track(by_processes) == by_track(by_threads)
    assert sum("reason" in record for record in by_processes) == 1
    both = [Prepared.load(tmp_path / name) for name in ("threads", "processes")]
    np.testing.assert_array_equal(np.asarray(both[0].windows), np.asarray(both[1].windows))
