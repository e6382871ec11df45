"""The planted world, its factorisation on the disk, and a recommender on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.recommender.factors import Factors
from tests.examples.world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World.plant()


@pytest.fixture(scope="session")
def factors_folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("factors")
    world.factorization.save(folder)
    return folder


@pytest.fixture(scope="session")
def factors(factors_folder: Path) -> Factors:
    return Factors.load(factors_folder)
