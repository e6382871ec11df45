"""Patches cut from prepared whole windows: one decoded folder serves encoders of any patches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio.spans import patch_starts
from models.card import AudioInput
from training.audio.shards import Windows
from training.audio.windows import Prepared


class CutPatches:
    """Patches of whole windows, cut when a row is read: int16, shape (n_rows, input_samples).

    Parameters
    ----------
    starts : first sample of each patch in its window, shape (n_rows, n_patches)
    """

    def __init__(self, windows: Windows, starts: NDArray[np.int64], patch_samples: int) -> None:
        self.windows, self.starts, self.patch_samples = windows, starts, patch_samples
        self.shape = len(windows), starts.shape[1] * patch_samples

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.int16]:
        """One row, shape (input_samples,), or the rows of an array of indices."""
        if np.ndim(rows):
            cut = np.empty((len(rows), self.shape[1]), np.int16)
            for index, row in enumerate(rows):
                cut[index] = self[row]
            return cut
        window = self.windows[rows]
        return np.concatenate(
            [window[start : start + self.patch_samples] for start in self.starts[rows]]
        )


def can_cut(found: AudioInput, audio: AudioInput) -> bool:
    """Whether windows of the input `found` are what `audio` takes, or hold its patches."""
    return found in (audio, audio.model_copy(update={"patches": None}))


def cut_patches(prepared: Prepared, audio: AudioInput) -> Prepared:
    """Prepared windows as an encoder of that input hears them, by `can_cut`.

    Whole windows are cut where the service takes the patches: in audio that is shorter than the
    window they are closer together.
    """
    if prepared.audio == audio:
        return prepared
    # Rows of refused tracks are in no table, and are never read.
    starts = np.tile(np.array(audio.patch_starts), (len(prepared.windows), 1))
    tracks = prepared.tracks
    for row, heard_s in zip(tracks["row"], tracks["duration_s"].astype(float), strict=True):
        if heard_s < audio.window_s:
            starts[row] = patch_starts(audio, round(heard_s * audio.sample_rate))
    return Prepared(CutPatches(prepared.windows, starts, audio.patch_samples), tracks, audio)
