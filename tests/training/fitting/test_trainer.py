"""Training is counted in steps or epochs, validated in between, stopped early and resumed."""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.networks.tiny_encoder import TinyEncoder
from training.errors import LossNotFinite, NoScheduleLength, OtherRun
from training.fitting.dataset import Loader, make_loader
from training.fitting.settings import ENVIRONMENT, FitSettings
from training.fitting.trainer import BEST, LAST, AudioModule, fit, load_best, seed_and_silence

N_WINDOWS, BATCH, CROP = 20, 4, 800  # five steps an epoch
BY_STEPS = FitSettings(
    batch_size=BATCH, max_epochs=0, max_steps=24, validation_steps=6, accelerator="cpu"
)


class Loudness(AudioModule):
    """Learns the first number of the embedding; the validation loss may be dictated."""

    def __init__(self, settings: FitSettings, losses: tuple[float, ...] = ()) -> None:
        torch.manual_seed(0)
        super().__init__(TinyEncoder(4, 6), settings.learning_rate, settings.cosine_schedule)
        self.losses = iter(losses)
        self.n_steps = 0

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        window, target = batch
        self.n_steps += 1
        loss: Tensor = (self(window).embedding[:, 0] - target).square().mean()
        return loss

    def on_validation_epoch_start(self) -> None:
        self.dictated = None if self.trainer.sanity_checking else next(self.losses, None)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        window, target = batch
        loss = (self(window).embedding[:, 0] - target).square().mean()
        self.log("val_loss", loss if self.dictated is None else torch.tensor(self.dictated))


def loaders(settings: FitSettings) -> tuple[Loader, Loader]:
    rng = np.random.default_rng(0)
    level = rng.uniform(100, 30_000, N_WINDOWS)
    windows = (rng.uniform(-1, 1, (N_WINDOWS, 16_000)) * level[:, None]).astype(np.int16)
    target = np.log(level).astype(np.float32)
    rows = np.arange(N_WINDOWS)

    def make(training: bool) -> Loader:
        return make_loader(
            windows,
            rows,
            target,
            settings=settings,
            crop_samples=CROP,
            patch_samples=16_000,
            training=training,
        )

    return make(True), make(False)


def run(out: Path, settings: FitSettings, losses: tuple[float, ...] = ()) -> Loudness:
    seed_and_silence(settings)
    module = Loudness(settings, losses)
    fit(module, *loaders(settings), out, settings, show_progress=False)
    return module


