"""An encoder trained by groups: losses of groups, optimisers, resumed runs, the best network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.networks.tiny_encoder import TinyEncoder
from tests.training.objectives.loudness import (
    CROP,
    N_CLIPS,
    N_SAMPLES,
    SETTINGS,
    Pairs,
    TellLoud,
    make_windows,
)
from training.audio.decoding import FULL_SCALE
from training.errors import BadPlateau, MissingInput, OtherRun
from training.fitting.dataset import Loader
from training.fitting.trainer import fit, load_best, seed_and_silence
from training.networks.base import Encoded
from training.objectives.groups import make_group_loader
from training.objectives.module import GroupModule, Judged, load_network, make_network
from training.objectives.settings import GroupSettings, Optimizer

pytestmark = pytest.mark.usefixtures("tiny_encoders")
VALIDATION = list(range(N_CLIPS - 4, N_CLIPS))


def make_loaders(settings: GroupSettings, draws: Pairs) -> tuple[Loader, Loader]:
    windows = make_windows()

    def make(draws: Pairs, training: bool) -> Loader:
        return make_group_loader(
            windows,
            draws,
            settings=settings,
            crop_samples=CROP,
            patch_samples=N_SAMPLES,
            training=training,
        )

    return make(draws, True), make(Pairs(VALIDATION), False)


def run(
    out: Path,
    settings: GroupSettings = SETTINGS,
    draws: Pairs | None = None,
    objective: TellLoud | None = None,
) -> GroupModule:
    seed_and_silence(settings)
    module = GroupModule(make_network(settings), objective or TellLoud(), settings)
    loaders = make_loaders(settings, draws or Pairs(range(N_CLIPS - 4)))
    fit(module, *loaders, out, settings, show_progress=False)
    return module


def test_the_objective_gets_each_crop_of_each_group() -> None:
    torch.manual_seed(0)
    network = make_network(SETTINGS).eval()
    module = GroupModule(network, TellLoud(), SETTINGS).eval()
    loader, _ = make_loaders(SETTINGS, Pairs())
    crops, is_loud = next(iter(loader))
    judged = module.judge([crops, is_loud])
    front_end = network.make_front_end()
    for index, group in enumerate(crops):
        first, second = (
            network(front_end(crop[None].float() / FULL_SCALE)).embedding[0, 0] for crop in group
        )
        signed = first - second if is_loud[index, 0] else second - first
        torch.testing.assert_close(judged.losses["margin"][index], (1 - signed).relu())


def test_a_batch_costs_the_sum_or_the_mean_of_its_groups() -> None:
    torch.manual_seed(0)
    batch = next(iter(make_loaders(SETTINGS, Pairs())[0]))
    losses = {}
    for sums in (False, True):
        torch.manual_seed(0)
        module = GroupModule(make_network(SETTINGS), TellLoud(sums=sums), SETTINGS)
        module.log = lambda *values, **options: None  # type: ignore[method-assign]
        losses[sums] = module.training_step(batch, 0)
    torch.testing.assert_close(losses[True], len(batch[0]) * losses[False])


def test_the_embedding_has_the_size_of_the_features_unless_it_is_stated() -> None:
    assert make_network(SETTINGS).embedding_dim == TinyEncoder(4, 1).features_dim == 8
    assert make_network(replace(SETTINGS, embedding_dim=3)).embedding_dim == 3


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_is_down_the_loss_and_the_penalty_on_kernels(optimizer: Optimizer) -> None:
    """A step with the penalty is a step without it on the loss plus l2 · Σ w² of the kernels."""
    settings = replace(SETTINGS, optimizer=optimizer, kernel_l2=0.05, learning_rate=0.1)
    moved = []
    for penalty in ("of the optimiser", "of the loss"):
        torch.manual_seed(0)
        used = settings if penalty == "of the optimiser" else replace(settings, kernel_l2=0.0)
        module = GroupModule(make_network(used), TellLoud(), used)
        stepper = module.make_optimizer()
        loss = torch.stack([(weight - 1).square().sum() for weight in module.parameters()]).sum()
        if penalty == "of the loss":
            kernels = [weight for weight in module.parameters() if weight.ndim > 1]
            loss = loss + 0.05 * torch.stack([kernel.square().sum() for kernel in kernels]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        stepper.step()
        moved.append(torch.cat([weight.detach().flatten() for weight in module.parameters()]))
    torch.testing.assert_close(*moved)


def test_the_rate_is_divided_by_one_plus_decay_times_steps(tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer="sgd", learning_rate=0.2, rate_decay=0.5, max_epochs=2)
    module = run(tmp_path, settings)
    assert module.trainer.global_step == 4
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.2 / 3)


class NothingToLearn(TellLoud):
    """A loss that no weights lower."""

    def forward(self, encoded: Encoded, *targets: Tensor) -> Judged:
        return Judged({"one": 1 + 0 * encoded.embedding.sum((1, 2))})


def test_the_rate_falls_after_validations_without_a_lower_loss(tmp_path: Path) -> None:
    """The first validation is the lowest; the third and the fifth are the second in vain."""
    settings = replace(SETTINGS, learning_rate=0.1, plateau_patience=2, rate_decay=1.0)
    rates = []
    for max_epochs in (2, 3, 4, 5):  # each resumed from the one before
        module = run(tmp_path, replace(settings, max_epochs=max_epochs), objective=NothingToLearn())
        rates.append(module.trainer.optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.02, 0.02, 0.004])


def test_loud_clips_are_learnt_and_the_best_network_is_loaded(tmp_path: Path) -> None:
    settings = replace(SETTINGS, max_epochs=30, learning_rate=0.03)
    module = run(tmp_path, settings)
    assert float(module.trainer.callback_metrics["val_told"]) == 1
    load_best(module, tmp_path)
    network, stated = load_network(tmp_path, GroupSettings, "groups")
    assert stated == settings
    assert not network.training
    for name, weight in module.network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], weight)


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(tmp_path: Path) -> None:
    rows = range(N_CLIPS - 4)
    whole, first, second = Pairs(rows), Pairs(rows), Pairs(rows)
    run(tmp_path / "whole", replace(SETTINGS, max_epochs=4), whole)
    run(tmp_path / "parts", replace(SETTINGS, max_epochs=2), first)
    run(tmp_path / "parts", replace(SETTINGS, max_epochs=4), second)
    assert len(whole.drawn) == 4 * len(rows)
    assert [*first.drawn, *second.drawn] == whole.drawn
    assert len({tuple(whole.drawn[start : start + 8]) for start in (0, 8, 16, 24)}) == 4


def test_a_run_resumed_within_an_epoch_goes_on_with_its_other_items(tmp_path: Path) -> None:
    rows = range(N_CLIPS - 4)
    settings = replace(SETTINGS, batch_size=2, validation_steps=1, max_epochs=3)
    whole, first, second = Pairs(rows), Pairs(rows), Pairs(rows)
    alone = run(tmp_path / "whole", settings, whole)
    run(tmp_path / "parts", replace(settings, max_steps=7), first)  # of 4 steps an epoch
    resumed = run(tmp_path / "parts", settings, second)
    assert len(first.drawn) == 7 * settings.batch_size
    assert [*first.drawn, *second.drawn] == whole.drawn
    for name, weight in alone.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], weight)


def test_a_rate_that_would_never_be_lowered_is_refused() -> None:
    with pytest.raises(BadPlateau, match=r"ends after 3 validations .* lowered after 3; give"):
        replace(SETTINGS, plateau_patience=3, patience=3)


def test_the_same_weights_are_reached_by_worker_processes(tmp_path: Path) -> None:
    """Also where a run is resumed, and a process asks for batches before the run goes on."""
    alone = run(tmp_path / "alone", replace(SETTINGS, max_epochs=3))
    run(tmp_path / "helped", replace(SETTINGS, max_epochs=1, workers=1))
    helped = run(tmp_path / "helped", replace(SETTINGS, max_epochs=3, workers=1))
    for name, weight in alone.state_dict().items():
        torch.testing.assert_close(helped.state_dict()[name], weight)


def test_a_run_is_not_resumed_on_other_groups(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(OtherRun):
        run(tmp_path, replace(SETTINGS, max_epochs=3), Pairs(range(2, N_CLIPS - 4)))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="tasteprint-train groups"):
        load_network(tmp_path, GroupSettings, "groups")
