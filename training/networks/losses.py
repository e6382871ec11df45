"""Loss functions on embeddings."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cosine_proximity(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean negative cosine between rows; -1 where every pair is parallel.

    Parameters
    ----------
    predicted, target : float, shape (batch, dim)

    Source: Lee et al. 2020, section 3.1.2.
    """
    return -functional.cosine_similarity(predicted, target, dim=1).mean()


def embedding_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error plus cosine proximity, unweighted as in the paper.

    Parameters
    ----------
    predicted, target : float, shape (batch, dim)

    Source: Lee et al. 2020, section 3.1.2: direction counts in a CF embedding.
    """
    return functional.mse_loss(predicted, target) + cosine_proximity(predicted, target)
