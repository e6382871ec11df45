"""Entries of a leaderboard: named inputs of probes, read from a JSON file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from training.errors import BadEntries

FOLD = "{fold}"
Source = Literal["bundle", "untrained", "mel statistics"]


class Part(BaseModel):
    """One input of an entry: an output of a bundle, or what is computed without one.

    Attributes
    ----------
    source : `bundle`; `untrained`, the network of the bundle with random weights, its batch norms
        with statistics of the task's audio; or `mel statistics` of whole windows
    bundle : folder of an encoder's bundle; a `{fold}` in it stands for the held-out fold
    bundle_of_fold : folder of bundles that have not heard the artists of a fold, with `{fold}`
    output : name of the output
    heard : tasks that the bundle's training has heard artists, tracks or labels of; there the
        bundle of the fold is judged, or else nothing
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source = "bundle"
    bundle: str | None = None
    bundle_of_fold: str | None = None
    output: str = "features"
    heard: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "mel statistics" and self.model_fields_set - {"source"}:
            raise ValueError("mel statistics have no bundle, no output and have heard nothing")
        if self.source != "mel statistics" and self.bundle is None:
            raise ValueError("name a bundle")
        if self.source == "untrained" and (self.heard or self.bundle_of_fold):
            raise ValueError("random weights have heard nothing; leave out heard, bundle_of_fold")
        if self.bundle_of_fold is not None and FOLD not in self.bundle_of_fold:
            raise ValueError(f"bundle_of_fold must contain {FOLD}")
        return self

    def bundle_for(self, task: str, fold: int, *, is_dealt: bool) -> Path | None:
        """The bundle that a fold of a task is judged with; None where every bundle has heard it.

        Parameters
        ----------
        is_dealt : whether the task's folds are those of the one deal of artists, by which bundles
            of folds are trained; of other folds they have heard artists
        """
        assert self.bundle is not None
        if task not in self.heard:
            return Path(self.bundle.replace(FOLD, str(fold)))
        of_fold = self.bundle_of_fold or self.bundle
        if FOLD not in of_fold or not is_dealt:
            return None
        return Path(of_fold.replace(FOLD, str(fold)))

    def lacks_fold(self, task: str, fold: int) -> bool:
        """Whether the task asks for bundles of folds, and none was trained for this fold."""
        stated = self.bundle_of_fold
        if task not in self.heard or stated is None:
            return False
        return not (Path(stated.replace(FOLD, str(fold))) / "card.json").is_file()


class Entry(BaseModel):
    """A named input of probes; the parts are concatenated.

    Attributes
    ----------
    untrained : entry of the same structure with random weights, which this one is compared with
    note : for the page, such as what the weights have heard
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parts: tuple[Part, ...]
    untrained: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.parts or not self.slug:
            raise ValueError("an entry needs a name with a letter or digit, and one part or more")
        return self

    @property
    def slug(self) -> str:
        """The name as a part of file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def has_heard(self, task: str) -> bool:
        return any(task in part.heard for part in self.parts)

    def lacks_fold(self, task: str, fold: int) -> bool:
        return any(part.lacks_fold(task, fold) for part in self.parts)

    def missing(self) -> Path | None:
        """The first bundle that is not there; where it is stated by fold, that of the first."""
        folders = [Path(part.bundle.replace(FOLD, "0")) for part in self.parts if part.bundle]
        return next((path for path in folders if not (path / "card.json").is_file()), None)


class Entries(BaseModel):
    """Schema of the file of entries.

    Attributes
    ----------
    baseline : name of the entry that gains are measured from
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: str
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [entry.name for entry in self.entries]
        slugs = [entry.slug for entry in self.entries]
        repeated = [name for name, slug in zip(names, slugs, strict=True) if slugs.count(slug) > 1]
        if repeated:
            raise ValueError(f"two entries have one name or file name: {', '.join(repeated)}")
        named = [self.baseline, *(entry.untrained for entry in self.entries if entry.untrained)]
        unknown = [name for name in named if name not in names]
        if unknown:
            raise ValueError(f"there is no entry {unknown[0]!r}")
        return self

    @classmethod
    def load(cls, path: Path) -> Entries:
        """Read a file of entries.

        Raises
        ------
        BadEntries
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BadEntries(path, f"cannot be read ({error.strerror})") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise BadEntries(path, f"at {where}: {first['msg']}") from error

    def choose(self, names: tuple[str, ...], path: Path) -> tuple[Entry, ...]:
        """The entries of these names; all, if none is named.

        Raises
        ------
        BadEntries
        """
        known = {entry.name: entry for entry in self.entries}
        for name in names:
            if name not in known:
                raise BadEntries(path, f"has no entry {name!r}; choose of {', '.join(known)}")
        return tuple(known[name] for name in names or known)
