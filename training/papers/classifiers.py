"""The papers' classifiers, each with its own scaling and its own way from patches to a clip.

Sources: the code of Chen, Liang 2020 (`vote`), of Lee et al. 2017 (`svm`) and of Lee, Park, Nam
2019 (`softmax`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import SVC
from torch import Tensor
from torch.nn import functional

from training.errors import OtherPatches
from training.papers.settings import Classifier
from training.papers.votes import make_svm, vote

Vectors = NDArray[np.float32]
Classes = NDArray[np.int64]
# Of the softmax: the optimiser of the authors' code.
BATCH_SIZE, LEARNING_RATE, MOMENTUM, DECAY = 16, 0.01, 0.9, 1e-6
PATIENCE, MAX_EPOCHS, N_RUNS = 8, 1000, 10


@dataclass(frozen=True)
class Clips:
    """Clips of a task, one fold of which is held out.

    Attributes
    ----------
    inputs : of each encoder that is joined, vectors of its patches, (n_clips, n_patches, dim)
    classes : shape (n_clips,)
    parts : `train`, `validation` or `test`, shape (n_clips,)
    """

    inputs: Sequence[Vectors]
    classes: Classes
    parts: NDArray[np.str_]

    @property
    def is_test(self) -> NDArray[np.bool_]:
        return np.asarray(self.parts == "test")

    @property
    def means(self) -> Vectors:
        """Means over the patches of each encoder, concatenated, shape (n_clips, dim)."""
        return np.concatenate([vectors.mean(1) for vectors in self.inputs], axis=1)


def predict_by_vote(clips: Clips) -> list[Classes]:
    """By an SVM on patches, after PCA; patches of all encoders are joined one by one.

    Raises
    ------
    OtherPatches
    """
    counts = [vectors.shape[1] for vectors in clips.inputs]
    if len(set(counts)) > 1:
        raise OtherPatches(counts)
    joined = np.concatenate(clips.inputs, axis=2)  # (n, P, dim)
    train, test = joined[~clips.is_test], joined[clips.is_test]
    patches = train.reshape(-1, joined.shape[2])
    svm = make_svm(patches, has_pca=True).fit(
        patches, np.repeat(clips.classes[~clips.is_test], counts[0])
    )
    found = np.asarray(svm.predict(test.reshape(-1, joined.shape[2])), np.int64)
    return [vote(found, np.repeat(np.arange(len(test)), counts[0]), len(test))]


def scale(values: Vectors, training: NDArray[np.bool_]) -> Vectors:
    """Scaled by two numbers, the mean and deviation of all values of the training clips."""
    mean, deviation = values[training].mean(), values[training].std()
    return np.asarray((values - mean) / max(float(deviation), 1e-12), np.float32)


def predict_by_svm(clips: Clips) -> list[Classes]:
    """By an RBF SVM on the means over patches: C 1, gamma 1 / n_features."""
    scaled = scale(clips.means, ~clips.is_test)
    svm = SVC(C=1.0, gamma="auto").fit(scaled[~clips.is_test], clips.classes[~clips.is_test])
    return [np.asarray(svm.predict(scaled[clips.is_test]), np.int64)]


def predict_by_softmax(clips: Clips) -> list[Classes]:
    """By a softmax on the means over patches, stopped by the validation part; ten runs at once.

    A run ends where the loss of the validation part has not fallen for eight epochs, and predicts
    by the weights of its lowest loss.
    """
    scaled = torch.from_numpy(scale(clips.means, clips.parts == "train"))
    classes = torch.from_numpy(clips.classes)
    masks = [torch.from_numpy(clips.parts == part) for part in ("train", "validation", "test")]
    train, validation, test = ((scaled[mask], classes[mask]) for mask in masks)
    generator = torch.Generator().manual_seed(0)
    n_classes = int(torch.cat([train[1], validation[1]]).max()) + 1
    runs = _SoftmaxRuns(scaled.shape[1], n_classes, generator)
    lowest, since = torch.full((N_RUNS,), torch.inf), torch.zeros(N_RUNS, dtype=torch.int64)
    best = torch.zeros(N_RUNS, len(test[1]), dtype=torch.int64)
    for _ in range(MAX_EPOCHS):
        runs.fit_epoch(*train)
        is_running, losses = since < PATIENCE, runs.losses(*validation)
        is_lower = is_running & (losses < lowest)
        lowest, since = torch.where(is_lower, losses, lowest), torch.where(is_lower, 0, since + 1)
        best[is_lower] = runs.logits(test[0]).argmax(2)[is_lower]
        if not is_running.any():
            break
    return list(best.numpy())


class _SoftmaxRuns:
    """Linear layers of several runs, each with first weights and an order of clips of its own."""

    def __init__(self, dim: int, n_classes: int, generator: torch.Generator) -> None:
        self.generator, self.n_steps = generator, 0
        weights = torch.empty(N_RUNS, dim, n_classes).uniform_(-0.05, 0.05, generator=generator)
        self.weights = weights.requires_grad_()
        self.biases = torch.zeros(N_RUNS, 1, n_classes, requires_grad=True)
        self.optimizer = torch.optim.SGD(
            [self.weights, self.biases], LEARNING_RATE, MOMENTUM, nesterov=True
        )

    def logits(self, inputs: Tensor) -> Tensor:
        """Of (n, dim) for all runs, or of (runs, n, dim): shape (runs, n, n_classes)."""
        with torch.no_grad():
            return inputs @ self.weights + self.biases

    def losses(self, inputs: Tensor, classes: Tensor) -> Tensor:
        """Cross-entropy of each run."""
        return _losses(self.logits(inputs), classes.expand(N_RUNS, -1))

    def fit_epoch(self, inputs: Tensor, classes: Tensor) -> None:
        orders = torch.stack(
            [torch.randperm(len(classes), generator=self.generator) for _ in range(N_RUNS)]
        )
        for rows in torch.split(orders, BATCH_SIZE, dim=1):
            self.optimizer.param_groups[0]["lr"] = LEARNING_RATE / (1 + DECAY * self.n_steps)
            self.optimizer.zero_grad()
            logits = inputs[rows] @ self.weights + self.biases  # (R, B, D) -> (R, B, C)
            _losses(logits, classes[rows]).sum().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.n_steps += 1


def _losses(logits: Tensor, classes: Tensor) -> Tensor:
    """(runs, n, n_classes) and (runs, n) -> the mean over the clips of each run."""
    return functional.cross_entropy(logits.transpose(1, 2), classes, reduction="none").mean(1)


# One prediction of the test clips for each run.
CLASSIFIERS: dict[Classifier, Callable[[Clips], list[Classes]]] = {
    "vote": predict_by_vote,
    "svm": predict_by_svm,
    "softmax": predict_by_softmax,
}
