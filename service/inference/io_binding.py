"""Binding: a run whose inputs and outputs onnxruntime is told of beforehand.

From host memory to a GPU and back, both ways copy once in and once out. A plain run copies in on
its own stream and without Python's lock, a bound one before it starts and with the lock; so it must
earn its place on the machine at hand. On a CPU neither copies, and both take the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples

# Runs each way; the least counts. And what a bound run must gain for the lock that it holds.
RUNS = 3
LEAST_GAIN = 1.05


def run_plain(
    session: ort.InferenceSession, outputs: list[str], name: str, inputs: Samples
) -> list[Samples]:
    """The outputs of those names, for the only input."""
    return [np.asarray(each) for each in session.run(outputs, {name: inputs})]


def run_bound(
    session: ort.InferenceSession, outputs: list[str], name: str, inputs: Samples
) -> list[Samples]:
    """Likewise, by a binding of this run alone: one is not for several threads.

    The outputs are bound without a shape, as that is another one with each batch.
    """
    binding = session.io_binding()
    # What is on the host has been copied when this returns. No `synchronize_inputs`: it waits for
    # all that goes on on the device, whoever started it.
    binding.bind_cpu_input(name, np.ascontiguousarray(inputs))
    for output in outputs:
        binding.bind_output(output)  # to the host
    session.run_with_iobinding(binding)
    return [np.asarray(each) for each in binding.copy_outputs_to_cpu()]


def pays(plain: Callable[[], object], bound: Callable[[], object]) -> bool:
    """Whether bound runs are quicker by as much as they must be."""
    return _least_s(plain) > _least_s(bound) * LEAST_GAIN


def _least_s(run: Callable[[], object]) -> float:
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        took.append(time.perf_counter() - started)
    return min(took)
