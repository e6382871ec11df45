"""Parts of a model card as Markdown: its answer, audio input, outputs, data, metrics, graphs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from models.bundle import Bundle
from models.card import AudioInput, Card, Graph, Head, Provenance, Scalar

# The overview counts more names than these.
MAX_NAMES = 4
METRIC_DIGITS, AGREEMENT_DIGITS = 4, 5


@dataclass(frozen=True)
class Shipped:
    """The bundles of a page, which refer to each other by digest."""

    bundles: tuple[Bundle, ...]

    def find(self, digest: str) -> Card | None:
        return next((bundle.card for bundle in self.bundles if bundle.digest == digest), None)

    def link(self, digest: str) -> str:
        """A link to the model of that digest; the digest's start if it is not on the page."""
        card = self.find(digest)
        return f"[{card.name}](#{card.name})" if card else f"`{digest[:12]}…`"

    def sources(self, card: Card) -> list[str]:
        """Digests of the models that this one was made from, without repetitions."""
        digests = [card.head.encoder if card.head else None, card.provenance.teacher]
        return list(dict.fromkeys(digest for digest in digests if digest))

    def learned_from(self, card: Card) -> Iterator[str]:
        """Data sets in short; those of a model on the page by the name of that model."""
        known = [(digest, found) for digest in self.sources(card) if (found := self.find(digest))]
        inherited = {data.name for _, found in known for data in found.provenance.data}
        own = (data.name for data in card.provenance.data if data.name not in inherited)
        yield from dict.fromkeys(map(in_short, own))
        yield from (f"that of {self.link(digest)}" for digest, _ in known)

    def origin(self, card: Card) -> Iterator[list[str]]:
        """Rows: the encoder with the outputs that the head takes, and the teacher."""
        if card.head:
            outputs = ", ".join(f"`{name}`" for name in card.head.encoder_outputs)
            yield ["encoder", f"head on {outputs} of {self.link(card.head.encoder)}"]
        if card.space:
            yield ["CF space", f"`{card.space[:12]}…`"]
        if card.provenance.teacher:
            yield ["teacher", self.link(card.provenance.teacher)]


