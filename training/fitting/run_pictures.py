"""Pictures of a finished run: losses, and what the best network makes of the validation clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from training.fitting.curves import draw_curves
from training.fitting.dataset import Loader
from training.fitting.space_figures import MAX_CLIPS, draw_space
from training.fitting.trainer import AudioModule, load_best

# Columns of a manifest whose groups are coloured.
GROUPS = ("artist", "genre")


def draw_run(
    module: AudioModule,
    validation: Loader,
    out: Path,
    tracks: pd.DataFrame,
    targets: NDArray[np.float32] | None = None,
) -> None:
    """Draw losses, map, neighbours and cosines into the run's folder, in one process of DDP.

    Parameters
    ----------
    validation : its data set's items begin with the window
    tracks : of the items, `track_id` and any of `GROUPS`
    targets : what the embeddings are to be, shape (n_clips, dim)
    """
    if not module.trainer.is_global_zero:
        return
    draw_curves(out)
    load_best(module, out)
    n_clips = len(tracks)
    clips = np.unique(np.linspace(0, n_clips - 1, min(n_clips, MAX_CLIPS)).astype(np.int64))
    shown = tracks.iloc[clips]
    draw_space(
        out,
        shown["track_id"].to_numpy(str),
        _embed(module, validation, clips),
        {name: shown[name].fillna("").to_numpy(str) for name in GROUPS if name in shown},
        None if targets is None else targets[clips],
    )


def _embed(module: AudioModule, loader: Loader, clips: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embeddings of some items of the loader's data set, shape (n, dim)."""
    module = module.eval()
    size = loader.batch_size or 1
    batches = []
    with torch.inference_mode():
        for start in range(0, len(clips), size):
            windows = [loader.dataset[int(clip)][0] for clip in clips[start : start + size]]
            embedded = module(torch.stack(windows).to(module.device)).embedding
            batches.append(embedded.cpu().numpy())
    return np.concatenate(batches)
