"""CUDA devices: their number, their execution providers, and a parallel map over them."""

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


def list_gpus() -> list[Providers]:
    """The execution providers of each GPU; empty without a GPU.

    The driver is queried first, since onnxruntime prints an alarming error if CUDA is requested
    without a device. The driver applies CUDA_VISIBLE_DEVICES, which selects and renumbers devices.
    """
    count = count_cuda_devices() if CUDA in ort.get_available_providers() else 0
    if count:
        ort.preload_dlls()
    return [[(CUDA, CUDA_OPTIONS | {"device_id": str(device)}), CPU] for device in range(count)]


def count_cuda_devices() -> int:
    """Number of CUDA devices that the driver sees; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def for_each_device(count: int, prepare: Callable[[int], T], model_name: str) -> list[T]:
    """Call `prepare` for every device in parallel; the results in order, without failed devices.

    Parameters
    ----------
    count : number of devices, at least one
    model_name : for the log

    Raises
    ------
    Exception
        The first device's error, if all devices fail.
    """
    with ThreadPoolExecutor(count, thread_name_prefix=f"prepare-{model_name}") as threads:
        futures = [threads.submit(prepare, device) for device in range(count)]
    results: list[T] = []
    for device, future in enumerate(futures):
        if (error := future.exception()) is None:
            results.append(future.result())
        elif count > 1:
            log.error("model %s is not on device %d: %s", model_name, device, error)
    return results or [futures[0].result()]  # raises
