"""Card of an encoder that has learnt users' preference."""

from __future__ import annotations

from pathlib import Path

from training.estimator.space import read_space
from training.export.groups import GroupRun, describe_parts, refuse_evaluation
from training.fitting.curves import best_measures
from training.objectives.division import Division
from training.objectives.run import load_clips
from training.preference.train import COMMAND, load_network, read_fitted

TASK = "user-preference"


def describe_run(run: Path, evaluation: Path | None) -> GroupRun:
    """The network of a run, whose embedding lives in the space of its users, and its card.

    Parameters
    ----------
    evaluation : None; such a run is judged by probes on its bundle

    Raises
    ------
    MissingInput, UnknownEncoder, BadExport
    """
    refuse_evaluation(evaluation, COMMAND)
    network, settings = load_network(run)
    clips = load_clips(run)
    return GroupRun(
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


def _describe_fitted(run: Path) -> str:
    fitted = read_fitted(run)
    if fitted is None:
        return "; not recorded whether the vectors of users were fitted on test artists"
    return (
        f"; vectors of users fitted on {fitted['n_items']} items, without the "
        f"{fitted['n_held_out']} of the test artists"
    )
