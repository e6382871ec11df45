"""User tower: the items of a history -> the vector of its user.

Source: Covington, Adams, Sargin, "Deep neural networks for YouTube recommendations" (2016), the
candidate generation network, with the sizes of DeepMatch's YoutubeDNN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UserTower(nn.Module):
    """Mean of the item vectors of a history, and two layers on it: (B, H) -> (B, dim).

    An item has one vector, in a history and where it is scored, as in DeepMatch. The last layer is
    linear: after a ReLU, as in the paper, all vectors of users would lie in one orthant, and the
    cosines to them could not tell directions apart there.

    Parameters
    ----------
    n_items : histories are padded with this number
    """

    def __init__(self, n_items: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.padding = n_items
        self.items = nn.Embedding(n_items + 1, dim, padding_idx=n_items)
        nn.init.normal_(self.items.weight, std=dim**-0.5)  # vectors of unit length
        with torch.no_grad():
            self.items.weight[n_items] = 0
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    @property
    def item_vectors(self) -> Tensor:
        """(n_items, dim)."""
        return self.items.weight[:-1]

    def forward(self, histories: Tensor) -> Tensor:
        n_known = histories.ne(self.padding).sum(1, keepdim=True)
        mean = self.items(histories).sum(1) / n_known.clamp(min=1)  # (B, H, D) -> (B, D)
        vectors: Tensor = self.layers(mean)
        return vectors


def sampled_softmax(
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    log_shares: tuple[Tensor, Tensor],
    is_known: Tensor,
) -> Tensor:
    """Cross-entropy of each user's item against the drawn items, corrected for how they are drawn.

    A score minus the logarithm of the item's share of the draws estimates the softmax over all
    items: popular items are drawn more often, and would be held down for that alone.

    Parameters
    ----------
    users, positives : (batch, dim), vectors of users and of an item of each
    negatives : (n_drawn, dim), vectors of items that are drawn for the whole batch
    log_shares : of the items of `positives`, (batch,), and of `negatives`, (n_drawn,)
    is_known : (batch, n_drawn), drawn items that do not count, such as the user's own

    Source: Covington et al. 2016, section 3.1; Jean et al. 2015.
    """
    score = (users * positives).sum(1) - log_shares[0]  # -> (B,)
    others = users @ negatives.T - log_shares[1]  # -> (B, N)
    others = others.masked_fill(is_known, float("-inf"))
    scores = torch.cat([score[:, None], others], 1)
    return (scores.logsumexp(1) - score).mean()
