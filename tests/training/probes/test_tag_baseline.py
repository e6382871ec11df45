"""Baseline of tags: fitted on mel statistics of the other folds alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.probes.tag_baseline import baseline_probabilities


def tracks_of(n_tracks: int, n_artists: int = 60) -> pd.DataFrame:
    artists = [f"artist {index % n_artists}" for index in range(n_tracks)]
    return pd.DataFrame({"track_id": [f"{index}" for index in range(n_tracks)], "artist": artists})


def test_the_baseline_learns_labels_that_mel_statistics_tell() -> None:
    rng = np.random.default_rng(0)
    mel = rng.normal(size=(300, 5)).astype(np.float32)
    targets = np.stack([mel[:, 0] > 0.5, rng.uniform(size=300) > 0.5, mel[:, 1] > 9], 1)
    folds, tracks = np.arange(300) % 60 % 3, tracks_of(300)
    found = baseline_probabilities(mel, targets.astype(np.float32), tracks, folds, seed=0)
    heard, noise, absent = found.T
    assert heard[targets[:, 0]].min() > heard[~targets[:, 0]].mean()
    assert np.corrcoef(heard, targets[:, 0])[0, 1] > 0.8
    assert abs(np.corrcoef(noise, targets[:, 1])[0, 1]) < 0.3
    assert not absent.any()  # the label's share of the other folds


def test_a_folds_own_labels_do_not_enter_its_baseline() -> None:
    rng = np.random.default_rng(1)
    mel = rng.normal(size=(240, 5)).astype(np.float32)
    targets = (mel[:, :1] + rng.normal(size=(240, 1)) > 0).astype(np.float32)
    folds, tracks = np.arange(240) % 60 % 3, tracks_of(240)
    found = baseline_probabilities(mel, targets, tracks, folds, seed=0)
    changed = np.where(folds[:, None] == 0, 1 - targets, targets).astype(np.float32)
    again = baseline_probabilities(mel, changed, tracks, folds, seed=0)
    np.testing.assert_array_equal(found[folds == 0], again[folds == 0])
    assert (found[folds == 1] != again[folds == 1]).any()


def test_unknown_labels_do_not_enter_the_baseline() -> None:
    rng = np.random.default_rng(2)
    mel = rng.normal(size=(240, 5)).astype(np.float32)
    targets = (mel[:, :1] > 0).astype(np.float32)
    targets[::4] = np.nan
    folds, tracks = np.arange(240) % 60 % 3, tracks_of(240)
    found = baseline_probabilities(mel, targets, tracks, folds, seed=0)
    assert np.isfinite(found).all()
    assert np.corrcoef(found[:, 0], mel[:, 0] > 0)[0, 1] > 0.8
