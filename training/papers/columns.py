"""Columns of a table: outputs of encoders, of bundles or runs, for every patch of clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.card import AudioInput
from training.errors import BadEncoder, HeardArtists
from training.evaluation.judged import read_encoder
from training.evaluation.sets import EvaluationSets
from training.export.reload import load_network_from_bundle
from training.fitting.settings import KIND
from training.fitting.trainer import BEST
from training.networks.base import Encoder, even_patches
from training.networks.bundle_outputs import Decoded, is_current, save_outputs
from training.networks.inference import Track, run_over_rows
from training.objectives.clips import TRAIN
from training.objectives.run import load_clips
from training.preference.train import load_network as load_preference
from training.similarity.train import load_network as load_similarity
from training.tagging.train import load_network as load_tagging

FOLD = "{fold}"
CARD = "card.json"
Vectors = NDArray[np.float32]
LOADERS: Mapping[str, Callable[[Path], tuple[Encoder, object]]] = {
    "similarity": load_similarity,
    "tagging": load_tagging,
    "preference": load_preference,
}


@dataclass(frozen=True)
class Output:
    """An output of the encoder in a folder: a bundle, or a run; `{fold}` is the held-out fold."""

    folder: str
    name: str

    def of_fold(self, fold: int) -> Path:
        return Path(self.folder.replace(FOLD, str(fold)))


@dataclass(frozen=True)
class Column:
    """A column of a table: outputs that are joined."""

    name: str
    outputs: tuple[Output, ...]

    @classmethod
    def parse(cls, text: str) -> Column:
        """Read `NAME=FOLDER:OUTPUT+FOLDER:OUTPUT`; without an output, the features."""
        name, _, stated = text.partition("=")
        parts = [part.strip().rpartition(":") for part in stated.split("+")]
        # Without a colon the whole text is in the last place.
        outputs = [
            Output(folder, output) if folder else Output(output, "features")
            for folder, _, output in parts
        ]
        if not name.strip() or not all(output.folder for output in outputs):
            raise BadEncoder(repr(text), "is no column; write NAME=FOLDER:OUTPUT+FOLDER:OUTPUT")
        return cls(name.strip(), tuple(outputs))


@dataclass(frozen=True)
class Source:
    """The encoder of a bundle or run, its identity, and the artists that a run has trained on."""

    folder: Path
    network: Encoder
    digest: str
    heard: frozenset[str] = frozenset()

    @classmethod
    def load(cls, folder: Path) -> Source:
        """
        Raises
        ------
        MissingInput, BundleError, BadEncoder
        """
        if (folder / CARD).is_file():
            bundle = read_encoder(folder)
            return cls(folder, load_network_from_bundle(bundle), bundle.digest)
        kind = (folder / KIND).read_text().strip() if (folder / KIND).is_file() else "similarity"
        if kind not in LOADERS:
            raise BadEncoder(str(folder), f"is a run of {kind}; give one of {', '.join(LOADERS)}")
        network, _ = LOADERS[kind](folder)
        clips = load_clips(folder)
        heard = frozenset(clips.loc[clips["part"] == TRAIN, "artist"])
        digest = hashlib.sha256((folder / BEST).read_bytes()).hexdigest()
        return cls(folder, network, digest, heard)

    @property
    def audio(self) -> AudioInput:
        """The audio input with as many of the encoder's patches as a window has room for."""
        audio = self.network.audio
        patch_s = audio.patches.seconds if audio.patches else audio.window_s
        count = int(audio.window_s / patch_s + 1e-9)
        patches = even_patches(count, patch_s, audio.window_s)
        return audio.model_copy(update={"patches": patches})

    def refuse_heard(self, artists: pd.Series) -> None:
        """
        Raises
        ------
        HeardArtists
            If the run has trained on one of these artists, by their keys.
        """
        common = sorted(self.heard & set(artists) - {""})
        if common:
            raise HeardArtists(self.folder, len(common), common[0])


def patch_vectors(source: Source, name: str, sets: EvaluationSets, track: Track) -> Vectors:
    """An output for each patch of each clip, shape (n_clips, n_patches, dim).

    Outputs are kept in the prepared folders.

    Raises
    ------
    OtherAudio
    BadEncoder
        If the encoder has no such output.
    """
    names = ("embedding", "features", *source.network.levels)
    if name not in names:
        raise BadEncoder(str(source.folder), f"has no output {name!r}; choose of {names}")
    heard = sets.heard_as(source.audio, source.folder.name)
    return heard.of_folders(lambda folder: _of_folder(source, folder, track)[name])


def _of_folder(source: Source, data: Decoded, track: Track) -> dict[str, Vectors]:
    path = data.folder / f"every-patch-{source.digest[:16]}.npz"
    if not is_current(path, data):
        network, audio = source.network.eval(), source.audio
        front_end = network.make_front_end()

        def forward(waveforms: Vectors) -> list[Vectors]:
            patches = torch.from_numpy(waveforms.reshape(-1, audio.patch_samples))
            with torch.inference_mode():
                outputs = network.forward_with_levels(front_end(patches))
            shape = len(waveforms), len(audio.patch_starts), -1
            return [output.numpy().reshape(shape) for output in outputs]

        label = source.folder.name
        outputs = run_over_rows(forward, data.prepared, data.rows, label=label, track=track)
        names = ("embedding", "features", *network.levels)
        save_outputs(path, data, dict(zip(names, outputs, strict=True)))
    return {name: values for name, values in np.load(path).items() if name != "rows"}
