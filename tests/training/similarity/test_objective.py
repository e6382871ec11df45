"""The hinge loss on cosines, against a reference in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.networks.base import Encoded
from training.similarity.objective import ConceptHinge

BATCH, DIM, NEGATIVES = 5, 7, 3
MARGINS = {"artist": 0.4, "album": 0.25, "track": 0.1}


def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def hinge(group: NDArray[np.float64], margin: float) -> float:
    """Of one group: anchor, positive, negatives, shape (2 + N, dim)."""
    positive = cosine(group[0], group[1])
    return sum(max(0.0, margin - positive + cosine(group[0], other)) for other in group[2:])


def encode(n_concepts: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(BATCH, n_concepts * (2 + NEGATIVES), DIM))
    vectors[:, 1] = vectors[:, 0] + 0.3 * vectors[:, 1]  # some positives are near
    return vectors


@pytest.mark.parametrize("names", [("artist",), ("track",), ("artist", "album", "track")])
def test_the_loss_of_a_group_is_the_reference(names: tuple[str, ...]) -> None:
    margins = {name: MARGINS[name] for name in names}
    vectors = encode(len(names))
    embedding = torch.from_numpy(vectors)
    judged = ConceptHinge(margins, NEGATIVES)(Encoded(embedding, embedding))
    assert list(judged.losses) == list(names)
    for index, group in enumerate(vectors):
        for name, part in zip(names, np.split(group, len(names)), strict=True):
            assert float(judged.losses[name][index]) == pytest.approx(hinge(part, MARGINS[name]))
            cosines = [cosine(part[0], other) for other in part[1:]]
            is_found = float(cosines[0] > max(cosines[1:]))
            assert float(judged.measures[f"found/{name}"][index]) == is_found


def test_the_loss_does_not_depend_on_the_lengths_of_vectors() -> None:
    embedding = torch.from_numpy(encode(1))
    objective = ConceptHinge({"artist": 0.4}, NEGATIVES)
    first = objective(Encoded(embedding, embedding)).losses["artist"]
    scaled = embedding * torch.linspace(0.1, 9, embedding.shape[1])[:, None]
    torch.testing.assert_close(objective(Encoded(scaled, scaled)).losses["artist"], first)


def test_a_positive_beyond_the_margin_costs_nothing() -> None:
    group = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    judged = ConceptHinge({"artist": 0.4}, 2)(Encoded(group, group))
    assert float(judged.losses["artist"]) == 0
    judged = ConceptHinge({"artist": 1.5}, 2)(Encoded(group, group))
    assert float(judged.losses["artist"]) == pytest.approx(0.5)

    assert ConceptHinge.sums  # the batch too
