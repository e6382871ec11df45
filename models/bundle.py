"""Reading, verifying and writing a bundle: a folder with `card.json` and its ONNX graphs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort
from pydantic import ValidationError

from models.card import Card, Graph, Head, Tensor
from models.errors import BundleError

CARD = "card.json"


@dataclass(frozen=True)
class Bundle:
    """A folder whose card fits the schema and whose graphs have the digests the card states."""

    folder: Path
    card: Card
    card_bytes: bytes

    @cached_property
    def digest(self) -> str:
        """Identity: the SHA-256 of `card.json`, which itself states each graph's SHA-256."""
        return hashlib.sha256(self.card_bytes).hexdigest()

    def graph_bytes(self, graph: Graph | Head) -> bytes:
        """A graph's bytes, the very ones whose digest was held against the card.

        Raises
        ------
        BundleError
            Where the file is missing, or not the one that the card describes.
        """
        try:
            content = (self.folder / graph.file).read_bytes()
        except OSError as error:
            raise BundleError(f"bundle {self.card.name}: {graph.file} is missing") from error
        found = hashlib.sha256(content).hexdigest()
        if found != graph.sha256:
            raise BundleError(
                f"bundle {self.card.name}: {graph.file} is not the file that its card describes",
                value=f"sha256 {found}",
                limit=f"sha256 {graph.sha256}",
            )
        return content


def read(folder: Path) -> Bundle:
    """Read a bundle and check its schema and digests.

    Raises
    ------
    BundleError
        Naming the bundle and the first thing that does not hold.
    """
    try:
        card_bytes = (folder / CARD).read_bytes()
    except OSError as error:
        raise BundleError(f"bundle {folder.name}: no readable {CARD} ({error.strerror})") from error
    try:
        card = Card.model_validate_json(card_bytes)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "card"
        raise BundleError(
            f"bundle {folder.name}: {CARD} breaks the schema at {where}: {first['msg']}"
        ) from error
    bundle = Bundle(folder, card, card_bytes)
    for graph in card.graphs:
        bundle.graph_bytes(graph)
    if card.head:
        bundle.graph_bytes(card.head)
    return bundle


def verify_session(card: Card, session: ort.InferenceSession) -> None:
    """Hold a loaded graph against its card: tensor names, shapes, and a probe run on noise.

    Raises
    ------
    BundleError
        Where a tensor is missing, has another shape, or comes out not finite.
    """
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in session.get_inputs()}
    if inputs != {card.input.name: card.input.shape}:
        raise BundleError(
            f"bundle {card.name}: the graph's inputs differ from the card's",
            value=str(inputs),
            limit=str({card.input.name: card.input.shape}),
        )
    names = {tensor.name for tensor in session.get_outputs()}
    absent = [tensor.name for tensor in card.outputs if tensor.name not in names]
    if absent:
        raise BundleError(f"bundle {card.name}: the graph has no output {', '.join(absent)}")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, card.audio.window_samples))
    wanted = [tensor.name for tensor in card.outputs]
    answers = session.run(wanted, {card.input.name: noise.astype(np.float32)})
    for tensor, answer in zip(card.outputs, answers, strict=True):
        _verify_answer(card, tensor, np.asarray(answer))


def _verify_answer(card: Card, tensor: Tensor, answer: np.ndarray) -> None:
    if answer.shape != (1, *tensor.shape):
        raise BundleError(
            f"bundle {card.name}: output {tensor.name} has another shape than the card states",
            value=str(answer.shape[1:]),
            limit=str(tensor.shape),
        )
    if not np.isfinite(answer).all():
        raise BundleError(f"bundle {card.name}: output {tensor.name} is not finite on a probe")


def write(folder: Path, card: Card, graphs: Mapping[str, bytes]) -> Bundle:
    """Write a bundle and read it back, so that what is written is what would be accepted.

    Parameters
    ----------
    graphs : file name → ONNX bytes, one for each graph of the card, its head too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in graphs.items():
        (folder / name).write_bytes(content)
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n")
    return read(folder)


def bundle_folders(models_dir: Path) -> list[Path]:
    """Every folder below `models_dir` that holds a card, by name."""
    return sorted(path.parent for path in models_dir.glob(f"*/{CARD}"))
