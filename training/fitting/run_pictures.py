"""Pictures of a finished run: losses, and what the best network makes of the validation clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from training.audio.patch_cutting import cut_patches
from training.audio.windows import Prepared
from training.fitting.curves import draw_curves
from training.fitting.space_figures import MAX_CLIPS, draw_space
from training.fitting.trainer import AudioModule, load_best

# Columns of tracks whose groups are coloured, where any is known.
GROUPS = ("artist", "genre", "label")


def draw_run(
    module: AudioModule,
    prepared: Prepared,
    clips: pd.DataFrame,
    out: Path,
    *,
    batch_size: int,
    targets: NDArray[np.float32] | None = None,
) -> None:
    """Draw losses, map, neighbours and cosines into the run's folder, in one process of DDP.

    The module has the weights of the best checkpoint afterwards, and is in evaluation mode.

    Parameters
    ----------
    module : fitted; its outputs have an `embedding`
    prepared : windows from which the network's patches can be cut, or these patches
    clips : of the validation part: `track_id`, `row` and any of `GROUPS`
    targets : what the embeddings are to be, shape (n_clips, dim)
    """
    if not module.trainer.is_global_zero:
        return
    draw_curves(out)
    load_best(module, out)
    shown = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), MAX_CLIPS)).astype(np.int64))
    clips = clips.iloc[shown]
    groups = {name: clips[name].fillna("").to_numpy(str) for name in GROUPS if name in clips}
    draw_space(
        out,
        clips["track_id"].to_numpy(str),
        _embed(module, prepared, clips["row"].tolist(), batch_size),
        {name: group for name, group in groups.items() if (group != "").any()},
        None if targets is None else targets[shown],
    )


def _embed(
    module: AudioModule, prepared: Prepared, rows: Sequence[int], batch_size: int
) -> NDArray[np.float32]:
    """Embeddings of whole windows, shape (n, dim)."""
    module, windows = module.eval(), cut_patches(prepared, module.audio).windows
    batches = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = np.stack([windows[row] for row in rows[start : start + batch_size]])
            embedded = module(torch.from_numpy(batch).to(module.device)).embedding
            batches.append(embedded.cpu().numpy())
    return np.concatenate(batches)
