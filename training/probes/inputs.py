"""Inputs of probes: encoder outputs and mel statistics of a task's tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, read
from training.datasets.prepared import TaskData, check_same_tracks
from training.errors import BadExport
from training.estimator.mel_baseline import mel_statistics
from training.networks.bundle_outputs import bundle_outputs
from training.probes.head_graph import Source
from training.probes.settings import match_sources
from training.transfer.encoder_outputs import require_encoder


@dataclass(frozen=True)
class ProbeInput:
    """Outputs of one encoder, concatenated, for the tracks of a task folder with its windows."""

    encoder: Bundle
    data: TaskData
    source: Source

    @property
    def source_name(self) -> str:
        return "+".join(self.source)

    @property
    def name(self) -> str:
        return f"{self.encoder.card.name} {self.source_name}"

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """Shape (n_tracks, dim)."""
        outputs = bundle_outputs(self.encoder, self.data)
        return np.concatenate([outputs[name] for name in self.source], axis=1)


def load_tasks(folders: Sequence[Path]) -> list[TaskData]:
    """Task folders of the same tracks, decoded for different encoders; the first one counts.

    Raises
    ------
    MissingInput, OtherTracks
    """
    first, *others = (TaskData.load(folder) for folder in folders)
    for other in others:
        check_same_tracks(first, other)
    return [first, *others]


def load_inputs(
    tasks: Sequence[TaskData], encoders: Sequence[Path], sources: Sequence[Source]
) -> list[ProbeInput]:
    """Every input to choose from: each source of each encoder that has it.

    Raises
    ------
    BundleError, BadTeacher, BadExport
    """
    bundles = {bundle.card.name: bundle for bundle in map(read, encoders)}
    if len(bundles) < len(encoders):
        raise BadExport("the encoders", f"two of them have one name ({', '.join(bundles)})")
    data = {name: _task_of(bundle, tasks) for name, bundle in bundles.items()}
    outputs = {
        name: [tensor.name for tensor in bundle.card.outputs] for name, bundle in bundles.items()
    }
    return [
        ProbeInput(bundles[name], data[name], source)
        for name, source in match_sources(sources, outputs)
    ]


def _task_of(encoder: Bundle, tasks: Sequence[TaskData]) -> TaskData:
    """The task folder whose windows the encoder takes."""
    fitting = [data for data in tasks if data.prepared.audio == encoder.card.audio]
    data = fitting[0] if fitting else tasks[0]
    require_encoder(encoder, data)
    return data


def mel_inputs(folder: Path, data: TaskData) -> NDArray[np.float32]:
    """Mel statistics of the baseline, shape (n_tracks, 288), of the whole windows in a folder.

    Raises
    ------
    MissingInput, OtherTracks
    BadExport
        Where the folder holds patches of the windows.
    """
    baseline = TaskData.load(folder)
    check_same_tracks(data, baseline)
    if baseline.prepared.audio.patches is not None:
        raise BadExport(
            f"the baseline's task {folder}",
            "it holds patches; decode whole windows, by `dataset` without `--teacher`",
        )
    statistics = mel_statistics(baseline.prepared, folder, lambda _, batches: batches)
    return statistics[baseline.rows]
