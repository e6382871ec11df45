"""ONNX Runtime I/O binding: runs with inputs and outputs bound in advance.

Between host memory and a GPU, a bound and a plain run both copy once in and once out. A plain run
copies in on its own stream and without Python's lock (GIL), a bound run copies before it starts and
holds the lock. So `is_faster` measures on this machine. On a CPU neither run copies, and both take
the same time.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from models.audio.window_choice import Samples

# Less than `benchmark.MIN_GAIN`: both runs give identical bits, so that another choice at
# another start only changes speed by a few per cent. Above 1 because of the lock that is held.
MIN_BINDING_GAIN = 1.05


def run_bound(
    session: ort.InferenceSession, output_names: list[str], input_name: str, inputs: Samples
) -> list[Samples]:
    """Run with I/O binding; the outputs of those names.

    A binding serves one run, since several threads cannot share one.

    The outputs are bound without a shape, since the shape changes with the batch size.
    """
    binding = session.io_binding()
    # Host memory has been copied when this returns. No `synchronize_inputs`: it waits for all work
    # on the device, whoever started it.
    binding.bind_cpu_input(input_name, np.ascontiguousarray(inputs))
    for output_name in output_names:
        binding.bind_output(output_name)  # to the host
    session.run_with_iobinding(binding)
    return [np.asarray(values) for values in binding.copy_outputs_to_cpu()]
