"""Final fit: train a compared transfer method on every track and write its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.bundle import Bundle, read
from models.card import Provenance
from training.datasets.prepared import TaskData
from training.errors import BadExport
from training.export.bundle import (
    PARITY_CLIPS,
    CheckedHead,
    as_teacher,
    make_provenance,
    write_bundle,
)
from training.export.reload import load_network_from_bundle
from training.export.torch_to_onnx import export_checked
from training.fitting.settings import Accelerator
from training.networks.registry import name_of
from training.networks.task_model import TaskModel
from training.networks.waveform import OutputLayer, WaveformTaskModel
from training.transfer.calibration import fit_temperature
from training.transfer.encoder_outputs import bundle_outputs, require_encoder
from training.transfer.results import Result, read_results
from training.transfer.settings import METHODS, TransferSettings, used_settings
from training.transfer.summary import held_out_logits, summary
from training.transfer.train import train


def ship(
    task: Path,
    teacher: Path,
    results: Path,
    out: Path,
    *,
    method: str,
    width: int,
    seed: int = 0,
    on_demand: bool = False,
    card_version: str = "1.0.0",
    accelerator: Accelerator = "auto",
) -> tuple[Bundle, Mapping[str, float]]:
    """Train once more, on all tracks but a validation part, with the settings of `compare`.

    Nothing is held out here; so the card's metrics, and the temperature that calibrates the
    probabilities, are of `compare`'s runs on held-out folds.

    Parameters
    ----------
    on_demand : whether the service loads the bundle on its first use only

    Raises
    ------
    MissingInput, BadExport, ParityFailed, BundleError
    """
    data, source = TaskData.load(task), read(teacher)
    require_encoder(source, data)
    runs = runs_of(results / data.facts.name, method, width)
    if {run.teacher for run in runs} - {None, source.digest}:
        raise BadExport(f"{method} at width {width}", "was compared with another teacher")
    settings = replace(settings_of(runs[0]), seed=seed, accelerator=accelerator)
    model = train(
        data,
        results / data.facts.name / f"ship-{method}-w{width}-s{seed}",
        settings,
        teacher=load_network_from_bundle(source) if method in ("init", "fix") else None,
        teacher_embeddings=(
            bundle_outputs(source, data)["embedding"] if method in ("kd", "fix") else None
        ),
        parts=data.parts(None),
        teacher_digest=source.digest,
    )
    metrics = summary(runs)
    if data.facts.kind == "classification":
        logits, targets = held_out_logits(runs)
        temperature = fit_temperature(np.concatenate(logits), np.concatenate(targets))
        model.scale.div_(temperature)
        metrics["temperature"] = round(temperature, 4)
    used = used_settings(settings)
    del used["fold"]  # no fold is held out
    facts = make_provenance(
        method=method,
        teacher=source.digest if method != "base" else None,
        data=(*data.facts.data, *(as_teacher(source) if method != "base" else ())),
        seed=seed,
        hyperparameters=used,
        metrics=metrics,
        split=f"{data.facts.split}; metrics of held-out folds; the shipped weights "
        "were trained on every track except an eighth, which chose the checkpoint",
    )
    shared = source if method == "fix" else None
    return _write(model, data, shared, out, facts, on_demand=on_demand, card_version=card_version)


def runs_of(results: Path, method: str, width: int) -> list[Result]:
    """The runs of one method and width, whose metrics the card states.

    Raises
    ------
    BadExport
        Where the method is no transfer method, or was not run.
    """
    if method not in METHODS:
        raise BadExport(f"the method {method!r}", f"is not one of {', '.join(METHODS)}")
    runs = [run for run in read_results(results) if (run.method, run.width) == (method, width)]
    if not runs:
        raise BadExport(f"{method} at width {width}", f"has no run in {results}; run `compare`")
    return runs


def settings_of(run: Result) -> TransferSettings:
    """Settings of a run; the encoder and its embedding size are stated unless the default."""
    return TransferSettings(**run.settings)  # type: ignore[arg-type]


def _write(
    model: TaskModel,
    data: TaskData,
    shared: Bundle | None,
    out: Path,
    facts: Provenance,
    *,
    on_demand: bool,
    card_version: str,
) -> tuple[Bundle, Mapping[str, float]]:
    """Write the bundle, with a separate head where the encoder `shared` is unchanged."""
    is_classifier = data.facts.kind == "classification"
    answer = "probabilities" if is_classifier else "values"
    encoder = model.encoder
    outputs = {
        answer: len(data.facts.labels),
        "embedding": encoder.embedding_dim,
        "features": encoder.features_dim,
    }
    graph = export_checked(
        WaveformTaskModel(model, softmax=is_classifier).eval(),
        "waveform",
        data.prepared.waveforms(data.rows[:PARITY_CLIPS]),
        list(outputs),
    )
    head = None
    if shared is not None:
        layer = OutputLayer(model, softmax=is_classifier).eval()
        embeddings = bundle_outputs(shared, data)["embedding"][:PARITY_CLIPS]
        head = CheckedHead(
            export_checked(layer, "embedding", embeddings, [answer]), shared, ("embedding",)
        )
    return write_bundle(
        out,
        graph,
        outputs,
        facts,
        kind="classifier" if is_classifier else "regressor",
        task=data.facts.card_task,
        audio=encoder.audio,
        architecture=name_of(encoder),
        # The embedding of `fix` is the teacher's. `init` and `kd` only start from it or are drawn
        # to it (kd perhaps to a standardised copy): the task's loss moves them out of its space.
        space=shared.card.space if shared else None,
        names=data.facts.labels,
        groups=data.facts.groups,
        head=head,
        default=not on_demand,
        card_version=card_version,
    )
