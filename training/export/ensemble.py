"""Ensemble of encoders as one bundle: one waveform, the outputs of all members concatenated.

Source: Lee et al. 2017, where the features of two networks are concatenated as they are, and Chen
and Liang 2020, where a music embedding stands beside those of MusiCNN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, compose, helper

from models.bundle import Bundle
from models.card import AudioInput, Provenance
from training.audio.windows import read_middle_windows, shuffle_files
from training.errors import BadExport
from training.export.bundle import PARITY_CLIPS, as_source, make_provenance, write_bundle
from training.export.parity import OPSET, CheckedGraph, check_outputs, without_traces

ARCHITECTURE = "ensemble"
LICENCE = "LICENSE"
WAVEFORM, CONCATENATED = "waveform", ("embedding", "features")


@dataclass(frozen=True)
class Member:
    """A bundle of an encoder, and one of its outputs."""

    bundle: Bundle
    output: str

    def __str__(self) -> str:
        return f"{self.bundle.card.name}: {self.output}"

    @property
    def audio(self) -> AudioInput:
        return self.bundle.card.audio

    @property
    def dim(self) -> int:
        return self.bundle.card.output_shape(self.output)[0]

    def cut(self, waveforms: NDArray[np.float32], audio: AudioInput) -> NDArray[np.float32]:
        """The member's input, of inputs of the ensemble, shape (n, `audio.input_samples`)."""
        if self.audio == audio:
            return waveforms
        length = self.audio.patch_samples
        parts = [waveforms[:, start : start + length] for start in self.audio.patch_starts]
        return np.concatenate(parts, 1)


