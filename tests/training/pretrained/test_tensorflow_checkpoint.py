"""TensorFlow checkpoints are read by name and shape, and damaged ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.pretrained.checkpoints import checkpoint, entry, table
from training.errors import BadCheckpoint
from training.pretrained.tensorflow_checkpoint import read_variables

VARIABLES = {
    "conv2d/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv2d/bias": np.array([1.5, -2.5], np.float32),
    "step": np.array(7, np.float32),
}


def test_variables_have_their_names_shapes_and_numbers() -> None:
    found = read_variables(*checkpoint(VARIABLES))
    assert found.keys() == VARIABLES.keys()
    for name, values in VARIABLES.items():
        np.testing.assert_array_equal(found[name], values)


def test_variables_of_other_types_are_left_out() -> None:
    values = VARIABLES["conv2d/bias"]
    rows = {b"a": entry(values, 0), b"b": entry(values, 0, dtype=3)}
    assert read_variables(table(rows), values.tobytes()).keys() == {"a"}


@pytest.mark.parametrize("n_bytes", [0, 20, 47, 100])
def test_a_truncated_index_is_refused(n_bytes: int) -> None:
    index, data = checkpoint(VARIABLES)
    with pytest.raises(BadCheckpoint, match="damaged"):
        read_variables(index[:n_bytes], data)


def test_a_truncated_data_file_is_refused() -> None:
    index, data = checkpoint(VARIABLES)
    with pytest.raises(BadCheckpoint, match="ends at byte"):
        read_variables(index, data[:-4])


def test_a_compressed_index_is_refused() -> None:
    values = VARIABLES["conv2d/bias"]
    with pytest.raises(BadCheckpoint, match="compressed"):
        read_variables(table({b"a": entry(values, 0)}, b"\1"), values.tobytes())
