"""Teacher of an encoder's features: a bundle's output for every clip that it has heard.

Knowledge distillation across networks: no label is needed, so every recording can teach. The
teacher may hear other parts of a window than its student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import torch
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from models.bundle import Bundle, verify_session
from training.audio.patch_cutting import can_cut, cut_patches
from training.audio.windows import Prepared
from training.errors import BadTeacher, OtherSets
from training.estimator.sources import TeacherRecord
from training.networks.inference import Forward, Track, onnx_forward, run_over_rows

# A dimension that hardly varies is not divided by its own deviation, but by this part of the mean.
MIN_DEVIATION = 1e-3


@dataclass(frozen=True)
class Teacher:
    """Outputs of a bundle by track.

    Attributes
    ----------
    tracks : ids of the tracks that the teacher has heard
    outputs : float32, shape (n_tracks, dim)
    """

    record: TeacherRecord
    tracks: pd.Index
    outputs: NDArray[np.float32]

    def targets(self, track_ids: pd.Series, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Standardised outputs, shape (n_clips, dim); NaN where the teacher has not heard the clip.

        Each dimension has mean 0 and variance 1 over the clips as they are drawn.

        Parameters
        ----------
        weights : sampling weight of each clip

        Raises
        ------
        BadTeacher
            If the teacher has heard none of the clips.
        """
        position = self.tracks.get_indexer(pd.Index(track_ids))
        is_heard = position >= 0
        if not is_heard.any():
            raise BadTeacher(
                self.record.name,
                f"has heard none of the {len(track_ids)} clips: prepare the same tracks, with the "
                "same track ids, for --teacher-prepared",
            )
        heard = self.outputs[position[is_heard]].astype(np.float64)
        mean = np.average(heard, 0, weights[is_heard])
        variance = np.average(np.square(heard - mean), 0, weights[is_heard])
        deviation = np.maximum(np.sqrt(variance), MIN_DEVIATION * np.sqrt(variance.mean()))
        targets = np.full((len(track_ids), heard.shape[1]), np.nan, np.float32)
        targets[is_heard] = (heard - mean) / deviation
        return targets


def teacher_targets(
    source: Bundle,
    folders: Sequence[Path],
    output: str,
    track: Track = lambda label, starts: starts,
) -> Teacher:
    """The output of a bundle for every track of the prepared folders, computed once a folder.

    Parameters
    ----------
    folders : of `prepare`, for the audio input of the bundle, or with whole windows
    track : shows progress

    Raises
    ------
    BadTeacher
        If the bundle is no encoder, lacks the output or hears other windows.
    OtherSets
        If two folders have a track id in common.
    MissingInput, BundleError
    """
    outputs = [tensor.name for tensor in source.card.outputs]
    if source.card.kind != "encoder":
        raise BadTeacher(source.card.name, f"is a {source.card.kind}; give an encoder's bundle")
    if output not in outputs:
        known = ", ".join(outputs)
        raise BadTeacher(source.card.name, f"has no output {output!r}; choose one of {known}")
    sets = [Prepared.load(folder) for folder in folders]
    arrays = [
        _cached_outputs(source, folder, prepared, track)[output]
        for folder, prepared in zip(folders, sets, strict=True)
    ]
    tracks = pd.Index(np.concatenate([prepared.tracks["track_id"] for prepared in sets]))
    if tracks.has_duplicates:
        repeated = tracks[tracks.duplicated()][0]
        raise OtherSets(folders[0], folders[-1], f"the track id {repeated!r} twice")
    card = source.card
    record = TeacherRecord(
        name=card.name,
        version=card.version,
        digest=source.digest,
        output=output,
        data=card.provenance.data,
    )
    return Teacher(record, tracks, np.concatenate(arrays))


def _cached_outputs(
    source: Bundle, folder: Path, prepared: Prepared, track: Track
) -> dict[str, NDArray[np.float32]]:
    """Every output of the bundle for the tracks of a folder, shape (n_tracks, dim), kept there."""
    rows = np.asarray(prepared.tracks["row"], np.int64)
    path = folder / f"outputs-{source.digest[:16]}.npz"
    if path.exists():
        known = np.load(path)
        if np.array_equal(known["rows"], rows):
            return {name: known[name] for name in known.files if name != "rows"}
    if not can_cut(prepared.audio, source.card.audio):
        raise BadTeacher(
            source.card.name,
            f"takes {source.card.audio}, and the windows in {folder} are {prepared.audio}; give "
            "--teacher-prepared folders of the same tracks for that encoder",
        )
    heard = cut_patches(prepared, source.card.audio)
    names = [tensor.name for tensor in source.card.outputs]
    label = f"{source.card.name}: {folder.name}"
    outputs = run_over_rows(_open(source, names), heard, rows, label=label, track=track)
    computed = dict(zip(names, outputs, strict=True))
    with write_atomically(path) as part, part.open("wb") as file:
        np.savez(file, rows=rows, **computed)  # type: ignore[arg-type]
    return computed


def _open(source: Bundle, names: Sequence[str]) -> Forward:
    """The graph of a bundle, on a GPU if there is one."""
    cuda = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    session = ort.InferenceSession(
        source.graph_bytes(source.card.graph()), providers=[*cuda, "CPUExecutionProvider"]
    )
    verify_session(source.card, session)
    return onnx_forward(session, names)
