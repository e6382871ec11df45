"""CF space: the identity of vectors of users and items that were made together."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def digest_of(
    items: pd.Index, item_vectors: NDArray[np.float32], user_vectors: NDArray[np.float32]
) -> str:
    """SHA-256 over the item ids and the float32 bytes of item and user vectors.

    Vectors of two spaces have nothing in common, also of the same logs: vectors are determined up
    to a rotation at best, which initialisation and settings choose. The digest is of the content
    alone. The same logs and settings give the same digest on one machine; another CPU may round the
    vectors differently, and give another one.
    """
    digest = hashlib.sha256(json.dumps([str(item) for item in items]).encode())
    for vectors in (item_vectors, user_vectors):
        digest.update(str(vectors.shape).encode())
        digest.update(np.ascontiguousarray(vectors, "<f4").tobytes())
    return digest.hexdigest()
