"""Held-out positive and negative prediction: is the positive nearer than every negative?

For a segment of a test clip the encoder is given one of a clip that shares the concept, and
segments of test clips that do not; by chance it is right once in 1 + `negatives` times.

Source: Lee, Park, Nam 2019, section 3 and table 1: where songs are divided, the positive is of the
validation part. Not in the paper: each anchor is drawn many times; and since negatives of an album
are by other artists where an artist has one album, an encoder that knows the artist alone finds it.
So there is a second test on albums, whose single negative is by the anchor's artist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.card import AudioInput
from training.errors import NoAnchors, NoSegments, OtherClips, UnsplitTracks
from training.evaluation.judged import read_encoder
from training.evaluation.ranking_metrics import bootstrap_over_groups
from training.evaluation.sets import EvaluationSets
from training.export.reload import load_network_from_bundle
from training.networks.base import Encoder, even_patches
from training.networks.inference import Track, run_over_rows
from training.objectives.clips import TEST
from training.objectives.division import Division
from training.objectives.module import make_network
from training.objectives.run import load_clips
from training.similarity.concepts import ConceptDraws
from training.similarity.settings import CONCEPTS
from training.similarity.train import load_network

Vectors = NDArray[np.float32]
# Mean and 95 % interval over the anchors' artists.
Measure = tuple[float, float, float]
UNTRAINED = "untrained"
# The test on albums whose negative is by the anchor's artist.
WITHIN_ARTIST = "album, of one artist"
BATCH_SIZE = 4


@dataclass(frozen=True)
class Learner:
    """An encoder that is tested, and the concept that it has learnt; empty for none of these."""

    name: str
    network: Encoder
    concept: str


def load_learners(runs: Sequence[Path], bundles: Sequence[Path]) -> list[Learner]:
    """The runs' best networks, the first of them with random weights, and bundles of encoders.

    Raises
    ------
    MissingInput, UnknownEncoder, BundleError, BadEncoder
    """
    learners: list[Learner] = []
    for run in runs:
        network, settings = load_network(run)
        if not learners:
            torch.manual_seed(settings.seed)
            learners.append(Learner(UNTRAINED, make_network(settings).eval(), ""))
        learners.append(Learner(run.name, network, settings.concept))
    for folder in bundles:
        source = read_encoder(folder)
        learners.append(Learner(source.card.name, load_network_from_bundle(source), ""))
    return learners


def load_same_clips(runs: Sequence[Path]) -> tuple[pd.DataFrame, bool]:
    """The clips of the runs, which must be divided alike but for the training part.

    Returns
    -------
    The clips, and whether they are divided by song

    Raises
    ------
    MissingInput, OtherClips
    """
    tables = [load_clips(run) for run in runs]
    held_out = [table.loc[table["part"] == TEST, "track_id"].tolist() for table in tables]
    by_song = [Division.load(run).by_song for run in runs]
    for run, found, is_by_song in zip(runs, held_out, by_song, strict=True):
        if found != held_out[0] or is_by_song != by_song[0]:
            raise OtherClips(run, runs[0])
    # A run on fewer artists has fewer clips that a positive can be of.
    return max(tables, key=len), by_song[0]


def draw_tests(clips: pd.DataFrame, negatives: int, *, by_song: bool) -> dict[str, ConceptDraws]:
    """Name of each test → its draws from the test clips, of the tests that have any.

    Renderings have no albums, for example; `WITHIN_ARTIST` needs artists of several.

    Parameters
    ----------
    clips, by_song : of `load_same_clips`

    Raises
    ------
    TooFewNegatives
    """
    tests = {}
    for name in CONCEPTS:
        with suppress(NoAnchors):
            tests[name] = ConceptDraws(name, clips, TEST, negatives, by_song=by_song)
    with suppress(NoAnchors):
        tests[WITHIN_ARTIST] = ConceptDraws(
            "album", clips, TEST, 1, by_song=by_song, within_artist=True
        )
    return tests


def measure_learners(
    learners: Sequence[Learner],
    clips: pd.DataFrame,
    sets: EvaluationSets,
    tests: Mapping[str, ConceptDraws],
    *,
    n_draws: int,
    track: Track = lambda label, starts: starts,
) -> dict[str, dict[str, Measure]]:
    """Learner → test → share of draws in which the positive was found.

    Parameters
    ----------
    clips, tests : of `load_same_clips` and `draw_tests`
    sets : the clips' windows, whole, for the sample rate of each encoder
    n_draws : groups drawn of each anchor, the same for every learner
    track : shows progress

    Raises
    ------
    NoSegments, OtherAudio, UnsplitTracks
    """
    measures = {}
    for learner in learners:
        segments = embed_segments(learner, clips, sets, track)
        measures[learner.name] = {
            name: predict(segments, draws, clips["artist"], n_draws)
            for name, draws in tests.items()
        }
    return measures


def embed_segments(
    learner: Learner, clips: pd.DataFrame, sets: EvaluationSets, track: Track
) -> Vectors:
    """Embeddings of unit length of consecutive segments, shape (n_clips, n_segments, dim)."""
    audio = cut_into_segments(learner)
    network, front_end = learner.network, learner.network.make_front_end()
    heard = sets.heard_as(audio, learner.name)
    position = pd.Index(sets.tracks["track_id"]).get_indexer(clips["track_id"])
    if (position < 0).any():
        missing = clips.loc[position < 0, "track_id"]
        raise UnsplitTracks(len(missing), len(clips), missing.iloc[0])

    def forward(waveforms: Vectors) -> list[Vectors]:
        segments = waveforms.reshape(-1, audio.patch_samples)  # (B, S · n) -> (B · S, n)
        with torch.inference_mode():
            embedding = network(front_end(torch.from_numpy(segments))).embedding
        return [embedding.numpy().reshape(len(waveforms), -1, embedding.shape[1])]

    (vectors,) = run_over_rows(
        forward,
        heard.joined,
        heard.rows[position],
        batch_size=BATCH_SIZE,
        label=learner.name,
        track=track,
    )
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def cut_into_segments(learner: Learner) -> AudioInput:
    """The encoder's audio input with as many of its patches as a window has room for.

    Raises
    ------
    NoSegments
    """
    audio = learner.network.audio
    patch_s = audio.patches.seconds if audio.patches else audio.window_s
    n_segments = int(audio.window_s / patch_s)
    if n_segments < 2:
        raise NoSegments(learner.name, patch_s, audio.window_s)
    patches = even_patches(n_segments, patch_s, audio.window_s)
    return audio.model_copy(update={"patches": patches})


def predict(
    segments: Vectors, draws: ConceptDraws, artists: pd.Series, n_draws: int, seed: int = 0
) -> Measure:
    """Share of the draws in which the positive is found, with an interval over artists.

    Parameters
    ----------
    segments : of unit length, shape (n_clips, n_segments, dim)
    artists : of each clip
    """
    hits = np.empty((len(draws), n_draws))
    for index, turn in np.ndindex(*hits.shape):
        rng = np.random.default_rng((seed, index, turn))
        clips = draws.draw_clips(index, rng)
        chosen = rng.integers(segments.shape[1], size=len(clips))
        if clips[1] == clips[0]:  # another segment of the clip
            chosen[1] = (chosen[0] + rng.integers(1, segments.shape[1])) % segments.shape[1]
        anchor, *others = segments[clips, chosen]
        cosines = np.stack(others) @ anchor
        hits[index, turn] = cosines[0] > cosines[1:].max()
    groups, _ = pd.factorize(artists.iloc[draws.anchors])
    return bootstrap_over_groups(hits.ravel(), np.repeat(groups, n_draws))
