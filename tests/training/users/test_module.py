"""The user tower and its training step: histories, sampled softmax, draws, validation loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.training.users.crowds import N_ITEMS, make_logs
from training.users.held_out import HeldOutEntries, hold_out
from training.users.module import UserModule
from training.users.network import UserTower, sampled_softmax
from training.users.settings import UserSettings

SETTINGS = UserSettings(dim=5, hidden=7, negatives=200)


@pytest.fixture(scope="module")
def entries() -> HeldOutEntries:
    return hold_out(make_logs().user_items, test_share=0.2, min_entries=5, seed=0)


@pytest.fixture
def module(entries: HeldOutEntries) -> UserModule:
    torch.manual_seed(0)
    return UserModule(entries, SETTINGS)


def test_a_history_is_averaged_without_its_padding() -> None:
    torch.manual_seed(0)
    tower = UserTower(6, 5, 7)
    found = tower(torch.tensor([[1, 4, 6, 6], [6, 6, 6, 6]]))
    mean = (tower.item_vectors[1] + tower.item_vectors[4]) / 2
    torch.testing.assert_close(found[0], tower.layers(mean))
    torch.testing.assert_close(found[1], tower.layers(torch.zeros(5)))
    assert tower.item_vectors.shape == (6, 5)
    found.sum().backward()
    assert tower.items.weight.grad is not None
    assert not tower.items.weight.grad[6].any()


def test_with_every_item_drawn_once_it_is_the_softmax_over_all_items() -> None:
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, 4, generator=generator) for n in (8, 11))
    target = torch.arange(8)
    uniform = torch.full((11,), -float(np.log(11)))
    found = sampled_softmax(
        users,
        items[target],
        items,
        (uniform[target], uniform),
        torch.arange(11) == target[:, None],
    )
    torch.testing.assert_close(found, functional.cross_entropy(users @ items.T, target))


def test_many_draws_have_the_gradient_of_the_softmax_whatever_is_popular() -> None:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(8, 4, generator=generator, requires_grad=True)
    items, target = torch.randn(11, 4, generator=generator), torch.arange(8)
    shares = torch.softmax(torch.randn(11, generator=generator), 0)
    drawn = torch.multinomial(shares, 200_000, replacement=True, generator=generator)
    loss = sampled_softmax(
        users,
        items[target],
        items[drawn],
        (shares.log()[target], shares.log()[drawn]),
        torch.zeros(8, len(drawn), dtype=torch.bool),
    )
    (found,) = torch.autograd.grad(loss, users)
    (expected,) = torch.autograd.grad(functional.cross_entropy(users @ items.T, target), users)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0.05)


def test_the_item_that_is_predicted_is_not_in_its_history(
    module: UserModule, entries: HeldOutEntries, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Tensor] = []
    module.tower.register_forward_pre_hook(lambda tower, inputs: heard.append(inputs[0]))
    training = entries.training.tocoo()
    users, items = (torch.from_numpy(part.astype(np.int64)) for part in training.coords)
    monkeypatch.setattr(module, "log", lambda *arguments, **options: None)
    module.training_step([users, items], 0)
    (histories,) = heard
    for user, item, history in zip(users.tolist(), items.tolist(), histories, strict=True):
        known = set(history[history < N_ITEMS].tolist())
        assert known == set(entries.training[user].indices.tolist()) - {item}


def test_negatives_are_drawn_by_popularity_from_seed_and_step(
    module: UserModule, entries: HeldOutEntries
) -> None:
    assert torch.equal(module.draw_negatives(3), module.draw_negatives(3))
    assert not torch.equal(module.draw_negatives(3), module.draw_negatives(4))
    drawn = torch.cat([module.draw_negatives(step) for step in range(200)])
    counts = entries.training.getnnz(0)
    found = np.bincount(drawn.numpy(), minlength=N_ITEMS) / len(drawn)
    np.testing.assert_allclose(found, counts / counts.sum(), atol=0.005)


@pytest.mark.parametrize("max_history", [50, 2])
def test_the_validation_loss_is_among_the_items_that_the_user_has_not(
    entries: HeldOutEntries, monkeypatch: pytest.MonkeyPatch, max_history: int
) -> None:
    torch.manual_seed(0)
    module = UserModule(entries, replace(SETTINGS, max_history=max_history))
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **options: logged.update({name: value}))
    users = np.flatnonzero(entries.validation >= 0)
    items = entries.validation[users]
    with torch.no_grad():
        module.validation_step([torch.from_numpy(users), torch.from_numpy(items)], 0)
        vectors = module.tower(module.histories).numpy()
        scores = vectors @ module.tower.item_vectors.numpy().T
    losses = []
    for user, item in zip(users, items, strict=True):
        others = np.setdiff1d(np.arange(N_ITEMS), entries.training[user].indices)
        losses.append(np.log(np.exp(scores[user, others]).sum()) - scores[user, item])
    assert float(logged["val_loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_items_beyond_the_history_are_no_negatives_of_their_user(entries: HeldOutEntries) -> None:
    module = UserModule(entries, replace(SETTINGS, max_history=2))
    users = torch.arange(entries.training.shape[0])
    known = module.find_known(users).numpy()
    assert np.array_equal(known, entries.training.toarray() > 0)
    assert known.sum(1).max() > module.histories.shape[1] == 2


def test_checkpoints_hold_the_tower_alone(module: UserModule) -> None:
    assert {name.partition(".")[0] for name in module.state_dict()} == {"tower"}
