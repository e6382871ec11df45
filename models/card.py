"""Model card: the schema of `card.json`, which describes a model to its users."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Kind = Literal["encoder", "classifier", "regressor"]
Precision = Literal["float32", "float16", "int8"]
# Pattern of the name of a bundle and its folder.
NAME = "[a-z0-9][a-z0-9-]{0,62}"
Scalar = str | int | float | bool | None

# Each patch is sought in the file and decoded on its own.
MAX_PATCHES = 64

# Name of a head graph's input where the head takes several outputs of its encoder.
CONCATENATED = "concatenated"

# Outputs that a graph of each kind must have.
REQUIRED_OUTPUTS: dict[Kind, frozenset[str]] = {
    "encoder": frozenset({"embedding", "features"}),
    "classifier": frozenset({"probabilities", "embedding", "features"}),
    "regressor": frozenset({"values", "embedding", "features"}),
}


def _is_default(default: object) -> Callable[[object], bool]:
    """For `exclude_if`: fields added after the first bundles are not written if at their default.

    So the cards of those bundles, and the digests of the cards, are unchanged.
    """
    return partial(operator.eq, default)


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
    """Task head on a frozen encoder: one more graph, from one or several outputs of the encoder.

    `input` names the outputs, each of shape (batch, dim); several are concatenated in this order.
    The outputs `embedding` and `features` of this bundle are the encoder's. The bundle's other
    graphs hold encoder and head together; where the encoder is loaded, it runs once for all heads
    on it.
    """

    file: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    opset: Annotated[int, Field(gt=0)]
    encoder: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: str | Annotated[tuple[str, ...], Field(min_length=2)]

    @property
    def encoder_outputs(self) -> tuple[str, ...]:
        """Names of the encoder's outputs that the head takes, in the order of its input."""
        return (self.input,) if isinstance(self.input, str) else self.input

    @property
    def input_name(self) -> str:
        """Name of the head graph's one input."""
        return self.input if isinstance(self.input, str) else CONCATENATED


class Patches(CardModel):
    """The parts of a window that a model is run on; its outputs are the means over them.

    Attributes
    ----------
    seconds : length of each patch
    starts_s : start of each patch in the window, ascending; patches do not overlap. In audio that
        is shorter than the window they are closer together: see `models.audio.spans.patch_starts`
    """

    seconds: Annotated[float, Field(gt=0)]
    starts_s: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...],
        Field(min_length=1, json_schema_extra={"maxItems": MAX_PATCHES}),
    ]

    @field_validator("starts_s")
    @classmethod
    def _bound_the_count(cls, starts_s: tuple[float, ...]) -> tuple[float, ...]:
        if len(starts_s) > MAX_PATCHES:
            raise ValueError(
                f"{len(starts_s)} patches, and a window may have {MAX_PATCHES} at most: state "
                "fewer, longer ones"
            )
        return starts_s


class AudioInput(CardModel):
    """The graph's audio input: mono float32 in [-1, 1] at `sample_rate` Hz.

    Without `patches`, the input is the whole window of `window_s`; with them, the patches of the
    window one after another, and only they are decoded.
    """

    sample_rate: Annotated[int, Field(gt=0)]
    window_s: Annotated[float, Field(gt=0)]
    short_audio: Literal["repeat"]
    min_audio_s: Annotated[float, Field(gt=0)]
    patches: Annotated[Patches | None, Field(exclude_if=_is_default(None))] = None

    # Of the field: a validator of the model would run again in each message to a decoder process.
    @field_validator("patches")
    @classmethod
    def _fit_the_window(cls, patches: Patches | None, others: ValidationInfo) -> Patches | None:
        window_s = others.data.get("window_s")
        if patches is None or window_s is None:  # an invalid `window_s` is an error of its own
            return patches
        ends_s = [start_s + patches.seconds for start_s in patches.starts_s]
        limits_s = (*patches.starts_s[1:], window_s)
        if any(end_s > limit_s + 1e-9 for end_s, limit_s in zip(ends_s, limits_s, strict=True)):
            raise ValueError(
                f"patches must be ascending, within the window of {window_s:g} s, and not "
                f"overlap: {patches.seconds:g} s at {patches.starts_s}"
            )
        return patches

    @property
    def window_samples(self) -> int:
        return round(self.sample_rate * self.window_s)

    @property
    def patch_samples(self) -> int:
        """Length of a patch; without patches, of the window."""
        if self.patches is None:
            return self.window_samples
        return round(self.sample_rate * self.patches.seconds)

    @property
    def patch_starts(self) -> tuple[int, ...]:
        """Start of each patch in samples of the window; without patches, 0 for the window."""
        if self.patches is None:
            return (0,)
        return tuple(round(self.sample_rate * start_s) for start_s in self.patches.starts_s)

    @property
    def input_samples(self) -> int:
        """Length of the graph's input: of all patches, or of the window."""
        return len(self.patch_starts) * self.patch_samples


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
            exclude_if=_is_default(None),
            description="Network architecture of the encoder; if absent, `cf-estimator`.",
        ),
    ] = None
    space: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            exclude_if=_is_default(None),
            description="CF space that `embedding` lives in: digest of the factors that its "
            "encoder was trained on. If absent, `embedding` lives in no CF space, or in one that "
            "was not recorded.",
        ),
    ] = None
    # Load at the start, answer in `/analyze` by default and count for readiness; other bundles are
    # loaded when they are first requested.
    default: Annotated[bool, Field(exclude_if=_is_default(True))] = True
    labels: tuple[str, ...] = ()
    # Each label of a classifier has a probability of its own; if false, they sum to 1.
    multilabel: Annotated[bool, Field(exclude_if=_is_default(False))] = False
    # Name of a group → labels whose probabilities are added, for example valence: happy, calm.
    groups: Annotated[dict[str, tuple[str, ...]], Field(exclude_if=_is_default({}))] = {}
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
        if self.input.name != "waveform" or self.input.shape != (self.audio.input_samples,):
            raise ValueError(f"the input must be waveform, shape ({self.audio.input_samples},)")
        if any(len(shape) != 1 for shape in shapes.values()):
            raise ValueError(f"outputs must be vectors, but have the shapes {shapes}")
        for names in (self.labels, self.targets):
            if len(set(names)) < len(names):
                raise ValueError(f"labels and targets must be unique: {names}")
        if self.head and self.kind == "encoder":
            raise ValueError("an encoder cannot be a head on another one")
        if self.kind == "classifier" and shapes["probabilities"] != (len(self.labels),):
            raise ValueError("a classifier needs as many labels as probabilities")
        if self.multilabel and (self.kind != "classifier" or self.groups):
            raise ValueError("only a classifier without groups can be multilabel")
        if self.groups and self.kind != "classifier":
            raise ValueError("only a classifier has groups of labels")
        if self.head and len(set(self.head.encoder_outputs)) < len(self.head.encoder_outputs):
            raise ValueError(f"the head takes an output twice: {self.head.encoder_outputs}")
        if any(not group or len(set(group)) < len(group) for group in self.groups.values()):
            raise ValueError(f"groups must name labels, each once: {self.groups}")
        unknown = {label for group in self.groups.values() for label in group} - set(self.labels)
        if unknown:
            raise ValueError(f"groups name labels that the card lacks: {sorted(unknown)}")
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
