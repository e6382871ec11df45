"""Teacher of an encoder's features: a bundle's output for every clip that it has heard.

Knowledge distillation across networks: no label is needed, so every recording can teach. The
teacher may hear other parts of a window than its student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import Bundle
from training.audio.patch_cutting import can_cut
from training.audio.prepared_sets import ClipFolder
from training.audio.windows import Prepared
from training.errors import BadTeacher, OtherSets
from training.estimator.sources import TeacherRecord
from training.networks.bundle_outputs import Outputs, bundle_outputs
from training.networks.inference import Track

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
    sets = [ClipFolder(folder, Prepared.load(folder)) for folder in folders]
    arrays = [_outputs_of(source, clips, track)[output] for clips in sets]
    tracks = pd.Index(np.concatenate([clips.prepared.tracks["track_id"] for clips in sets]))
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


def _outputs_of(source: Bundle, folder: ClipFolder, track: Track) -> Outputs:
    """Every output of the bundle for the tracks of a folder.

    Patches are cut from whole windows.
    """
    found, audio = folder.prepared.audio, source.card.audio
    if not can_cut(found, audio):
        raise BadTeacher(
            source.card.name,
            f"takes {audio}, and the windows in {folder.folder} are {found}; give "
            "--teacher-prepared folders of the same tracks for that encoder",
        )
    return bundle_outputs(source, folder.cut(audio), track)