def validated_at(out: Path) -> list[int]:
    """Number of training steps before each validation, over all runs into the folder."""
    found = []
    for path in sorted(out.glob("logs/version_*/metrics.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        found += [int(row["step"]) + 1 for row in rows if row.get("val_loss")]
    return found


def test_a_run_is_validated_every_so_many_steps_over_all_epochs(tmp_path: Path) -> None:
    assert run(tmp_path, BY_STEPS).n_steps == 24
    assert validated_at(tmp_path) == [6, 12, 18, 24]


def test_without_steps_a_run_is_validated_every_epoch(tmp_path: Path) -> None:
    settings = FitSettings(batch_size=BATCH, max_epochs=3, accelerator="cpu")
    assert run(tmp_path, settings).n_steps == 15
    assert validated_at(tmp_path) == [5, 10, 15]
    assert not {"max_steps", "validation_steps"} & settings.to_record().keys()


@pytest.mark.parametrize(("max_steps", "max_epochs"), [(3, 0), (100, 1)])
def test_a_run_shorter_than_the_interval_is_validated_at_its_end(
    tmp_path: Path, max_steps: int, max_epochs: int
) -> None:
    limits = replace(BY_STEPS, max_steps=max_steps, max_epochs=max_epochs)
    n_steps = run(tmp_path, replace(limits, validation_steps=50)).n_steps
    assert n_steps == min(max_steps, 5)
    assert validated_at(tmp_path) == [n_steps]


def test_patience_counts_validations_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    settings = replace(BY_STEPS, max_steps=600, patience=2)
    module = run(tmp_path, settings, losses=(3.0, 2.0, 4.0, 5.0, 1.0))
    assert validated_at(tmp_path) == [6, 12, 18, 24]
    assert module.n_steps == 24
    steps = [
        torch.load(tmp_path / name, weights_only=False)["global_step"] for name in (BEST, LAST)
    ]
    assert steps == [12, 24]
    trained = module.network.state_dict()["embed.weight"].clone()
    load_best(module, tmp_path)
    assert not torch.equal(module.network.state_dict()["embed.weight"], trained)


@pytest.mark.parametrize("first", [12, 20])
def test_a_stopped_run_goes_on_from_its_last_validation(tmp_path: Path, first: int) -> None:
    """Stopped within an epoch, and at the end of one (the validation interval is 6 or 10)."""
    settings = replace(BY_STEPS, validation_steps=6 if first == 12 else 10, max_steps=40)
    interval = settings.validation_steps
    run(tmp_path, replace(settings, max_steps=first), losses=(1.0,))
    resumed = run(tmp_path, settings, losses=(5.0,) * 9)
    assert resumed.n_steps == 40 - first
    assert validated_at(tmp_path) == list(range(interval, 41, interval))
    best = torch.load(tmp_path / BEST, weights_only=False)
    assert best["global_step"] == interval  # the best of the first part is still the best


def test_a_stopped_run_resumes_after_a_validation_without_a_lower_loss(tmp_path: Path) -> None:
    run(tmp_path, replace(BY_STEPS, max_steps=18), losses=(1.0, 2.0, 3.0))
    assert run(tmp_path, BY_STEPS, losses=(4.0,)).n_steps == 6


def test_only_length_patience_and_hardware_may_change(tmp_path: Path) -> None:
    run(tmp_path, replace(BY_STEPS, max_steps=6))
    with pytest.raises(OtherRun):
        run(tmp_path, replace(BY_STEPS, validation_steps=5))
    cosine = replace(BY_STEPS, cosine_schedule=True, max_steps=6)
    run(tmp_path / "cosine", cosine)
    with pytest.raises(OtherRun):
        run(tmp_path / "cosine", replace(cosine, max_steps=12))


def test_a_cosine_schedule_ends_with_the_steps(tmp_path: Path) -> None:
    module = run(tmp_path, replace(BY_STEPS, cosine_schedule=True))
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(NoScheduleLength, match="--max-steps"):
        run(tmp_path / "endless", replace(BY_STEPS, cosine_schedule=True, max_steps=0))


class Diverging(Loudness):
    """The loss of the training step `nan_at` is NaN."""

    nan_at = 0

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = super().training_step(batch, index)
        return loss * torch.nan if self.n_steps == self.nan_at else loss


def test_a_loss_of_nan_ends_the_run_and_keeps_the_checkpoints_of_before(tmp_path: Path) -> None:
    module = Diverging(BY_STEPS)
    module.nan_at = 15
    with pytest.raises(LossNotFinite, match=r"training loss is nan at step 15; .*--learning-rate"):
        fit(module, *loaders(BY_STEPS), tmp_path, BY_STEPS, show_progress=False)
    for name in (BEST, LAST):
        state = torch.load(tmp_path / name, map_location="cpu", weights_only=False)
        assert state["global_step"] == 12  # of the last validation before
        assert all(torch.isfinite(weights).all() for weights in state["state_dict"].values())


def test_a_validation_loss_of_nan_ends_the_run_before_it_is_kept(tmp_path: Path) -> None:
    module = Loudness(BY_STEPS, losses=(1.0, float("nan")))
    with pytest.raises(LossNotFinite, match="validation loss is nan at step 12"):
        fit(module, *loaders(BY_STEPS), tmp_path, BY_STEPS, show_progress=False)
    assert torch.load(tmp_path / LAST, weights_only=False)["global_step"] == 6


def test_a_run_states_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tasteprint-train", "estimator", "--seed", "3"])
    settings = replace(BY_STEPS, max_steps=1)
    fit(Loudness(settings), *loaders(settings), tmp_path, settings, show_progress=False)
    stated = json.loads((tmp_path / ENVIRONMENT).read_text())
    assert stated["packages"]["torch"] == version("torch")
    assert stated["cores"] == os.cpu_count()
    assert stated["command"] == "tasteprint-train estimator --seed 3"
