"""Model card: the schema of `card.json`, which describes a model to its users."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["encoder", "classifier", "regressor"]
Precision = Literal["float32", "float16", "int8"]
# Pattern of the name of a bundle and its folder.
NAME = "[a-z0-9][a-z0-9-]{0,62}"
Scalar = str | int | float | bool | None

# Outputs that a graph of each kind must have.
REQUIRED_OUTPUTS: dict[Kind, frozenset[str]] = {
    "encoder": frozenset({"embedding", "features"}),
    "classifier": frozenset({"probabilities", "embedding", "features"}),
    "regressor": frozenset({"values", "embedding", "features"}),
}


def _is_none(value: object) -> bool:
    return value is None


class CardModel(BaseModel):
    """Base of the card's schemas: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(CardModel):
    """One input or output; `shape` is without the batch axis, which is first and of any size."""

    name: str
    shape: tuple[Annotated[int, Field(gt=0)], ...]
    meaning: str


class Data(CardModel):
    """One data set, what it was used for, and its licence."""

    name: str
    use: str
    licence: str


class Cosine(CardModel):
    """Agreement of two graphs' outputs over the same windows: see `Agreement.outputs`.

    `least` is the minimum over the windows; the field's name is part of the format on disk.
    """

    mean: Annotated[float, Field(ge=-1, le=1)]
    least: Annotated[float, Field(ge=-1, le=1)]


class Agreement(CardModel):
    """Agreement of a graph's outputs with those of the float32 graph, measured on real audio.

    Attributes
    ----------
    reference : SHA-256 of the float32 graph of the comparison
    windows : number of windows measured, none of them used to make the graph
    outputs : by output name; for `embedding` and `features` the cosine similarity, for
        `probabilities` and `values`, whose magnitude counts too, 1 - |a - b|² / (2 |a| |b|): see
        `models.similarity`
    data : data sets for calibration and for the measurement
    """

    reference: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    windows: Annotated[int, Field(gt=0)]
    outputs: dict[str, Cosine]
    data: tuple[Data, ...]

    @property
    def minimum(self) -> float:
        """Minimum over all outputs and windows."""
        return min((cosine.least for cosine in self.outputs.values()), default=-1.0)


class Graph(CardModel):
    """One ONNX file of the bundle, with its agreement if the precision is not float32."""

    file: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    precision: Precision
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    opset: Annotated[int, Field(gt=0)]
    agreement: Agreement | None = None


class Head(CardModel):
    """Task head on a frozen encoder: one more graph, from the encoder's output `input`.

    `input` is the encoder's `embedding` or `features`, shape (batch, dim); the outputs of these
    names in this bundle are the encoder's. The bundle's other graphs hold encoder and head
    together; where the encoder is loaded, it runs once for all heads on it.
    """

    file: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    opset: Annotated[int, Field(gt=0)]
    encoder: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: Literal["embedding", "features"]


class AudioInput(CardModel):
    """The graph's audio input: mono float32 in [-1, 1] at `sample_rate` Hz, `window_s` long."""

    sample_rate: Annotated[int, Field(gt=0)]
    window_s: Annotated[float, Field(gt=0)]
    short_audio: Literal["repeat"]
    min_audio_s: Annotated[float, Field(gt=0)]

    @property
    def window_samples(self) -> int:
        return round(self.sample_rate * self.window_s)


class Provenance(CardModel):
    """Origin of the weights, and their metrics."""

    method: str
    teacher: str | None = None
    data: tuple[Data, ...]
    seed: int
    hyperparameters: dict[str, Scalar]
    code_version: str
    metrics: dict[str, Scalar]
    split: str
    created: date


class Card(CardModel):
    """`card.json`: schema version 1.

    The card's digest covers the graphs too, since the card states their digests: see
    `models.bundle.Bundle.digest`. A card that `models.bundle.read` returns also has the additional
    graphs, which are described in files beside it.
    """

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    version: str
    kind: Kind
    task: Annotated[str, Field(pattern=rf"^{NAME}$")]
    # A name in `training.networks.registry`. Not written if None, so that cards of the CF estimator
    # are unchanged from before the field existed.
    architecture: Annotated[
        str | None,
        Field(
            pattern=rf"^{NAME}$",
            exclude_if=_is_none,
            description="Network architecture of the encoder; if absent, `cf-estimator`.",
        ),
    ] = None
    labels: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    audio: AudioInput
    input: Tensor
    outputs: tuple[Tensor, ...]
    graphs: Annotated[tuple[Graph, ...], Field(min_length=1)]
    head: Head | None = None
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        shapes = {tensor.name: tensor.shape for tensor in self.outputs}
        missing = REQUIRED_OUTPUTS[self.kind] - shapes.keys()
        if missing:
            raise ValueError(f"a {self.kind} needs the outputs {sorted(missing)}")
        if self.input.name != "waveform" or self.input.shape != (self.audio.window_samples,):
            raise ValueError(f"the input must be waveform, shape ({self.audio.window_samples},)")
        if any(len(shape) != 1 for shape in shapes.values()):
            raise ValueError(f"outputs must be vectors, but have the shapes {shapes}")
        for names in (self.labels, self.targets):
            if len(set(names)) < len(names):
                raise ValueError(f"labels and targets must be unique: {names}")
        if self.head and self.kind == "encoder":
            raise ValueError("an encoder cannot be a head on another one")
        if self.kind == "classifier" and shapes["probabilities"] != (len(self.labels),):
            raise ValueError("a classifier needs as many labels as probabilities")
        if self.kind == "regressor" and shapes["values"] != (len(self.targets),):
            raise ValueError("a regressor needs as many targets as values")
        if not any(graph.precision == "float32" for graph in self.graphs):
            raise ValueError("one graph must be float32")
        self._check_agreement()
        return self

    def _check_agreement(self) -> None:
        precisions = [graph.precision for graph in self.graphs]
        if len(set(precisions)) < len(precisions):
            raise ValueError(f"only one graph per precision is allowed: {precisions}")
        names = {tensor.name for tensor in self.outputs}
        for graph in self.graphs:
            if graph.agreement is None:
                continue
            if graph.agreement.reference != self.graph().sha256:
                raise ValueError(f"{graph.file} was compared with another float32 graph")
            if graph.agreement.outputs.keys() != names:
                raise ValueError(f"{graph.file} must state the agreement of {sorted(names)}")

    def graph(self, precision: Precision = "float32") -> Graph:
        """The graph of that precision; `KeyError` if the bundle has none."""
        for graph in self.graphs:
            if graph.precision == precision:
                return graph
        raise KeyError(precision)

    def output_shape(self, name: str) -> tuple[int, ...]:
        return next(tensor.shape for tensor in self.outputs if tensor.name == name)
