"""Output similarity: cosine for embeddings, agreement in magnitude for other outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.similarity import agreement, cosine, output_agreement

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.standard_normal((2, 1, 40)).astype(np.float32)
ZERO, NAN = np.zeros(3, np.float32), np.full(3, np.nan, np.float32)


@pytest.mark.parametrize("measure", [cosine, agreement])
def test_zeros_agree_only_with_zeros_and_nan_with_nothing(measure: Callable[..., float]) -> None:
    assert measure(ONE, ONE) == pytest.approx(1, abs=1e-12)
    assert measure(ONE, -ONE) == pytest.approx(-1)
    assert measure(ZERO, ZERO) == 1
    assert measure(ZERO, ZERO + 1) == measure(ZERO + 1, ZERO) == -1
    assert measure(NAN, NAN) == measure(ZERO + 1, NAN) == measure(NAN, ZERO) == -1


def test_vectors_of_one_length_agree_as_their_cosine_says() -> None:
    alike = OTHER * np.linalg.norm(ONE) / np.linalg.norm(OTHER)
    assert agreement(ONE, alike) == pytest.approx(cosine(ONE, OTHER), abs=1e-6)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2.0])
def test_only_a_cosine_is_blind_to_size(factor: float) -> None:
    lost = (factor + 1 / factor - 2) / 2
    assert cosine(ONE, factor * ONE) == pytest.approx(1)
    for name, whole in (("embedding", 1), ("features", 1), ("probabilities", 1 - lost)):
        assert output_agreement(name, ONE, factor * ONE) == pytest.approx(whole)
    assert output_agreement("values", ONE, factor * OTHER) < cosine(ONE, OTHER)


def test_single_values_are_told_apart() -> None:
    one, near, far = (np.array([[value]], np.float32) for value in (0.5, 0.51, 5.0))
    assert cosine(one, far) == 1
    assert 0.999 < agreement(one, near) < 1
    assert agreement(one, far) == agreement(far, one) < 0
    assert agreement(one, np.array([[1e30]], np.float32)) == -1
