"""What a run of a transfer method is made of: task, teacher, and the weights it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, read
from models.card import AudioInput, Scalar
from training.datasets.accounts import Account, count_join
from training.datasets.pool import (
    Pool,
    account_pools,
    check_same_pool,
    digest_of_tracks,
    select_tracks,
)
from training.datasets.prepared import TaskData, check_same_tracks
from training.errors import BadPool, BadTeacher
from training.export.reload import load_network_from_bundle
from training.fitting.dataset import Clips
from training.networks.base import Encoder, trained_crop_s, width_of_card
from training.networks.bundle_outputs import bundle_outputs
from training.networks.registry import DEFAULT_ENCODER
from training.transfer.encoder_outputs import refuse_classifier, require_encoder
from training.transfer.results import Cell
from training.transfer.settings import BASELINES, RECIPES, TransferSettings, used_settings

FOLD = "{fold}"


@dataclass(frozen=True)
class Sources:
    """Folders of a comparison.

    Parameters
    ----------
    task : of `dataset`, decoded for the student
    teacher : bundle of an encoder; `{fold}` in the path stands for the fold that is held out, so
        that each fold is judged with a teacher that has not heard it
    teacher_task : the same tracks, decoded for the teacher; None if the teacher takes the student's
        windows
    start : bundle whose weights `init` and `init-kd` start from, with `{fold}` as well; None: the
        teacher
    pools : prepared recordings for `kd-pool`, decoded for the student
    teacher_pools : the same recordings, decoded for the teacher; empty if the teacher takes the
        student's windows
    """

    task: Path
    teacher: Path
    teacher_task: Path | None = None
    start: Path | None = None
    pools: tuple[Path, ...] = ()
    teacher_pools: tuple[Path, ...] = ()

    def load(self, fold: int | None) -> CellInputs:
        """The inputs of the runs that hold out a fold; None: of a final fit, on every track.

        Raises
        ------
        MissingInput, BundleError
        BadTeacher
            If no encoder is given, or one that does not take the windows.
        BadPool
        OtherTracks
            If a folder that is decoded for the teacher holds other tracks.
        """
        data = TaskData.load(self.task)
        teacher = read(bundle_of_fold(self.teacher, fold))
        start = teacher if self.start is None else read(bundle_of_fold(self.start, fold))
        teacher_data = data if self.teacher_task is None else TaskData.load(self.teacher_task)
        refuse_classifier(start)
        require_encoder(teacher, teacher_data)
        check_same_tracks(data, teacher_data)
        pools = [Pool.load(folder) for folder in self.pools]
        return CellInputs(
            data,
            teacher,
            teacher_data,
            start,
            pools,
            self._load_teacher_pools(pools, teacher),
            select_tracks(pools, data, fold),
        )

    def _load_teacher_pools(self, pools: list[Pool], teacher: Bundle) -> list[Pool]:
        if self.teacher_pools and len(self.teacher_pools) != len(pools):
            raise BadPool(
                self.teacher_pools[0],
                f"is of {len(self.teacher_pools)} folders for the teacher, and the student has "
                f"{len(pools)}; give one --teacher-pool for each --pool, in their order",
            )
        found = [Pool.load(folder) for folder in self.teacher_pools] or pools
        for pool, other in zip(pools, found, strict=True):
            check_same_pool(pool, other)
            require_encoder(teacher, other)
        return found


@dataclass(frozen=True)
class CellInputs:
    """Task data, bundles and pools of the runs that hold out one fold.

    `pool_masks` are the tracks of each pool that these runs may hear.
    """

    data: TaskData
    teacher: Bundle
    teacher_data: TaskData
    start: Bundle
    pools: list[Pool]
    teacher_pools: list[Pool]
    pool_masks: list[NDArray[np.bool_]]

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """The teacher's embedding of every track of the task, shape (n_tracks, embedding_dim)."""
        return bundle_outputs(self.teacher, self.teacher_data)["embedding"]

    @cached_property
    def pool_clips(self) -> list[Clips]:
        """Each pool's tracks that may be heard; targets are the teacher's embeddings."""
        clips: list[Clips] = []
        for pool, other, mask in zip(self.pools, self.teacher_pools, self.pool_masks, strict=True):
            embeddings = bundle_outputs(self.teacher, other)["embedding"]
            clips.append(Clips(pool.prepared.windows, pool.rows[mask], embeddings[mask]))
        return clips

    def pool_facts(self, method: str) -> dict[str, Scalar]:
        """Number of pool clips and digest of their ids, for results of a method that uses them."""
        if method not in RECIPES or not RECIPES[method].uses_pool:
            return {}
        return {
            "pool_clips": sum(int(mask.sum()) for mask in self.pool_masks),
            "pool_sha256": digest_of_tracks(self.pools, self.pool_masks),
        }

    def used_settings(self, cell: Cell, settings: TransferSettings) -> dict[str, Scalar]:
        """The settings that a method uses, with the facts of its pool."""
        used = used_settings(self.settings_of(cell, settings))
        return {**used, **self.pool_facts(cell.method)}

    def accounts(self, fold: int | None) -> list[Account]:
        """Accounts of the task's tracks in the folder that the teacher hears, and of the pools."""
        tracks = self.data.prepared.tracks[["track_id", "artist"]]
        taught = count_join(
            tracks,
            f"the task {self.data.facts.name}",
            self.teacher_data.prepared.tracks["track_id"],
            "the windows of the teacher",
            key="track_id",
        )
        return [taught, *account_pools(self.pools, self.pool_masks, fold)]

    @property
    def digests(self) -> str:
        """Of the bundles, as a run folder states them."""
        return "\n".join(dict.fromkeys((self.teacher.digest, self.start.digest)))

    def settings_of(self, cell: Cell, settings: TransferSettings) -> TransferSettings:
        """Settings of one run; `fix` takes the teacher's network, whatever the student's would be.

        All methods share the size of the teacher's embedding, which distillation needs.
        """
        card = self.teacher.card
        chosen = replace(
            settings,
            method=cell.method,
            width=cell.width,
            fold=cell.fold,
            seed=cell.seed,
            embedding_dim=card.output_shape("embedding")[0],
        )
        if RECIPES[cell.method].start != "teacher":
            return chosen
        return replace(
            chosen,
            encoder=card.architecture or DEFAULT_ENCODER,
            width=width_of_card(card),
            crop_s=trained_crop_s(card),
        )

    def teacher_of(self, method: str) -> Bundle | None:
        """The bundle whose embeddings or features a method uses."""
        if method in RECIPES:
            return self.teacher if RECIPES[method].uses_teacher else None
        return self.teacher if BASELINES.get(method) in ("embedding", "features") else None

    def start_of(self, method: str) -> Bundle | None:
        """The bundle whose weights a method starts from."""
        recipe = RECIPES.get(method)
        return self.start if recipe and recipe.start == "weights" else None

    def load_start(self, method: str) -> Encoder | None:
        """The network that a method starts from, or which `fix` leaves as it is."""
        is_fixed = RECIPES[method].start == "teacher"
        source = self.teacher if is_fixed else self.start_of(method)
        return load_network_from_bundle(source) if source else None

    def known_audio(self, encoder: str) -> list[AudioInput]:
        """Audio inputs of the given bundles of an architecture."""
        cards = [bundle.card for bundle in (self.teacher, self.start)]
        return [card.audio for card in cards if (card.architecture or DEFAULT_ENCODER) == encoder]


def bundle_of_fold(bundle: Path, fold: int | None) -> Path:
    """The path with `{fold}` replaced by the fold's number.

    Raises
    ------
    BadTeacher
        If the path has a `{fold}`, and no fold is held out.
    """
    text = str(bundle)
    if FOLD in text and fold is None:
        raise BadTeacher(text, "is of one fold, and none is held out; give one bundle")
    return Path(text.replace(FOLD, str(fold)))


def match_tasks(tasks: Sequence[Path], others: Sequence[Path]) -> dict[Path, Path]:
    """Task folder → the one of `others` that is of the same task; without an entry for none.

    Raises
    ------
    MissingInput
    BadTeacher
        If one of `others` is of no task.
    """
    of_name = {TaskData.load(task).facts.name: task for task in tasks}
    matched = {}
    for other in others:
        name = TaskData.load(other).facts.name
        if name not in of_name:
            raise BadTeacher(f"task {other}", f"is of {name}, which no --task is of; leave it out")
        matched[of_name[name]] = other
    return matched
