"""Prepared sets of an evaluation: the same tracks, heard as each of several audio inputs needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle
from models.card import AudioInput
from training.audio.patch_cutting import can_cut, cut_patches
from training.audio.prepared_sets import ClipFolder, load_sets
from training.audio.windows import Prepared
from training.errors import MissingAudioInput, OtherAudio
from training.estimator.mel_baseline import mel_statistics
from training.networks.bundle_outputs import bundle_outputs
from training.networks.inference import Track

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """The folders of one audio input, their windows joined.

    Attributes
    ----------
    positions : (n_tracks,), of each track of the evaluation among the joined tracks
    """

    folders: tuple[ClipFolder, ...]
    joined: Prepared
    positions: NDArray[np.int64]

    @property
    def audio(self) -> AudioInput:
        return self.joined.audio

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Row of each track of the evaluation in `joined.windows`, shape (n_tracks,)."""
        return np.asarray(self.joined.tracks["row"], np.int64)[self.positions]

    def cut(self, audio: AudioInput) -> Heard:
        """The folders as an encoder of that input hears them, see `cut_patches`."""
        folders = tuple(folder.cut(audio) for folder in self.folders)
        return replace(self, folders=folders, joined=cut_patches(self.joined, audio))

    def of_folders(self, compute: Callable[[ClipFolder], Array]) -> Array:
        """What is computed for the tracks of each folder, in the order of the evaluation."""
        return np.concatenate([compute(folder) for folder in self.folders])[self.positions]


@dataclass(frozen=True)
class EvaluationSets:
    """Tracks of several sets, and their windows for one or several audio inputs.

    Attributes
    ----------
    tracks : `track_id`, `item_id`, `artist` and `set`, of the tracks that every audio input has
    heard : one entry for each audio input
    """

    tracks: pd.DataFrame
    heard: tuple[Heard, ...]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> EvaluationSets:
        """Load prepared folders; those of one name are one set, decoded for several encoders.

        Raises
        ------
        MissingInput, OtherSets
        MissingAudioInput
            Where a set was not decoded for every audio input of the others.
        """
        by_audio: dict[AudioInput, list[ClipFolder]] = {}
        for path in paths:
            folder = ClipFolder(path, Prepared.load(path))
            by_audio.setdefault(folder.prepared.audio, []).append(folder)
        _require_same_sets(list(by_audio.values()))
        joined = [load_sets([folder.folder for folder in group]) for group in by_audio.values()]
        keys = [pd.MultiIndex.from_frame(sets.tracks[["set", "track_id"]]) for sets in joined]
        common = np.logical_and.reduce([keys[0].isin(key) for key in keys])
        tracks = joined[0].tracks.loc[common, ["track_id", "item_id", "artist", "set"]]
        heard = tuple(
            Heard(tuple(folders), sets, key.get_indexer(keys[0][common]))
            for folders, sets, key in zip(by_audio.values(), joined, keys, strict=True)
        )
        return cls(tracks.reset_index(drop=True), heard)

    def heard_as(self, audio: AudioInput, model: str) -> Heard:
        """The windows for a model; without a folder of its patches, whole windows are cut.

        Raises
        ------
        OtherAudio
        """
        for heard in sorted(self.heard, key=lambda heard: heard.audio != audio):
            if can_cut(heard.audio, audio):
                return heard.cut(audio)
        raise OtherAudio(self.heard[0].audio, model, audio)

    def mel_statistics(self, track: Track) -> Array:
        """Of the audio input that hears most of a track, shape (n_tracks, 288)."""
        longest = max(
            self.heard, key=lambda heard: heard.audio.input_samples / heard.audio.sample_rate
        )
        return longest.of_folders(
            lambda folder: mel_statistics(folder.prepared, folder.folder, track)[folder.rows]
        )

    def outputs(self, bundle: Bundle, name: str, track: Track) -> Array:
        """An output of an encoder for every track, shape (n_tracks, dim).

        Raises
        ------
        OtherAudio
        """
        heard = self.heard_as(bundle.card.audio, bundle.card.name)
        return heard.of_folders(lambda folder: bundle_outputs(bundle, folder, track)[name])


def _require_same_sets(groups: Sequence[Sequence[ClipFolder]]) -> None:
    for group in groups[1:]:
        first, other = (sorted(f.folder.name for f in folders) for folders in (groups[0], group))
        if first != other:
            raise MissingAudioInput(first, other)
