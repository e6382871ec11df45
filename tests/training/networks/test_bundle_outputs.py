"""Outputs that are kept beside prepared windows are those of the windows that are there now."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from tests.bundles import write_bundle
from tests.training.evaluation.world import make_windows, write_prepared
from training.audio.decoding import FULL_SCALE
from training.audio.prepared_sets import ClipFolder
from training.audio.shards import WINDOWS
from training.audio.windows import Prepared
from training.networks.bundle_outputs import bundle_outputs


def test_outputs_of_windows_that_were_decoded_again_are_computed_again(tmp_path: Path) -> None:
    tracks = pd.DataFrame({"track_id": ["t"], "item_id": ["i"], "artist": ["a"]})
    rng = np.random.default_rng(0)
    quiet, loud = (make_windows(np.full((1, 4), level), rng) for level in (0.1, 0.4))
    folder = write_prepared(tmp_path / "set", tracks, quiet)
    bundle = write_bundle(tmp_path / "models", "levels")
    calls: list[str] = []

    def features() -> float:
        def track(label: str, starts: list[int]) -> list[int]:
            calls.append(label)
            return starts

        data = ClipFolder(folder, Prepared.load(folder))
        return float(bundle_outputs(bundle, data, track)["features"][0, 0])

    first = features()
    assert features() == first
    assert len(calls) == 1
    np.save(folder / WINDOWS, np.rint(loud * FULL_SCALE).astype(np.int16))
    later_ns = (folder / WINDOWS).stat().st_mtime_ns + 10**9
    os.utime(folder / WINDOWS, ns=(later_ns, later_ns))
    assert features() > 1.5 * first
    assert len(calls) == 2
