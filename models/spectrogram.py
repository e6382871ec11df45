"""Spectrogram graph: the front end of a bundle's graph, cut off behind its log-mel spectrogram.

So what a network takes as its input can be looked at without another implementation of it. The
graph is described by a file beside the card, as additional graphs are: see `models.bundle`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field, ValidationError

from models.bundle import Bundle
from models.card import CardModel
from models.errors import BundleError

DESCRIPTION, GRAPH = "spectrogram.json", "spectrogram.onnx"
OUTPUT = "spectrogram"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(gt=0)]


class Spectrogram(CardModel):
    """The graph `spectrogram.onnx`: `waveform` as the bundle's graph takes it -> `spectrogram`.

    Attributes
    ----------
    sha256 : of the file
    reference : SHA-256 of the float32 graph that it was cut from
    tensor : name of the output in that graph
    shape : (parts, frames, bands) of one window: its patches, or the equal parts that the network
        takes it in
    meaning : unit and scale of the numbers
    """

    sha256: Digest
    reference: Digest
    opset: Size
    tensor: str
    shape: tuple[Size, Size, Size]
    meaning: str


def read(bundle: Bundle) -> Spectrogram | None:
    """The description of a bundle's spectrogram; None where it has none.

    Raises
    ------
    BundleError
        If the description is bad, or of another graph.
    """
    path = bundle.folder / DESCRIPTION
    if not path.exists():
        return None
    try:
        spectrogram = Spectrogram.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _bad(bundle, f"{DESCRIPTION} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its beginning"
        reason = f"{DESCRIPTION} breaks the schema at {where}: {first['msg']}"
        raise _bad(bundle, reason) from error
    if spectrogram.reference != bundle.card.graph().sha256:
        raise _bad(bundle, f"{GRAPH} was cut from another graph")
    return spectrogram


def graph_bytes(bundle: Bundle, spectrogram: Spectrogram) -> bytes:
    """The bytes of the graph.

    Raises
    ------
    BundleError
        If the file is missing, or is not the one that the description states.
    """
    try:
        content = (bundle.folder / GRAPH).read_bytes()
    except OSError as error:
        raise _bad(bundle, f"{GRAPH} is missing") from error
    if hashlib.sha256(content).hexdigest() != spectrogram.sha256:
        raise _bad(bundle, f"{GRAPH} is not the file that {DESCRIPTION} describes")
    return content


def write(bundle: Bundle, spectrogram: Spectrogram, content: bytes) -> None:
    """Write or replace the graph and its description, and read both back.

    Raises
    ------
    BundleError
    """
    (bundle.folder / DESCRIPTION).unlink(missing_ok=True)  # it must never refer to another file
    (bundle.folder / GRAPH).write_bytes(content)
    text = spectrogram.model_dump_json(indent=2) + "\n"
    (bundle.folder / DESCRIPTION).write_text(text)
    read(bundle)
    graph_bytes(bundle, spectrogram)


def _bad(bundle: Bundle, detail: str) -> BundleError:
    return BundleError(
        f"bundle {bundle.card.name}: {detail}",
        remedy="make it again with `tasteprint-train spectrogram`, or remove "
        f"{DESCRIPTION} and {GRAPH}",
    )
