"""Export of an encoder that has learnt labels: a run -> a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from models.bundle import Bundle
from training.errors import BadExport
from training.export.groups import GroupRun, describe_parts, export_group_run
from training.fitting.curves import best_measures
from training.objectives.run import load_clips
from training.similarity.division import Division
from training.tagging.train import LABELS, load_network

TASK = "music-tagging"


def export_run(
    run: Path,
    prepared_dir: Path,
    out: Path,
    data: Path,
    evaluation: Path | None,
    *,
    default: bool = True,
    card_version: str = "1.0.0",
) -> tuple[Bundle, Mapping[str, float]]:
    """Export the best checkpoint of a run; the layer of the labels is no part of the bundle.

    Parameters
    ----------
    evaluation : None; such a run is judged by probes on its bundle

    Raises
    ------
    ParityFailed, BundleError, MissingInput, BadExport
    """
    if evaluation:
        raise BadExport(f"--evaluation {evaluation}", "is not of a run of `tagging`; leave it out")
    network, settings = load_network(run)
    clips, labels = load_clips(run), json.loads((run / LABELS).read_text())
    found = GroupRun(
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
    return export_group_run(
        found, prepared_dir, out, data, default=default, card_version=card_version
    )
