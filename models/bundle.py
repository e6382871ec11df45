"""Model bundles: read, verify and write a folder with `card.json` and its ONNX graphs.

A graph of another precision can be added later without changing the model's identity: a separate
file, `model.int8.json` or `model.float16.json`, describes the graph, so that `card.json` and its
digest, by which heads, teachers and caches refer to the model, stay unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from models.card import Card, Graph, Head, Precision, Tensor
from models.errors import BundleError

if TYPE_CHECKING:  # only for the type: onnxruntime is slow to import
    import onnxruntime as ort

CARD, DESCRIPTION = "card.json", "model.{}.json"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Parsed = TypeVar("Parsed", bound=BaseModel)


@dataclass(frozen=True)
class Bundle:
    """Verified model bundle: its card has the schema, and its graphs have the stated digests."""

    folder: Path
    card: Card
    card_bytes: bytes

    @cached_property
    def digest(self) -> str:
        """Identity: the SHA-256 of `card.json`, which itself states the float32 graph's SHA-256."""
        return hashlib.sha256(self.card_bytes).hexdigest()

    def graph_bytes(self, graph: Graph | Head) -> bytes:
        """Read a graph's file and verify its digest.

        Raises
        ------
        BundleError
            If the file is missing, or is not the one that the card describes.
        """
        try:
            content = (self.folder / graph.file).read_bytes()
        except OSError as error:
            raise BundleError(
                f"bundle {self.card.name}: {graph.file} is missing", remedy=self._remedy(graph)
            ) from error
        _verify_digest(self.card.name, graph, content, self._remedy(graph))
        return content

    def _remedy(self, graph: Graph | Head) -> str | None:
        """Remedy for a graph that is described beside the card; None for the card's own graphs."""
        if isinstance(graph, Head):
            return None
        description = self.folder / DESCRIPTION.format(graph.precision)
        return _remedy_of(description) if description.exists() else None


def read(folder: Path, additional: Collection[Precision] = PRECISIONS) -> Bundle:
    """Read a bundle and check its schema and digests.

    Parameters
    ----------
    additional : precisions of additional graphs to include, where described beside the card

    Raises
    ------
    BundleError
        Naming the bundle and the first check that failed.
    """
    try:
        card_bytes = (folder / CARD).read_bytes()
    except OSError as error:
        raise BundleError(f"bundle {folder.name}: no readable {CARD} ({error.strerror})") from error
    card = _parse(Card, folder / CARD, card_bytes)
    bundle = Bundle(folder, _with_additional_graphs(card, folder, additional), card_bytes)
    for graph in bundle.card.graphs:
        bundle.graph_bytes(graph)
    if card.head:
        bundle.graph_bytes(card.head)
    return bundle


def _verify_digest(name: str, graph: Graph | Head, content: bytes, remedy: str | None) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != graph.sha256:
        raise BundleError(
            f"bundle {name}: {graph.file} is not the file that its card describes",
            value=f"sha256 {found}",
            limit=f"sha256 {graph.sha256}",
            remedy=remedy,
        )


def _parse(kind: type[Parsed], path: Path, content: bytes) -> Parsed:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _schema_error(path, error) from error


def _schema_error(path: Path, error: ValidationError) -> BundleError:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or path.stem
    return BundleError(
        f"bundle {path.parent.name}: {path.name} breaks the schema at {where}: {first['msg']}",
        remedy=None if path.name == CARD else _remedy_of(path),
    )


def _remedy_of(description: Path) -> str:
    return f"make it again with `tasteprint-train quantize`, or remove {description.name}"


def _with_additional_graphs(card: Card, folder: Path, precisions: Collection[Precision]) -> Card:
    """The card with the graphs of these precisions that are described beside it."""
    for precision, path in _find_descriptions(folder).items():
        if precision in precisions:
            card = _with_graph(card, _read_description(path, precision), path)
    return card


def _read_description(path: Path, precision: Precision) -> Graph:
    try:
        graph = _parse(Graph, path, path.read_bytes())
    except OSError as error:
        raise BundleError(
            f"bundle {path.parent.name}: no readable {path.name} ({error.strerror})",
            remedy=_remedy_of(path),
        ) from error
    if graph.precision != precision:
        raise BundleError(
            f"bundle {path.parent.name}: {path.name} describes a graph in {graph.precision}",
            value=graph.precision,
            limit=precision,
            remedy=_remedy_of(path),
        )
    return graph


