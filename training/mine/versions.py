"""Versions of a bundle: the new one replaces the old one, which is kept, and what moved between.

Factors of two versions have no coordinate in common: neighbours of items are compared.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.atomic_write import write_atomically
from models.bundle import CARD, PRECISIONS
from models.catalogue import unit
from training.cf.als import Factorization
from training.errors import MissingInput, NothingToUpdate
from training.mine.settings import FINE_TUNED, MINE_SOURCE, OWN

VERSIONS = "versions"
N_NEIGHBOURS, N_NAMED, MAX_ITEMS = 10, 5, 5000


def read_card(bundle: Path) -> dict[str, Any] | None:
    """The card in a folder; None without one."""
    try:
        card: dict[str, Any] = json.loads((bundle / CARD).read_text())
    except (OSError, ValueError):
        return None
    return card


def next_version(bundle: Path) -> str:
    """1.0.0 for the first, and the next minor version after that."""
    card = read_card(bundle)
    if card is None:
        return "1.0.0"
    numbers = [int(part) if part.isdigit() else 0 for part in str(card["version"]).split(".")]
    major, minor, *_ = [*numbers, 0, 0]
    return f"{major}.{minor + 1}.0"


def kept_candidate(bundle: Path) -> dict[str, str]:
    """Digest of the encoder, its name and its output, of a bundle that `mine` made.

    The digest is `OWN` where the encoder was fine-tuned: it is that of the bundle itself.

    Raises
    ------
    NothingToUpdate
    """
    card = read_card(bundle)
    facts: Mapping[str, Any] = (card or {}).get("provenance", {})
    stated = facts.get("hyperparameters", {})
    output = stated.get(MINE_SOURCE)
    if output is None:
        raise NothingToUpdate(bundle)
    encoder = OWN if FINE_TUNED in stated else str(facts["teacher"])
    name = str(stated.get("frozen_encoder", bundle.name))
    return {"encoder": encoder, "name": name, "output": str(output)}


def publish(staged: Path, bundle: Path) -> bool:
    """Make the staged bundle the one in `bundle`; False where it is that already.

    The old version is copied to `versions/` first. The card is replaced last: a reader in between
    finds a graph that the card does not describe, refuses it, and keeps what it has; a run that is
    stopped in between replaces the same files again.
    """
    if _digest(staged) == _digest(bundle):
        return False
    if (card := read_card(bundle)) is not None:
        _keep(bundle, bundle / VERSIONS / str(card["version"]))
        for precision in PRECISIONS:  # graphs that were added to the old version
            (bundle / f"model.{precision}.json").unlink(missing_ok=True)
            (bundle / f"model.{precision}.onnx").unlink(missing_ok=True)
    files = [file for file in staged.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.name == CARD):
        target = bundle / file.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as part:
            shutil.copyfile(file, part)
    return True


def _keep(bundle: Path, version: Path) -> None:
    """Copy a bundle without its own versions; a copy that was begun is made again."""
    if version.exists():
        return
    part = version.with_name(f"{version.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(bundle, part, ignore=shutil.ignore_patterns(VERSIONS, "*.part"))
    part.rename(version)


def _digest(bundle: Path) -> str | None:
    path = bundle / CARD
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


@dataclass(frozen=True)
class Moved:
    """Differences of an update.

    Attributes
    ----------
    items, users : number of new ones, and of those that are gone
    shared : mean share of an item's ten nearest neighbours that stayed
    most : items whose neighbours changed most, and the share that stayed
    """

    new_items: int
    gone_items: int
    new_users: int
    gone_users: int
    shared: float
    most: tuple[tuple[str, float], ...]

    def describe(self) -> str:
        named = ", ".join(f"{item} ({share:.0%})" for item, share in self.most)
        return (
            f"{self.new_items} new songs and {self.gone_items} gone, {self.new_users} new users "
            f"and {self.gone_users} gone; {self.shared:.0%} of a song's {N_NEIGHBOURS} nearest "
            f"songs stayed" + (f", fewest of {named}" if named else "")
        )


def load_earlier(folder: Path) -> Factorization | None:
    """The factors of the bundle that is going to be replaced; None without any."""
    try:
        return Factorization.load(folder)
    except MissingInput:
        return None


def compare(old: Factorization, new: Factorization, seed: int = 0) -> Moved:
    """Compare the neighbours of the items that both have, at most `MAX_ITEMS` of them."""
    both = old.items.intersection(new.items)
    if len(both) > MAX_ITEMS:
        chosen = np.random.default_rng(seed).choice(len(both), MAX_ITEMS, replace=False)
        both = both[np.sort(chosen)]
    shares = np.ones(0)
    if len(both) > 1:
        near = [_nearest(found, both) for found in (old, new)]
        shares = (near[0] & near[1]).sum(1) / near[0].sum(1)
    order = np.argsort(shares, kind="stable")[:N_NAMED]
    return Moved(
        new_items=len(new.items.difference(old.items)),
        gone_items=len(old.items.difference(new.items)),
        new_users=len(new.users.difference(old.users)),
        gone_users=len(old.users.difference(new.users)),
        shared=float(shares.mean()) if len(shares) else 1.0,
        most=tuple((str(both[row]), float(shares[row])) for row in order if shares[row] < 1),
    )


def _nearest(factors: Factorization, items: pd.Index) -> NDArray[np.bool_]:
    """Whether an item is one of the nearest to another, (n_items, n_items)."""
    vectors = factors.item_factors[factors.items.get_indexer(items)]
    units = unit(vectors - factors.item_factors.mean(0))
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    k = min(N_NEIGHBOURS, len(items) - 1)
    near = np.zeros(cosines.shape, bool)
    np.put_along_axis(near, np.argpartition(-cosines, k - 1, axis=1)[:, :k], True, 1)
    return near
