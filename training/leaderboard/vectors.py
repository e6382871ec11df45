"""Vectors of an entry for the tracks of a task, computed once for each folder and kept there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from training.errors import BadDataset, BadEncoder, HeardTask
from training.evaluation.judged import read_encoder
from training.leaderboard.entries import FOLD, Entry, Part
from training.leaderboard.listeners import LISTENERS
from training.leaderboard.tasks import Array, JudgedTask
from training.networks.bundle_outputs import Decoded, Outputs, is_current, save_outputs
from training.networks.inference import Track, run_over_rows
from training.networks.registry import class_of_card
from training.networks.waveform import encode_patches
from training.transfer.encoder_outputs import gather_statistics, statistics_crops

# Length of the crops that batch norms get their statistics from.
STATISTICS_S = 3.0


@dataclass(frozen=True)
class Input:
    """A part of an entry, with its bundle for one fold; None for mel statistics."""

    part: Part
    bundle: Bundle | None

    def describe(self, seed: int) -> str:
        """Identity of the vectors: source, output and bundle."""
        if self.bundle is None:
            return self.part.source
        source = f"untrained, seed {seed}" if self.part.source == "untrained" else "trained"
        return f"{source}: {self.part.output} of {self.bundle.digest}"


def find_inputs(entry: Entry, task: JudgedTask, fold: int) -> list[Input] | None:
    """The inputs that an entry may be judged by on a fold; None where its weights have heard it.

    Raises
    ------
    BundleError, BadEncoder, HeardTask
    BadDataset
        If the entry takes mel statistics, and the task has no whole windows.
    """
    inputs = []
    for part in entry.parts:
        if part.source == "mel statistics":
            _require_whole_windows(task)
            inputs.append(Input(part, None))
            continue
        folder = part.bundle_for(task.name, fold, is_dealt=task.is_dealt)
        if folder is None:
            return None
        bundle = _read(folder)
        _require_output(bundle, part)
        if part.source == "bundle":
            _require_unheard(entry, task, part, bundle)
        inputs.append(Input(part, bundle))
    return inputs


def vectors_of(inputs: Sequence[Input], task: JudgedTask, seed: int, track: Track) -> Array:
    """The outputs of all parts, concatenated, float32, shape (n_tracks, dim).

    Raises
    ------
    OtherAudio
        If the task is not decoded for a bundle.
    """
    return np.concatenate([_part_vectors(found, task, seed, track) for found in inputs], axis=1)


def _part_vectors(found: Input, task: JudgedTask, seed: int, track: Track) -> Array:
    bundle, part = found.bundle, found.part
    if bundle is None:
        return task.sets.mel_statistics(track)
    if part.source == "bundle":
        return task.sets.outputs(bundle, part.output, track)
    heard = task.sets.heard_as(bundle.card.audio, bundle.card.name)
    return heard.of_folders(
        lambda folder: untrained_outputs(bundle, folder, seed, track)[part.output]
    )


def untrained_outputs(source: Bundle, data: Decoded, seed: int, track: Track) -> Outputs:
    """Every output of a bundle's network with random weights: name → float32, (n_tracks, dim).

    The batch norms have the statistics of crops of these tracks, without which some let nothing
    through. No label is used.
    """
    path = data.folder / f"untrained-{source.digest[:16]}-s{seed}.npz"
    if not is_current(path, data):
        torch.manual_seed(seed)
        network = class_of_card(source.card).from_card(source.card)
        crop_samples = network.crop_samples(min(STATISTICS_S, network.audio.window_s))
        gather_statistics(network, statistics_crops(data, crop_samples))
        network.eval()
        front_end = network.make_front_end()

        def forward(waveforms: Array) -> list[NDArray[np.float32]]:
            with torch.inference_mode():
                batch = torch.from_numpy(waveforms)
                outputs = encode_patches(network, front_end, batch, levels=True)
                return [output.numpy() for output in outputs]

        label = f"untrained {source.card.name}"
        outputs = run_over_rows(forward, data.prepared, data.rows, label=label, track=track)
        names = ("embedding", "features", *network.levels)
        save_outputs(path, data, dict(zip(names, outputs, strict=True)))
    return {name: values for name, values in np.load(path).items() if name != "rows"}


@cache
def _read(folder: Path) -> Bundle:
    return read_encoder(folder)


def _require_output(bundle: Bundle, part: Part) -> None:
    names = [tensor.name for tensor in bundle.card.outputs]
    if part.output not in names:
        known = ", ".join(names)
        raise BadEncoder(bundle.card.name, f"has no output {part.output!r}; choose of {known}")


def _require_unheard(entry: Entry, task: JudgedTask, part: Part, bundle: Bundle) -> None:
    """Refuse a bundle whose card names the task's data, unless it is one of encoders of folds."""
    is_of_fold = task.name in part.heard or FOLD in str(part.bundle)
    if is_of_fold and task.is_dealt:
        return
    card = bundle.card
    if task.name == LISTENERS and card.space is not None:
        data = f"the factors of the CF space {card.space[:12]}"
        raise HeardTask(entry.name, task.name, bundle.folder, data)
    for trained in card.provenance.data:
        if any(name.casefold() in trained.name.casefold() for name in task.data_names):
            raise HeardTask(entry.name, task.name, bundle.folder, trained.name)


def _require_whole_windows(task: JudgedTask) -> None:
    if all(heard.audio.patches for heard in task.sets.heard):
        raise BadDataset(
            task.name,
            "mel statistics are of whole windows, and its folders hold patches; decode one without "
            "--teacher, and give both",
        )
