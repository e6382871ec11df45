"""What tests share: synthesised files in every format, and one running service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Service, running
from tests.sounds import FORMATS, golden, write


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", help="Folder to write the pictures of the page to.")


def pytest_xdist_auto_num_workers() -> int:
    """Of `--numprocesses auto`: one more than cores, as some tests wait for a time to pass."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Training first: its files take longest, and the last ones should be short."""
    items.sort(key=lambda item: "tests/training/" not in item.nodeid)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The golden clip by format: 34 s, so that the middle 30 s are not all of it."""
    folder = tmp_path_factory.mktemp("clips")
    sound = golden(34.0)
    return {kind: write(folder / f"golden.{kind}", sound) for kind in FORMATS}


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, quick to decode."""
    return write(tmp_path_factory.mktemp("short") / "short.wav", golden(3.0, 16_000, 1), 16_000)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with the shipped models, without Redis; files up to 20 MB."""
    output = tmp_path_factory.mktemp("service") / "log"
    with running(output, decode_workers=2, max_upload_bytes=20 << 20) as service:
        yield service
