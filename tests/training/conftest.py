"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.training.networks.tiny_encoder import ENTRIES
from training.networks.registry import ENCODERS


@pytest.fixture(scope="module")
def tiny_encoders() -> Iterator[None]:
    """The tiny encoders of `tiny_encoder` in the registry, while the tests of a module run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, entry in ENTRIES.items():
            patch.setitem(ENCODERS, name, entry)
        yield
