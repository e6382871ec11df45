"""The loss of the paper: direction and length."""

from __future__ import annotations

import torch

from training.networks.losses import cosine_proximity, embedding_loss


def test_cosine_proximity_sees_direction_only() -> None:
    target = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    assert cosine_proximity(10 * target, target).item() == -1
    assert cosine_proximity(-target, target).item() == 1
    assert cosine_proximity(torch.tensor([[4.0, -3.0], [0.0, 2.0]]), target).item() == 0


def test_embedding_loss_is_least_at_the_target() -> None:
    target = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    predicted = torch.zeros_like(target).add_(0.1).requires_grad_()
    assert embedding_loss(target, target).item() == -1
    (gradient,) = torch.autograd.grad(embedding_loss(predicted, target), predicted)
    nearer = predicted.detach() - 0.1 * gradient
    assert embedding_loss(nearer, target) < embedding_loss(predicted, target)
