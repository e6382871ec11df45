"""docs/models.md, drawn from the cards of the shipped bundles: `python -m docs.models_page`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.routes import route_of
from docs import card_tables
from docs.card_tables import Shipped, table
from models.bundle import Bundle, bundle_folders, read

PAGE = Path(__file__).parent / "models.md"
MODELS = Path(__file__).parents[1] / "models"
PREFACE = """# Models

Every bundle of `models/`, encoders first. This page is drawn from the bundles' cards by
`python -m docs.models_page`; a running service returns the same cards at `GET /models`.

- **Encoder.** A task model is a graph of its own, or a *head* on an encoder. Heads find their
  encoder by its digest, and all heads on one encoder share one run of it.
- **Loaded.** A model that is loaded *at the start* counts for readiness, and `/analyze` asks it by
  default. A model that is loaded *on request* is loaded when a request first names it.
- **Learned from.** The data sets that a model's weights or targets come from. For a model that was
  made from another one, that one's data sets count too; the table names the other model instead.
"""


def read_shipped(models_dir: Path) -> Shipped:
    """The bundles of a folder: encoders first, and models that are loaded at the start first."""
    bundles = map(read, bundle_folders(models_dir))
    return Shipped(tuple(sorted(bundles, key=_place)))


def _place(bundle: Bundle) -> tuple[bool, bool, str]:
    return bundle.card.kind != "encoder", not bundle.card.default, bundle.card.name


def page(models_dir: Path = MODELS) -> str:
    shipped = read_shipped(models_dir)
    sections = [section(bundle, shipped) for bundle in shipped.bundles]
    return "\n".join([PREFACE, overview(shipped), *sections])


def overview(shipped: Shipped) -> str:
    """One row per bundle."""
    header = "model | task | answers | encoder | audio | MB | loaded | learned from"
    return table(header, (_overview_row(bundle, shipped) for bundle in shipped.bundles))


def _overview_row(bundle: Bundle, shipped: Shipped) -> list[str]:
    card = bundle.card
    return [
        f"[{card.name}](#{card.name})",
        card.task,
        card_tables.answer_in_short(card),
        shipped.link(card.head.encoder) if card.head else "its own",
        card_tables.audio_in_short(card.audio),
        f"{card_tables.size_mb(bundle):.1f}",
        "at the start" if card.default else "on request",
        "; ".join(shipped.learned_from(card)),
    ]


def section(bundle: Bundle, shipped: Shipped) -> str:
    """Everything that a card states, except for hyperparameters."""
    card = bundle.card
    parts = [
        f"## {card.name}\n",
        table("|", facts(bundle, shipped)),
        card_tables.outputs(card),
        card_tables.data(card.provenance),
        *card_tables.metrics(card.provenance.metrics),
        card_tables.graphs(bundle),
    ]
    return "\n".join(filter(None, parts))


def facts(bundle: Bundle, shipped: Shipped) -> list[list[str]]:
    """Rows of name and value."""
    card, made = bundle.card, bundle.card.provenance
    about = f"{card.kind}, version {card.version}"
    if card.architecture:
        about += f", architecture `{card.architecture}`"
    return [
        ["kind", f"{about} ([card](../models/{card.name}/card.json))"],
        ["request", f"`POST {route_of(card)}`"],
        *card_tables.answer(card),
        ["audio", card_tables.audio(card.audio)],
        *shipped.origin(card),
        ["method", made.method],
        ["split", made.split],
        ["seed", str(made.seed)],
        ["made", f"{made.created:%Y-%m-%d} by {made.code_version}"],
        ["digest", f"`{bundle.digest}`"],
    ]


if __name__ == "__main__":
    PAGE.write_text(page())
