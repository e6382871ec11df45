"""Card of an encoder that has learnt labels."""

from __future__ import annotations

import json
from pathlib import Path

from training.export.groups import GroupRun, describe_parts, refuse_evaluation
from training.fitting.curves import best_measures
from training.objectives.division import Division
from training.objectives.run import load_clips
from training.tagging.train import COMMAND, LABELS, load_network

TASK = "music-tagging"


def describe_run(run: Path, evaluation: Path | None) -> GroupRun:
    """The network of a run, and what its card says; the layer of the labels is no part of it.

    Parameters
    ----------
    evaluation : None; such a run is judged by probes on its bundle

    Raises
    ------
    MissingInput, UnknownEncoder, BadExport
    """
    refuse_evaluation(evaluation, COMMAND)
    network, settings = load_network(run)
    clips, labels = load_clips(run), json.loads((run / LABELS).read_text())
    return GroupRun(
        network,
        settings,
        clips,
        task=TASK,
        method=f"{network.title}, binary cross-entropy on {len(labels)} labels of segments of "
        f"{settings.crop_s:g} s",
        split=f"{Division.load(run)}; {describe_parts(clips)}",
        embedding="the last layer, from which the labels were learnt",
        metrics=best_measures(run),
        facts={"labels": ", ".join(labels)},
    )
