"""`prepare --engine spark` writes the shards and records that processes write."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from models.spark import SparkOptions, open_session
from tests.training.audio import crashing
from training.audio import shards, spark_decoding
from training.audio.decoding import CRASHED, Job
from training.audio.manifest import read_manifest
from training.audio.windows import Prepared, prepare
from training.networks.cf_estimator import CFEstimator

AUDIO = CFEstimator.audio.model_copy(update={"window_s": 1.0})
is_installed = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
pytestmark = pytest.mark.skipif(not is_installed, reason="needs pyspark and Java")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkOptions]:
    """One session for all tests, as a JVM takes seconds to start."""
    options = SparkOptions("local[2]")
    with open_session("tests", options):
        yield options


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", rng.uniform(-0.5, 0.5, 20_000), 16_000)
    (tmp_path / "4.wav").write_bytes(b"RIFF")
    table = pd.DataFrame({"track_id": [str(number) for number in range(7)], "item_id": "i"})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    return read_manifest(tmp_path / "manifest.csv", tmp_path)


def by_track(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {record["track_id"]: record for record in records}


def test_shards_and_records_are_those_of_this_machine(
    spark: SparkOptions, manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 3 * 2 * AUDIO.input_samples)
    monkeypatch.setattr(spark_decoding, "SONGS_OF_TASK", 1)
    monkeypatch.setattr(spark_decoding, "TASKS_OF_CORE", 2)  # two jobs
    here = list(prepare(manifest, tmp_path / "here", AUDIO))
    there = list(prepare(manifest, tmp_path / "there", AUDIO, spark=spark))
    assert by_track(there) == by_track(here)
    assert sum("reason" in record for record in there) == 2  # one is damaged, one is missing
    assert len(shards.list_shards(tmp_path / "there")) == 3
    for ours, theirs in zip(
        *(shards.list_shards(tmp_path / name) for name in ("here", "there")), strict=True
    ):
        assert theirs.read_bytes() == ours.read_bytes()
    again = list(prepare(manifest, tmp_path / "there", AUDIO, spark=spark))
    assert by_track(again) == by_track(there)
    assert len(Prepared.load(tmp_path / "there").tracks) == 5


def test_a_file_that_ends_its_task_is_refused_and_the_others_decoded(
    spark: SparkOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [Job(row, str(row), "crash" if row == 2 else "") for row in range(4)]
    monkeypatch.setattr(spark_decoding, "decode_jobs", crashing.decode_jobs)
    found = list(spark_decoding.decode_on_spark(spark, jobs, tmp_path, AUDIO))
    reasons = {record["row"]: record["reason"] for record in found}
    assert reasons == {0: "heard", 1: "heard", 2: CRASHED, 3: "heard"}
