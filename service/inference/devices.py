"""Devices: which GPUs there are, and what is done on each of them at the same time."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import onnxruntime as ort

log = logging.getLogger("tasteprint")

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# The exhaustive search takes 20 times as long on each new batch size; TF32 keeps 10 bits of 23.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}

Providers = list[str | tuple[str, dict[str, str]]]
T = TypeVar("T")


def gpus() -> list[Providers]:
    """The providers of each; asked for where there is none, CUDA prints an alarming error.

    CUDA_VISIBLE_DEVICES chooses among them, and numbers them anew: the driver sees to that.
    """
    count = cuda_devices() if CUDA in ort.get_available_providers() else 0
    if count:
        ort.preload_dlls()
    return [[(CUDA, CUDA_OPTIONS | {"device_id": str(device)}), CPU] for device in range(count)]


def cuda_devices() -> int:
    """Number of CUDA devices that the driver sees; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


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
