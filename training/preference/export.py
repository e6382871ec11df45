"""Export of an encoder that has learnt users' preference: a run -> a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.bundle import Bundle
from training.errors import BadExport
from training.estimator.space import read_space
from training.export.groups import GroupRun, describe_parts, export_group_run
from training.fitting.curves import best_measures
from training.objectives.run import load_clips
from training.preference.train import load_network, read_fitted
from training.similarity.division import Division

TASK = "user-preference"


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
    """Export the best checkpoint of a run, whose embedding lives in the space of its users.

    Parameters
    ----------
    evaluation : None; such a run is judged by probes on its bundle

    Raises
    ------
    ParityFailed, BundleError, MissingInput, BadExport
    """
    if evaluation:
        reason = "is not of a run of `preference`; leave it out"
        raise BadExport(f"--evaluation {evaluation}", reason)
    network, settings = load_network(run)
    clips = load_clips(run)
    found = GroupRun(
        network,
        settings,
        clips,
        task=TASK,
        method=f"{network.title}, hinge on the cosines of a user's vector to a clip of a played "
        f"artist and one of an unheard artist, drawn by popularity; margin {settings.margin:g} "
        "(Chen, Liang 2020, on artists in place of tracks, at 16 kHz)",
        split=f"{Division.load(run)}; {describe_parts(clips)}{_describe_fitted(run)}",
        embedding="near the vectors of users who like the clip, by its cosine",
        metrics=best_measures(run),
        space=read_space(run),
    )
    return export_group_run(
        found, prepared_dir, out, data, default=default, card_version=card_version
    )


def _describe_fitted(run: Path) -> str:
    fitted = read_fitted(run)
    if fitted is None:
        return "; not recorded whether the vectors of users were fitted on test artists"
    return (
        f"; vectors of users fitted on {fitted['n_items']} items, without the "
        f"{fitted['n_held_out']} of the test artists"
    )
