"""Bundles that an encoder is trained with, its teacher and initial weights, as a run states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.bundle import Bundle
from models.card import Data
from training.networks.base import Encoder

TEACHER, INIT = "teacher.json", "init.json"


class SourceRecord(BaseModel):
    """Schema of `init.json` in a run folder: a bundle, and the data that it was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    digest: str
    data: tuple[Data, ...]

    def to_text(self) -> str:
        return self.model_dump_json(indent=2) + "\n"


class TeacherRecord(SourceRecord):
    """Schema of `teacher.json` in a run folder: which output of which bundle was learnt."""

    output: str


@dataclass(frozen=True)
class InitialWeights:
    """The network of a bundle, whose weights another one starts from."""

    record: SourceRecord
    network: Encoder

    @classmethod
    def of(cls, source: Bundle, network: Encoder) -> InitialWeights:
        """Of a bundle and its network, as `training.export.reload` reads it."""
        card = source.card
        record = SourceRecord(
            name=card.name, version=card.version, digest=source.digest, data=card.provenance.data
        )
        return cls(record, network)


def read_teacher(run: Path) -> TeacherRecord | None:
    """The teacher of a training run; None if it had none."""
    path = run / TEACHER
    return TeacherRecord.model_validate_json(path.read_bytes()) if path.exists() else None


def read_init(run: Path) -> SourceRecord | None:
    """The bundle whose weights a training run started from; None if it started at random."""
    path = run / INIT
    return SourceRecord.model_validate_json(path.read_bytes()) if path.exists() else None
