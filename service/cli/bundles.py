"""Bundles in a folder: list, show, verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime as ort

from models.bundle import Bundle, bundle_folders, read, verify_session
from models.errors import BundleError, TasteprintError
from service.settings import from_environment


def folder_of(models_dir: Path | None) -> Path:
    """The folder that was given, else the one of TASTEPRINT_MODELS_DIR."""
    return models_dir or from_environment().models_dir


def list_bundles(models_dir: Path | None) -> str:
    """A line for each bundle, also for those that cannot be read."""
    lines = []
    for folder in bundle_folders(folder_of(models_dir)):
        try:
            card = read(folder).card
        except TasteprintError as error:
            lines.append(f"{folder.name:<22} refused: {error}")
            continue
        space = f"  space {card.space[:12]}" if card.space else ""
        on_demand = "" if card.default else "  on demand"
        lines.append(
            f"{card.name:<22} {card.version:<8} {card.kind:<10} {card.task}{space}{on_demand}"
        )
    return "\n".join(lines)


def show_card(name: str, models_dir: Path | None) -> str:
    """The card of a bundle, as JSON.

    Raises
    ------
    BundleError
    """
    return find_bundle(name, models_dir).card.model_dump_json(indent=2)


def verify(names: Sequence[str], models_dir: Path | None, show: Callable[[str], None]) -> int:
    """Read and run each graph of the bundles; returns the number of bundles that are bad.

    Parameters
    ----------
    names : of bundles; all of the folder if empty
    show : called with a line for each bundle
    """
    folder = folder_of(models_dir)
    n_bad = 0
    for name in names or [path.name for path in bundle_folders(folder)]:
        try:
            precisions = _verify_graphs(find_bundle(name, folder))
        except TasteprintError as error:
            n_bad += 1
            show(f"{name}: {error}")
        else:
            show(f"{name}: good ({precisions})")
    return n_bad


def _verify_graphs(bundle: Bundle) -> str:
    for graph in bundle.card.graphs:
        try:
            session = ort.InferenceSession(
                bundle.graph_bytes(graph), providers=["CPUExecutionProvider"]
            )
            if bundle.card.head is None:
                verify_session(bundle.card, session)
        except TasteprintError:
            raise
        except Exception as error:  # onnxruntime's errors have no other common base
            raise BundleError(
                f"bundle {bundle.card.name}: its {graph.precision} graph does not run "
                f"({type(error).__name__})"
            ) from error
    return ", ".join(graph.precision for graph in bundle.card.graphs)


def find_bundle(name: str, models_dir: Path | None) -> Bundle:
    """The bundle of that name.

    Raises
    ------
    BundleError
        If there is none, or it is bad.
    """
    folder = folder_of(models_dir) / name
    if not folder.is_dir():
        names = ", ".join(path.name for path in bundle_folders(folder.parent))
        raise BundleError(
            f"there is no bundle {name!r} in {folder.parent}",
            value=name,
            limit=names,
            remedy="give one of these names",
        )
    return read(folder)
