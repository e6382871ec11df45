"""Two CPU processes (DDP over gloo) have the losses of one, epoch by epoch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from tests.running import ROOT
from tests.training.fitting.ddp_run import N_VALIDATION
from training.fitting.curves import read_logs
from training.fitting.sampling import DividedSampler
from training.fitting.trainer import BEST


def fit_on(devices: int, out: Path) -> None:
    command = [sys.executable, "-m", "tests.training.fitting.ddp_run", str(out), str(devices)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_processes_have_the_losses_and_weights_of_one(tmp_path: Path) -> None:
    for devices in (1, 2):
        fit_on(devices, tmp_path / str(devices))
    one, two = (read_logs(tmp_path / devices) for devices in ("1", "2"))
    for name in ("train_loss", "val_loss", "val_cosine"):
        expected = one[name].dropna().to_numpy()
        assert len(expected) == 3
        np.testing.assert_allclose(two[name].dropna(), expected, atol=1e-5)
    losses = one["val_loss"].dropna().to_numpy()
    assert losses[-1] < losses[0]  # it has learnt, so that gradients were used
    states = [torch.load(tmp_path / devices / BEST, weights_only=False) for devices in ("1", "2")]
    for name, weights in states[0]["state_dict"].items():
        torch.testing.assert_close(states[1]["state_dict"][name], weights, atol=1e-5, rtol=1e-4)


def test_an_odd_number_of_validation_clips_is_divided_without_repeats() -> None:
    sampler = DividedSampler(range(N_VALIDATION))
    assert list(sampler) == list(range(N_VALIDATION))
    assert len(sampler) == N_VALIDATION
    assert N_VALIDATION % 2 == 1  # so that Lightning's own would repeat one in the test above