def _with_graph(card: Card, graph: Graph, path: Path) -> Card:
    try:
        return Card.model_validate(dict(card) | {"graphs": (*card.graphs, graph)})
    except ValidationError as error:
        raise _schema_error(path, error) from error


def _find_descriptions(folder: Path) -> dict[Precision, Path]:
    """Descriptions of additional graphs by precision; a dangling symbolic link counts too."""
    paths = {precision: folder / DESCRIPTION.format(precision) for precision in PRECISIONS}
    return {
        precision: path for precision, path in paths.items() if path.exists() or path.is_symlink()
    }


def verify_session(card: Card, session: ort.InferenceSession) -> None:
    """Verify a loaded graph against its card: tensor names, shapes, and a trial run on noise.

    Raises
    ------
    BundleError
        If a tensor is missing, has another shape, or is not finite.
    """
    inputs = {tensor.name: tuple(tensor.shape[1:]) for tensor in session.get_inputs()}
    if inputs != {card.input.name: card.input.shape}:
        raise BundleError(
            f"bundle {card.name}: the graph's inputs differ from the card's",
            value=str(inputs),
            limit=str({card.input.name: card.input.shape}),
        )
    found = {tensor.name for tensor in session.get_outputs()}
    missing = [tensor.name for tensor in card.outputs if tensor.name not in found]
    if missing:
        raise BundleError(f"bundle {card.name}: the graph has no output {', '.join(missing)}")
    names = [tensor.name for tensor in card.outputs]
    outputs = session.run(names, {card.input.name: verification_noise(card.input.shape)})
    for tensor, output in zip(card.outputs, outputs, strict=True):
        _verify_output(card, tensor, np.asarray(output))


def verification_noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Seeded noise in [-0.5, 0.5), shape (1, *shape): the input that graphs are verified with."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, *shape))
    return noise.astype(np.float32)


def _verify_output(card: Card, tensor: Tensor, output: NDArray[np.float32]) -> None:
    if output.shape != (1, *tensor.shape):
        raise BundleError(
            f"bundle {card.name}: output {tensor.name} has another shape than the card states",
            value=str(output.shape[1:]),
            limit=str(tensor.shape),
        )
    if not np.isfinite(output).all():
        raise BundleError(f"bundle {card.name}: output {tensor.name} is not finite on noise")


def write(folder: Path, card: Card, graphs: Mapping[str, bytes]) -> Bundle:
    """Write a bundle and read it back, which verifies it.

    Parameters
    ----------
    graphs : file name -> ONNX bytes, for each graph of the card and for its head
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in _find_descriptions(folder).values():  # additional graphs of a previous bundle
        path.unlink()
        path.with_suffix(".onnx").unlink(missing_ok=True)
    for name, content in graphs.items():
        (folder / name).write_bytes(content)
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n")
    return read(folder)


def check_addable(bundle: Bundle, precision: Precision) -> Card:
    """The card without additional graphs, checked not to state that precision itself.

    Raises
    ------
    BundleError
    """
    card = _parse(Card, bundle.folder / CARD, bundle.card_bytes)
    if any(graph.precision == precision for graph in card.graphs):
        raise BundleError(
            f"bundle {card.name}: its {CARD} states a graph in {precision} itself",
            remedy="export the bundle without that graph first",
        )
    return card


def add_graph(bundle: Bundle, graph: Graph, content: bytes) -> Bundle:
    """Add a graph of another precision to a bundle, or replace it, and read the bundle back.

    A graph that `read` would refuse is not written. The returned bundle has this graph and those
    that `bundle` was read with.

    Raises
    ------
    BundleError
    """
    description = bundle.folder / DESCRIPTION.format(graph.precision)
    _with_graph(check_addable(bundle, graph.precision), graph, description)
    _verify_digest(bundle.card.name, graph, content, None)
    description.unlink(missing_ok=True)  # a description must never refer to another file
    (bundle.folder / graph.file).write_bytes(content)
    description.write_text(graph.model_dump_json(indent=2) + "\n")
    precisions = {other.precision for other in bundle.card.graphs}
    return read(bundle.folder, precisions | {graph.precision})


def bundle_folders(models_dir: Path) -> list[Path]:
    """Every folder below `models_dir` that holds a card, by name."""
    return sorted(path.parent for path in models_dir.glob(f"*/{CARD}"))
