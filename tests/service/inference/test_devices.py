"""A model is on every device that can run it, and ready when each has run every batch size."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import onnxruntime as ort
import pytest

from service.inference.devices import CPU, for_each_device
from service.inference.model import Model
from service.inference.registry import load_models
from service.settings import Settings
from tests.bundles import write_bundle
from tests.running import DEADLINE_S


def test_devices_are_prepared_at_the_same_time_and_keep_their_order() -> None:
    all_three = threading.Barrier(3, timeout=DEADLINE_S)  # passed by all or none

    def prepare(device: int) -> int:
        all_three.wait()
        return device

    assert for_each_device(3, prepare, "levels") == [0, 1, 2]


def test_a_device_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def prepare(device: int) -> int:
        if device == 1:
            raise RuntimeError("out of memory")
        return device

    with caplog.at_level(logging.ERROR, "tasteprint"):
        assert for_each_device(3, prepare, "levels") == [0, 2]
    assert "model levels is not on device 1: out of memory" in caplog.text


def test_where_all_devices_fail_the_error_of_the_first_is_raised() -> None:
    def prepare(device: int) -> int:
        raise RuntimeError(f"device {device}")

    with pytest.raises(RuntimeError, match="device 0"):
        for_each_device(3, prepare, "levels")


@pytest.fixture
def three_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU three times under the name of GPUs: the code path of GPUs without a GPU."""
    monkeypatch.setattr("service.inference.session.CUDA", CPU)
    monkeypatch.setattr("service.inference.session.list_gpus", lambda: [[CPU]] * 3)


@pytest.mark.usefixtures("three_devices")
def test_each_device_has_a_session_of_its_own(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    model = load_models(Settings(models_dir=tmp_path, max_batch=5)).loaded["levels"]
    assert (model.devices, model.n_workers, model.max_batch) == (3, 3, 5)


@pytest.mark.usefixtures("three_devices")
def test_every_batch_size_has_run_for_each_device_device_before_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path, "levels")
    ran = set[tuple[int, int]]()
    run = Model.run

    def noting(self: Model, inputs: ort.OrtValue, *, worker: int = 0, solo: bool = False) -> object:
        ran.add((worker, len(inputs)))
        return run(self, inputs, worker=worker, solo=solo)

    monkeypatch.setattr(Model, "run", noting)
    load_models(Settings(models_dir=tmp_path, max_batch=4))
    assert ran >= {(worker, size) for worker in range(3) for size in range(1, 5)}


@pytest.mark.usefixtures("three_devices")
def test_a_device_that_fails_as_it_warms_up_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path, "levels")
    run = Model.run

    def failing(
        self: Model, inputs: ort.OrtValue, *, worker: int = 0, solo: bool = False
    ) -> object:
        if worker == 1 and len(inputs) == 4:
            raise RuntimeError("out of memory")
        return run(self, inputs, worker=worker, solo=solo)

    monkeypatch.setattr(Model, "run", failing)
    models = load_models(Settings(models_dir=tmp_path, max_batch=4))
    assert models.loaded["levels"].devices == 2
    assert models.refused == {}