def export_ensemble(
    members: Sequence[Member],
    out: Path,
    audio_folder: Path,
    *,
    default: bool = True,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Write the bundle, after a parity check with the members' own graphs on real windows.

    Its outputs `embedding` and `features` are both the concatenation, in the order of the members.

    Parameters
    ----------
    audio_folder : audio files for the parity check

    Raises
    ------
    BadExport
        If members differ in sample rate or window, an output is missing, or there is no audio.
    ParityFailed, BundleError
    """
    _check_outputs_exist(members)
    audio = join_audio(members)
    files = shuffle_files([audio_folder], 0)
    windows = list(islice(read_middle_windows(files, audio), PARITY_CLIPS))
    if not windows:
        raise BadExport(out.name, f"the parity check needs audio, and {audio_folder} has none")
    content = merge(members, audio)
    inputs = np.stack(windows)
    expected = concatenate_outputs(members, inputs, audio)
    errors = check_outputs([expected] * len(CONCATENATED), content, inputs)
    dim = sum(member.dim for member in members)
    meaning = " and ".join(map(str, members))
    written = write_bundle(
        out,
        CheckedGraph(content, errors),
        dict.fromkeys(CONCATENATED, dim),
        _make_provenance(members),
        kind="encoder",
        task="ensemble",
        audio=audio,
        architecture=ARCHITECTURE,
        meanings=dict.fromkeys(CONCATENATED, f"concatenated: {meaning}"),
        default=default,
        card_version=card_version,
    )
    _join_licences(members, out)
    return written


def join_audio(members: Sequence[Member]) -> AudioInput:
    """The one input that every member's can be cut from.

    Members of one input have that. Of different patches of one window, the input is the whole
    window, of which each member hears its patches at the places that its card states. In audio that
    is shorter than the window, which is repeated, these are not where the member alone hears them.

    Raises
    ------
    BadExport
    """
    first = members[0]
    if all(member.audio == first.audio for member in members):
        return first.audio
    for member in members:
        for name in ("sample_rate", "window_s", "short_audio"):
            found, expected = getattr(member.audio, name), getattr(first.audio, name)
            if found != expected:
                raise BadExport(
                    f"the ensemble of {first.bundle.card.name} and {member.bundle.card.name}",
                    f"{name} is {expected} of one and {found} of the other; choose encoders of one "
                    "window and sample rate",
                )
    min_audio_s = max(member.audio.min_audio_s for member in members)
    return first.audio.model_copy(update={"patches": None, "min_audio_s": min_audio_s})


def merge(members: Sequence[Member], audio: AudioInput) -> bytes:
    """The graph of the ensemble, its weights named by the number of their member.

    Raises
    ------
    BadExport
    """
    models = [_read_model(member) for member in members]
    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []
    outputs = []
    for number, (member, model) in enumerate(zip(members, models, strict=True)):
        graph = compose.add_prefix(model, prefix := f"{number}.").graph
        cut_nodes, cut_weights = _cut_nodes(member, audio, prefix)
        nodes += [*cut_nodes, *graph.node]
        weights += [*cut_weights, *graph.initializer]
        outputs.append(f"{prefix}{member.output}")
    nodes.append(helper.make_node("Concat", outputs, [CONCATENATED[0]], axis=1))
    nodes.append(helper.make_node("Identity", [CONCATENATED[0]], [CONCATENATED[1]]))
    dim = sum(member.dim for member in members)
    graph = helper.make_graph(
        nodes,
        ARCHITECTURE,
        [_describe(WAVEFORM, audio.input_samples)],
        [_describe(name, dim) for name in CONCATENATED],
        weights,
    )
    merged = helper.make_model(graph, opset_imports=models[0].opset_import)
    merged.ir_version = max(model.ir_version for model in models)
    onnx.checker.check_model(merged)
    return without_traces(merged)


def _describe(name: str, size: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])


def _read_model(member: Member) -> ModelProto:
    """The member's float32 graph, of the operators that this version writes.

    Raises
    ------
    BadExport
    """
    card = member.bundle.card
    model: ModelProto = onnx.load_from_string(member.bundle.graph_bytes(card.graph()))
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets != {"": OPSET} or model.functions:
        raise BadExport(
            f"member {card.name}",
            f"its graph has the operators {opsets} or functions, and those of an ensemble are of "
            f"opset {OPSET} alone; export it again",
        )
    return model


def _cut_nodes(
    member: Member, audio: AudioInput, prefix: str
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes that cut the member's input from the waveform, and their constants."""
    source = f"{prefix}{WAVEFORM}"
    if member.audio == audio:
        return [helper.make_node("Identity", [WAVEFORM], [source])], []
    nodes, constants = [], [_make_constant(f"{prefix}axis", 1)]
    for index, start in enumerate(member.audio.patch_starts):
        ends = [f"{prefix}start.{index}", f"{prefix}end.{index}"]
        for name, sample in zip(ends, (start, start + member.audio.patch_samples), strict=True):
            constants.append(_make_constant(name, sample))
        part = f"{prefix}patch.{index}"
        nodes.append(helper.make_node("Slice", [WAVEFORM, *ends, f"{prefix}axis"], [part]))
    parts = [node.output[0] for node in nodes]
    return [*nodes, helper.make_node("Concat", parts, [source], axis=1)], constants


def _make_constant(name: str, value: int) -> TensorProto:
    return onnx.numpy_helper.from_array(np.array([value], np.int64), name)


def concatenate_outputs(
    members: Sequence[Member], waveforms: NDArray[np.float32], audio: AudioInput
) -> NDArray[np.float32]:
    """What the members' own graphs give for inputs of the ensemble: (n, sum of the dims)."""
    outputs = []
    for member in members:
        content = member.bundle.graph_bytes(member.bundle.card.graph())
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        (found,) = session.run([member.output], {WAVEFORM: member.cut(waveforms, audio)})
        outputs.append(np.asarray(found, np.float32))
    return np.concatenate(outputs, 1)


def _check_outputs_exist(members: Sequence[Member]) -> None:
    for member in members:
        card = member.bundle.card
        names = [tensor.name for tensor in card.outputs]
        if card.kind != "encoder" or member.output not in names:
            reason = f"{member.output!r} is not one of {', '.join(names)}, outputs of a {card.kind}"
            raise BadExport(f"member {card.name}", f"{reason}; choose an output of an encoder")


def _make_provenance(members: Sequence[Member]) -> Provenance:
    facts = {}
    for number, member in enumerate(members, 1):
        facts[f"member_{number}"] = str(member)
        facts[f"member_{number}_digest"] = member.bundle.digest
    cards = [member.bundle.card for member in members]
    return make_provenance(
        method=f"concatenation of {' and '.join(map(str, members))}",
        data=tuple(
            data for card in cards for data in as_source("member", card.name, card.provenance.data)
        ),
        seed=0,
        hyperparameters=facts,
        metrics={
            f"{card.name}: {name}": value
            for card in cards
            for name, value in card.provenance.metrics.items()
        },
        split="; ".join(f"{card.name}: {card.provenance.split}" for card in cards),
    )


def _join_licences(members: Sequence[Member], out: Path) -> None:
    """Write the licences of the members' weights, where they have files of them, into one file."""
    texts = {}
    for member in members:
        path = member.bundle.folder / LICENCE
        if path.is_file():
            texts[member.bundle.card.name] = path.read_text().strip()
    if texts:
        parts = [f"{name}:\n\n{text}\n" for name, text in texts.items()]
        (out / LICENCE).write_text("\n".join(parts))