def table(header: str, rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table, with a blank line after it; empty without rows.

    Parameters
    ----------
    header : titles of the columns, separated by `|`
    """
    titles = [title.strip() for title in header.split("|")]
    lines = [_line(row) for row in rows]
    if not lines:
        return ""
    return "\n".join([_line(titles, escape=False), "|" + "---|" * len(titles), *lines, ""])


def _line(cells: Iterable[str], *, escape: bool = True) -> str:
    texts = (" ".join(cell.split()) for cell in cells)
    return "| " + " | ".join(text.replace("|", r"\|") if escape else text for text in texts) + " |"


def in_short(name: str) -> str:
    """A data set's name up to its first bracket, comma or semicolon; numbers keep their commas."""
    return re.split(r" \(|[,;] ", name, maxsplit=1)[0]


def number(value: float, digits: int = METRIC_DIGITS) -> str:
    return f"{round(value, digits):.{digits}f}".rstrip("0").rstrip(".")


# What a model answers


def answer_in_short(card: Card) -> str:
    """Of an encoder the sizes of its vectors; else the labels or targets, or their number."""
    if card.kind == "encoder":
        return ", ".join(f"{tensor.name} ({tensor.shape[0]})" for tensor in card.outputs)
    names, what = (card.labels, "labels") if card.labels else (card.targets, "values")
    text = ", ".join(names) if len(names) <= MAX_NAMES else f"{len(names)} {what}"
    if card.multilabel:
        text += ", independent"
    return f"{text}; {', '.join(card.groups)}" if card.groups else text


def answer(card: Card) -> Iterator[list[str]]:
    """Rows: labels and how their probabilities relate, groups of labels, targets."""
    if card.labels:
        yield ["labels", ", ".join(card.labels)]
    if card.kind == "classifier":
        own = "one per label, independent: several labels can apply, or none"
        yield ["probabilities", own if card.multilabel else "sum to 1 over the labels"]
    for group, labels in card.groups.items():
        yield [f"group `{group}`", " + ".join(labels)]
    if card.targets:
        yield ["targets", ", ".join(card.targets)]


def outputs(card: Card) -> str:
    rows = (
        [f"`{tensor.name}`", " × ".join(map(str, tensor.shape)), tensor.meaning]
        for tensor in card.outputs
    )
    return table("output | shape | meaning", rows)


# What a model hears


def audio_in_short(audio: AudioInput) -> str:
    return f"{audio.sample_rate / 1000:g} kHz, {_heard(audio)}"


def audio(audio: AudioInput) -> str:
    text = f"mono, {audio.sample_rate} Hz, {_heard(audio)}"
    if audio.patches:
        starts = ", ".join(f"{start_s:g}" for start_s in audio.patches.starts_s)
        text += f", from second {starts} of it; outputs are means over the patches"
    short = "is heard in patches closer together" if audio.patches else "is repeated"
    return f"{text}; at minimum {audio.min_audio_s:g} s, audio shorter than a window {short}"


def _heard(audio: AudioInput) -> str:
    window = f"{audio.window_s:g} s"
    if audio.patches is None:
        return f"window of {window}"
    count, seconds = len(audio.patches.starts_s), audio.patches.seconds
    return (
        f"{count} {'patch' if count == 1 else 'patches'} of {seconds:g} s in a window of {window}"
    )


# How a model was made and measured


def data(made: Provenance) -> str:
    rows = ([data.name, data.use, data.licence] for data in made.data)
    return table("data | use | licence", rows)


def metrics(values: Mapping[str, Scalar]) -> Iterator[str]:
    """Tables of metrics: `network: user_auc` is row `network`, column `user_auc`.

    Rows with the same columns share a table.
    """
    rows: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        row, _, column = name.rpartition(": ")
        row, column = (row, column) if row else (name, "value")
        rows.setdefault(row, {})[column] = number(value) if isinstance(value, float) else str(value)
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for row, cells in rows.items():
        tables.setdefault(tuple(cells), []).append([row, *cells.values()])
    for columns, lines in tables.items():
        yield table(" | ".join(["metric", *columns]), lines)


# The files of a model


def size_mb(bundle: Bundle) -> float:
    """Size of the graphs, the head included, in megabytes (1e6 bytes)."""
    return sum(_file_mb(bundle, graph) for graph in _files(bundle.card))


def _files(card: Card) -> list[Graph | Head]:
    return [*card.graphs, *([card.head] if card.head else [])]


def _file_mb(bundle: Bundle, graph: Graph | Head) -> float:
    return (bundle.folder / graph.file).stat().st_size / 1e6


def graphs(bundle: Bundle) -> str:
    """Graphs with their agreement with float32, rounded down so that 1 means equal."""
    header = (
        "file | MB | precision | agreement with float32: mean (minimum) | windows | measured on"
    )
    return table(header, (_graph_row(bundle, graph) for graph in _files(bundle.card)))


def _graph_row(bundle: Bundle, graph: Graph | Head) -> list[str]:
    row = [f"`{graph.file}`", number(_file_mb(bundle, graph), 3)]
    if isinstance(graph, Head):
        return [*row, "float32, head only", "", "", ""]
    if graph.agreement is None:
        return [*row, graph.precision, "", "", ""]
    shown = (
        f"{name} {floor_agreement(cosine.mean)} ({floor_agreement(cosine.least)})"
        for name, cosine in graph.agreement.outputs.items()
    )
    heard = dict.fromkeys(in_short(data.name) for data in graph.agreement.data)
    windows = str(graph.agreement.windows)
    return [*row, graph.precision, ", ".join(shown), windows, ", ".join(heard)]


def floor_agreement(value: float) -> str:
    """Rounded down, so that 1 means equal."""
    scale = 10**AGREEMENT_DIGITS
    # The decimal digits of the card are exact, their product in binary need not be.
    return f"{math.floor(round(value * scale, 6)) / scale:.{AGREEMENT_DIGITS}f}"
