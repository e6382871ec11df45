"""Devices: what is done on each of them, at the same time; one that cannot is left out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

log = logging.getLogger("tasteprint")

T = TypeVar("T")


def on_each(count: int, prepare: Callable[[int], T], name: str) -> list[T]:
    """What `prepare` makes of each device, in their order, without those on which it fails.

    Parameters
    ----------
    count : devices, at least one
    name : of the model, for the log

    Raises
    ------
    Exception
        The first device's, where it fails on all of them.
    """
    with ThreadPoolExecutor(count, thread_name_prefix=f"prepare-{name}") as threads:
        started = [threads.submit(prepare, device) for device in range(count)]
    made: list[T] = []
    for device, each in enumerate(started):
        if (error := each.exception()) is None:
            made.append(each.result())
        elif count > 1:
            log.error("model %s is not on device %d: %s", name, device, error)
    return made or [started[0].result()]  # which raises
