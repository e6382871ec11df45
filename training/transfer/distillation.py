"""Knowledge distillation: the teacher's embeddings as targets of the student's, and the loss.

Source: Lee et al. 2020, section 3.2.2, which adds the loss on the embeddings as they are. Not in
the paper: scaled targets. Most of a CF estimator's embedding of a recording is the mean over all
recordings, so the plain sum mostly asks the student for a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.networks.losses import cosine_proximity
from training.transfer.settings import TeacherScale

# A dimension that hardly varies is not divided by its own deviation, but by this part of the mean.
MIN_DEVIATION = 1e-3
TINY = 1e-30


def distillation_loss(
    student: Tensor, teacher: Tensor, mse_weight: float = 1.0, cosine_weight: float = 1.0
) -> Tensor:
    """MSE and cosine proximity of student and teacher embeddings, (batch, embedding_dim).

    The teacher's embedding gets no gradient. Source: Lee et al. 2020, section 3.2.2.
    """
    teacher = teacher.detach()
    return mse_weight * functional.mse_loss(student, teacher) + cosine_weight * cosine_proximity(
        student, teacher
    )


@dataclass(frozen=True)
class TargetScaling:
    """Affine map of embeddings: (embedding - shift) / scale, both of shape (embedding_dim,)."""

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distillation targets, shape (n, embedding_dim) as the embeddings."""
        targets: NDArray[np.float32] = (embeddings - self.shift) / self.scale
        return targets


def fit_scaling(parts: Sequence[NDArray[np.float32]], scale: TeacherScale) -> TargetScaling:
    """The scaling that `--teacher-scale` names, over the embeddings that training batches hold.

    Parameters
    ----------
    parts : embeddings, each of shape (n, embedding_dim); a batch holds as many of each part, so
        the parts count alike, whatever their sizes
    scale : "as-is" changes nothing; "standard" gives each dimension mean 0 and standard deviation
        1; "centred" removes the mean and divides all dimensions by one number, the root of their
        mean variance
    """
    mean = np.mean([part.mean(0) for part in parts], 0)
    if scale == "as-is":
        return TargetScaling(np.zeros_like(mean), np.ones_like(mean))
    variance = np.mean([np.square(part - mean).mean(0) for part in parts], 0)
    common = max(float(np.sqrt(variance.mean())), TINY)
    if scale == "centred":
        return TargetScaling(mean, np.full_like(mean, common))
    return TargetScaling(mean, np.maximum(np.sqrt(variance), MIN_DEVIATION * common))
