"""Table 1 of Lee, Park, Nam 2019: learnt concept × tested concept, drawn from `measures.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from training.evaluation.sets import EvaluationSets
from training.networks.inference import Track
from training.objectives.clips import TEST
from training.similarity import holdout
from training.similarity.concepts import ConceptDraws, positive_part
from training.similarity.settings import CONCEPTS
from training.tables.measures import read_measures, write_measures

TABLE = "report.md"
# Learnt concept → tested concept → accuracy (paper, table 1): 5,000 artists, 10,000 albums.
PAPER = {
    "artist": {"artist": 0.680, "album": 0.732, "track": 0.922},
    "album": {"artist": 0.634, "album": 0.822, "track": 0.958},
    "track": {"artist": 0.539, "album": 0.653, "track": 0.971},
    "joint": {"artist": 0.686, "album": 0.763, "track": 0.945},
}


def run(
    runs: Sequence[Path],
    bundles: Sequence[Path],
    prepared: Sequence[Path],
    out: Path,
    *,
    negatives: int,
    n_draws: int,
    track: Track = lambda label, starts: starts,
) -> str:
    """Test runs and bundles, and write `measures.json` and the table; returns the table.

    Raises
    ------
    MissingInput, OtherClips, OtherSets, OtherAudio, MissingAudioInput, TooFewNegatives, NoSegments,
    BundleError, BadEncoder
    """
    clips, by_song = holdout.load_same_clips(runs)
    learners = holdout.load_learners(runs, bundles)
    tests = holdout.draw_tests(clips, negatives, by_song=by_song)
    measures = holdout.measure_learners(
        learners, clips, EvaluationSets.load(prepared), tests, n_draws=n_draws, track=track
    )
    content = {
        "positives": positive_part(TEST, by_song=by_song),
        "negatives": negatives,
        "chance": 1 / (1 + negatives),
        "n_draws": n_draws,
        "tested": {name: _count_tested(draws, clips) for name, draws in tests.items()},
        "concepts": {learner.name: learner.concept for learner in learners},
        "measures": measures,
    }
    write_measures(out, content)
    return redraw(out)


def _count_tested(draws: ConceptDraws, clips: pd.DataFrame) -> dict[str, int]:
    """Anchors and their artists; of the anchors, those with a possible negative by their artist."""
    artists = clips["artist"].to_numpy(str)
    own = [
        (artists[draws.concept.list_others(clip, draws.is_negative)] == artists[clip]).any()
        for clip in draws.anchors
    ]
    return {
        "n_anchors": len(draws),
        "n_artists": len(set(artists[draws.anchors])),
        "n_own": int(sum(own)),
        "negatives": draws.group_size - 2,
    }


def redraw(folder: Path) -> str:
    """Write the table of an earlier test again, and return it.

    Raises
    ------
    MissingInput
    """
    table = draw_table(read_measured(folder))
    (folder / TABLE).write_text(table)
    return table


def read_measured(folder: Path) -> dict[str, Any]:
    """What `run` has written.

    Raises
    ------
    MissingInput
    """
    return read_measures(folder, "similarity-report", "measures", "concepts", "tested")


def draw_table(content: Mapping[str, Any]) -> str:
    """Markdown: a row for each tested concept, a column for each learner, the paper's beside."""
    names = list(content["measures"])
    lines = [
        "# Held-out positive and negative prediction",
        "",
        f"Share of draws in which the positive is nearer than all {content['negatives']} negatives "
        f"(chance {content['chance']:.3f}), with 95 % intervals over artists; "
        f"{content['n_draws']} draws of each anchor. Table 1 of Lee, Park, Nam 2019; in brackets "
        "their value, of 5,000 artists or 10,000 albums.",
        "",
        describe_clips(content.get("positives")),
        "",
        *describe_untested(content["tested"]),
        *describe_albums(content["tested"]),
        "| tested on | anchors | artists | " + " | ".join(names) + " |",
        "|---" * (3 + len(names)) + "|",
    ]
    for concept, counts in content["tested"].items():
        cells = [
            _draw_cell(content["measures"][name][concept], content["concepts"][name], concept)
            for name in names
        ]
        first = [concept, str(counts["n_anchors"]), str(counts["n_artists"])]
        lines.append("| " + " | ".join([*first, *cells]) + " |")
    return "\n".join(lines) + "\n"


def describe_clips(positives: str | None) -> str:
    """Parts of anchors, positives and negatives; older tests have no record of them."""
    if positives is None:
        return "Anchors and negatives are of the test part; no record of the positives' parts."
    if positives == TEST:
        return (
            "Anchors, positives and negatives are of the test part; for track both segments are of "
            "one clip."
        )
    return (
        f"Anchors and negatives are of the test part, positives of the {positives} part alone; for "
        "track both segments are of one test clip. No clip of either part was trained on."
    )


def describe_untested(tested: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Concepts that no test clip shares with another one: lines of Markdown."""
    missing = [name for name in CONCEPTS if name not in tested]
    if not missing:
        return []
    return [f"Not tested: {', '.join(missing)}, which no test clip shares with another clip.", ""]


def describe_albums(tested: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Whether albums could be told from artists: lines of Markdown; none for older tests."""
    album, within = tested.get("album", {}), tested.get(holdout.WITHIN_ARTIST)
    if "n_own" not in album:
        return []
    line = (
        f"{album['n_own']} of the {album['n_anchors']} anchors of albums ({album['n_artists']} "
        "artists) have a possible negative by their own artist: the others are found by an encoder "
        "that knows the artist alone. "
    )
    if within is None:
        return [f"{line}No held-out artist has two albums to tell apart.", ""]
    return [
        f"{line}The last row has one negative, held out too, by the anchor's artist and of another "
        f"album (chance 0.500), which {within['n_anchors']} anchors of {within['n_artists']} "
        "artists have.",
        "",
    ]


def _draw_cell(measure: holdout.Measure, learnt: str, tested: str) -> str:
    mean, low, high = measure
    cell = f"{mean:.3f} ({low:.3f}–{high:.3f})"
    stated = PAPER.get(learnt, {}).get(tested)
    return cell if stated is None else f"{cell} [{stated:.3f}]"
