"""Final fit: train a compared transfer method on every track and write its bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.card import Data, Provenance
from training.datasets.pool import Pool
from training.datasets.prepared import TaskData
from training.errors import BadExport
from training.export.bundle import (
    PARITY_CLIPS,
    CheckedHead,
    as_teacher,
    make_provenance,
    write_bundle,
)
from training.export.torch_to_onnx import export_checked
from training.fitting.settings import Accelerator
from training.networks.bundle_outputs import bundle_outputs
from training.networks.registry import name_of
from training.networks.task_model import TaskModel
from training.networks.waveform import OutputLayer, WaveformTaskModel
from training.transfer.calibration import fit_temperature
from training.transfer.results import Result, read_results
from training.transfer.settings import METHODS, RECIPES, TransferSettings, used_settings
from training.transfer.sources import Sources
from training.transfer.summary import held_out_logits, summary
from training.transfer.train import train


def ship(
    sources: Sources,
    results: Path,
    out: Path,
    *,
    method: str,
    width: int,
    variant: str = "",
    seed: int = 0,
    on_demand: bool = False,
    card_version: str = "1.0.0",
    accelerator: Accelerator = "auto",
) -> tuple[Bundle, Mapping[str, float]]:
    """Train once more, on all tracks but a validation part, with the settings of `compare`.

    Nothing is held out here; so the card's metrics, and the temperature that calibrates the
    probabilities, are of `compare`'s runs on held-out folds. Where these had a teacher for each
    fold, the teacher here is the one that is named alike, trained on all folds.

    Parameters
    ----------
    on_demand : whether the service loads the bundle on its first use only

    Raises
    ------
    MissingInput, BadExport, ParityFailed, BundleError
    """
    inputs = sources.load(None)
    data, teacher, start = inputs.data, inputs.teacher_of(method), inputs.start_of(method)
    runs = runs_of(results / data.facts.name, method, width, variant)
    if not (
        _is_the_bundle(teacher, {(run.teacher, run.teacher_name) for run in runs})
        and _is_the_bundle(start, {(run.start, run.start_name) for run in runs})
    ):
        raise BadExport(f"{runs[0].label} at width {width}", "was compared with another teacher")
    uses_pool = RECIPES[method].uses_pool
    settings = replace(settings_of(runs[0]), seed=seed, accelerator=accelerator)
    model = train(
        data,
        results / data.facts.name / f"ship-{runs[0].label.replace(' ', '-')}-w{width}-s{seed}",
        settings,
        start=inputs.load_start(method),
        teacher_embeddings=inputs.embeddings if teacher else None,
        pool=inputs.pool_clips if uses_pool else (),
        parts=data.parts(None),
        digests=inputs.digests,
    )
    metrics = summary(runs)
    if data.facts.kind == "classification":
        logits, targets = held_out_logits(runs)
        temperature = fit_temperature(np.concatenate(logits), np.concatenate(targets))
        model.scale.div_(temperature)
        metrics["temperature"] = round(temperature, 4)
    used = {**used_settings(settings), **inputs.pool_facts(method)}
    del used["fold"]  # no fold is held out
    bundles = [bundle for bundle in (teacher, start) if bundle]
    if teacher and start:
        used["start"] = start.digest
    facts = make_provenance(
        method=method,
        teacher=bundles[0].digest if bundles else None,
        data=(
            *data.facts.data,
            *(_data_of(inputs.pools) if uses_pool else ()),
            *(fact for bundle in bundles for fact in as_teacher(bundle)),
        ),
        seed=seed,
        hyperparameters=used,
        metrics=metrics,
        split=f"{data.facts.split}; metrics of held-out folds; the shipped weights "
        "were trained on every track except an eighth, which chose the checkpoint",
    )
    is_head = RECIPES[method].start == "teacher"
    return _write(
        model,
        inputs.teacher_data if is_head else data,
        teacher if is_head else None,
        out,
        facts,
        on_demand=on_demand,
        card_version=card_version,
    )


def _is_the_bundle(bundle: Bundle | None, stated: set[tuple[str | None, str | None]]) -> bool:
    """Whether runs used a bundle; with one for each fold, whether it has their name."""
    if bundle is None or len(stated) == 1:
        return {digest for digest, _ in stated} == {bundle and bundle.digest}
    return {name for _, name in stated} == {bundle.card.name}


def runs_of(results: Path, method: str, width: int, variant: str = "") -> list[Result]:
    """The runs of one method, width and variant, whose metrics the card states.

    Raises
    ------
    BadExport
        Where the method is no transfer method, or was not run.
    """
    if method not in METHODS:
        raise BadExport(f"the method {method!r}", f"is not one of {', '.join(METHODS)}")
    chosen = method, variant, width
    runs = [run for run in read_results(results) if (run.method, run.variant, run.width) == chosen]
    if not runs:
        name = f"{method} ({variant})" if variant else method
        raise BadExport(f"{name} at width {width}", f"has no run in {results}; run `compare`")
    return runs


def settings_of(run: Result) -> TransferSettings:
    """Settings of a run, without the facts of its pool; what is not stated is the default."""
    names = {field.name for field in fields(TransferSettings)}
    in_epochs = {"max_steps": 0, "validation_steps": 0}  # a run of before there was a choice
    stated: Any = {name: value for name, value in run.settings.items() if name in names}
    return TransferSettings(**(in_epochs | stated))


def _data_of(pools: Sequence[Pool]) -> tuple[Data, ...]:
    """What the card states of the recordings of the pools.

    Raises
    ------
    BadExport
        If a pool states no data set and licence.
    """
    for pool in pools:
        if not pool.data:
            raise BadExport(
                f"the pool {pool.folder}",
                "states no data set; make it by `tasteprint-train dataset`",
            )
    return tuple(
        data.model_copy(update={"use": "audio without labels"})
        for pool in pools
        for data in pool.data
    )


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
