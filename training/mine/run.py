"""From songs and plays to a bundle: every stage in order, each resumed where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Catalogue, load
from training.cf.als import Factorization
from training.datasets.folds import N_FOLDS
from training.errors import NotBetter
from training.fitting.environment import write_environment
from training.fitting.settings import KIND, SETTINGS
from training.fitting.space_figures import draw_space
from training.mine.bundle import CATALOGUE, FACTORS, Export, Model, export
from training.mine.candidates import (
    Candidate,
    candidates_of,
    describe_heard,
    encoders_of,
    whole_windows,
)
from training.mine.factors import count_fits, factorize_best
from training.mine.hearing import Heard, hear, time_song
from training.mine.inputs import Inputs
from training.mine.judging import (
    Choice,
    World,
    choose,
    deal_folds,
    judge_fold,
    lower_min_listeners,
    read_scores,
)
from training.mine.network.estimate import describe_estimate
from training.mine.network.report import describe_network, describe_outcome
from training.mine.network.settings import NetworkSettings
from training.mine.network.stage import NetworkStage
from training.mine.network.verdict import is_worth_serving
from training.mine.report import Facts, write_report
from training.mine.settings import MineSettings, Places
from training.mine.stages import (
    Progress,
    describe_time,
    digest_of,
    finish,
    is_done,
    write_json,
)
from training.mine.verdict import Verdict, pool
from training.mine.versions import (
    compare,
    kept_candidate,
    load_earlier,
    next_version,
    publish,
    read_card,
)

BUNDLE, SONGS, SPLIT, NETWORK = "bundle", "songs", "split.csv", "network"
# CPU time of a factorisation, for the estimate: of its own (of 9,147 entries, 0.4 s), and of an
# entry in a sweep with 40 factors (92,834 entries take 0.085 s).
FIT_S, ENTRY_S = 0.4, 9e-7


@dataclass(frozen=True)
class Wishes:
    """What the user asks for beside the settings.

    Attributes
    ----------
    anyway : export what is no better than the mean vector
    update : keep the encoder of the bundle, and say what moved
    """

    anyway: bool = False
    update: bool = False
    default: bool = True
    workers: int = 2
    network: NetworkSettings = field(default_factory=NetworkSettings)

    def tries_network(self, n_songs: int) -> bool:
        """Whether a network is fine-tuned; not where an update keeps the encoder."""
        return not self.update and self.network.applies(n_songs)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    is_new : whether the bundle was replaced; not where nothing has changed since the last run
    parity : output → error of the graph; empty where an earlier run exported it
    """

    version: str
    is_new: bool
    verdict: Verdict
    report: Path
    parity: Mapping[str, float]


def mine(
    inputs: Inputs,
    places: Places,
    settings: MineSettings,
    wishes: Wishes,
    data: Export,
    progress: Progress,
) -> Outcome:
    """Hear the songs, judge the candidates, fit the best one on all songs, and publish it.

    Parameters
    ----------
    data : of the card; `out`, `card_version` and `evaluation` are set here

    Raises
    ------
    NotBetter
        If the model is no better than the mean vector, and `wishes.anyway` is not set.
    NothingToUpdate, MissingEncoder, NothingPrepared, TooLittleRoom, NothingToFactorize,
    TooFewArtists, NothingToEvaluate, LossNotFinite, ParityFailed, BundleError, BadTeacher
    """
    kept = kept_candidate(places.bundle) if wishes.update else None
    candidates = candidates_of(places.bundle, places.encoders, kept)
    _estimate(inputs, places, candidates, settings, wishes, progress)
    heard = _hear(inputs, places, candidates, wishes, progress)
    world = _make_world(inputs, heard, candidates, progress)
    folds = deal_folds(world, settings.seed)
    _record(world, folds, settings, places)
    verdict = _judge(inputs, world, folds, settings, places, progress, candidates)
    network = _make_network_stage(inputs, world, folds, candidates, heard, settings, places, wishes)
    tried = network.judge(progress) if wishes.tries_network(len(world.tracks)) else None
    is_worth = is_worth_serving(verdict, tried)
    if tried and tried.is_better:
        verdict = tried.own
    with progress.stage("fit on all songs", count_fits(settings)) as step:
        factors = factorize_best(inputs.logs, settings, places.work / FACTORS, step)
    chosen = choose(world, factors, inputs.logs, settings.seed)
    model = _make_model(candidates, chosen, factors, heard, progress)
    if tried and tried.is_better:
        tuned = network.tune(model.candidate, chosen, factors, tried, progress)
        model = replace(model, tuned=tuned, predicted=tuned.predicted)
    caution = describe_heard(model.candidate)
    about = [describe_outcome(tried, len(world.tracks), wishes.network, is_update=wishes.update)]
    about += caution
    page = describe_network(tried, places.work / NETWORK) if tried else []
    if not is_worth and not wishes.anyway:
        summary = [_as_sentence(verdict.refuse()), *about]
        _report(inputs, heard, model, folds, places, "not exported", summary, None, page)
        raise NotBetter(verdict.refuse())
    written, parity = _export(model, inputs, heard, settings, wishes, places, data)
    moved = _describe_moved(places, factors, wishes)
    is_new = publish(written, places.bundle)
    card = read_card(places.bundle)
    assert card
    summary = [_as_sentence(verdict.describe()), *moved, *about]
    catalogue = load(places.bundle / CATALOGUE)
    title = f"{places.bundle.name} {card['version']}"
    report = _report(inputs, heard, model, folds, places, title, summary, catalogue, page)
    for line in (*moved, *(about if tried else caution)):
        progress.say(line)
    return Outcome(str(card["version"]), is_new, verdict, report, parity)


def _estimate(
    inputs: Inputs,
    places: Places,
    candidates: Sequence[Candidate],
    settings: MineSettings,
    wishes: Wishes,
    progress: Progress,
) -> None:
    """Say how long the run takes, by the time that the first songs take."""
    n_songs, network = inputs.n_both, wishes.network
    if wishes.tries_network(n_songs) and not (places.work / NETWORK).exists():
        progress.say(describe_estimate(n_songs, candidates, network))
    known = len(list((places.work / SONGS).glob("*/source.json")))
    paths = inputs.tracks["path"].tolist()
    if known:
        return
    song_s = time_song(paths, encoders_of(candidates), whole_windows(candidates))
    n_fits = count_fits(settings) * (N_FOLDS + 1)
    fit_s = ENTRY_S * inputs.logs.user_items.nnz * settings.iterations * settings.factors / 40
    total_s = song_s * len(paths) + n_fits * (FIT_S + fit_s)
    progress.say(f"about {describe_time(total_s)}, as busy as this machine is now")


def _hear(
    inputs: Inputs,
    places: Places,
    candidates: Sequence[Candidate],
    wishes: Wishes,
    progress: Progress,
) -> Heard:
    with progress.stage("decode songs", len(inputs.tracks)) as step:
        heard = hear(
            inputs.tracks,
            inputs.artist_keys,
            places.work / SONGS,
            whole_windows(candidates),
            workers=wishes.workers,
            on_song=step,
        )
    if heard.refused:
        first = next(iter(heard.refused.items()))
        progress.say(
            f"left out: {len(heard.refused)} files that cannot be decoded, first {': '.join(first)}"
        )
    return heard


def _make_world(
    inputs: Inputs, heard: Heard, candidates: Sequence[Candidate], progress: Progress
) -> World:
    outputs: dict[str, NDArray[np.float32]] = {}
    for candidate in candidates:
        known = heard.outputs(candidate.encoder, progress.track)
        outputs[candidate.name] = known[candidate.output]
    names = [(candidate.name, candidate.identity) for candidate in candidates]
    world = World(
        heard.tracks,
        outputs,
        heard.mel_statistics(progress.track),
        inputs.logs,
        digest_of(inputs.digest, names, heard.tracks["track_id"].tolist()),
    )
    return world[heard.tracks["item_id"].isin(inputs.logs.items).to_numpy()]


def _record(world: World, folds: NDArray[np.int64], settings: MineSettings, places: Places) -> None:
    """What `runs` lists: settings, environment, and the fold that each song is judged in."""
    write_json(places.work / SETTINGS, vars(settings))
    (places.work / KIND).write_text("mine\n")
    write_environment(places.work)
    songs = world.tracks[["track_id", "item_id", "artist"]].assign(fold=folds)
    songs.to_csv(places.work / SPLIT, index=False)


def _judge(
    inputs: Inputs,
    world: World,
    folds: NDArray[np.int64],
    settings: MineSettings,
    places: Places,
    progress: Progress,
    candidates: Sequence[Candidate],
) -> Verdict:
    min_listeners = lower_min_listeners(world, settings.min_listeners)
    if min_listeners < settings.min_listeners:
        progress.say(
            f"songs are judged from {min_listeners} listeners on: few have {settings.min_listeners}"
        )
    folders = fold_folders(places.work, folds)
    with progress.stage("judge on held-out artists", len(folders) * count_fits(settings)) as step:
        for fold, folder in enumerate(folders):
            judge_fold(world, folds, fold, settings, min_listeners, folder, step)
    return pool(
        read_scores(folders),
        places.work,
        min_listeners=min_listeners,
        has_artists=inputs.has_artists,
        encoder_knows=any(candidate.is_own for candidate in candidates),
    )


def _make_network_stage(
    inputs: Inputs,
    world: World,
    folds: NDArray[np.int64],
    candidates: Sequence[Candidate],
    heard: Heard,
    settings: MineSettings,
    places: Places,
    wishes: Wishes,
) -> NetworkStage:
    return NetworkStage(
        world,
        folds,
        fold_folders(places.work, folds),
        candidates,
        heard,
        settings,
        wishes.network,
        lower_min_listeners(world, settings.min_listeners),
        inputs.has_artists,
        places.work / NETWORK,
    )


def fold_folders(work: Path, folds: NDArray[np.int64]) -> list[Path]:
    return [work / f"fold{fold}" for fold in range(int(folds.max()) + 1)]


def _make_model(
    candidates: Sequence[Candidate],
    chosen: Choice,
    factors: Factorization,
    heard: Heard,
    progress: Progress,
) -> Model:
    candidate = next(found for found in candidates if found.name == chosen.name)
    inputs = heard.outputs(candidate.encoder, progress.track)[candidate.output]
    predicted = np.asarray(chosen.fitted.map(inputs), np.float32)
    return Model(candidate, chosen, factors, predicted)


def _export(
    model: Model,
    inputs: Inputs,
    heard: Heard,
    settings: MineSettings,
    wishes: Wishes,
    places: Places,
    stated: Export,
) -> tuple[Path, Mapping[str, float]]:
    """The staged bundle, made where it is not of this model."""
    stage = places.work / BUNDLE
    out = stage / places.bundle.name
    fitted = model.choice.fitted.map
    digest = digest_of(
        model.factors.space,
        (model.candidate.identity, model.candidate.output, fitted.weight.tolist()),
        model.tuned.digest if model.tuned else "",
        (vars(settings), vars(stated), wishes.default),
        heard.tracks[["item_id", "artist_name", "title"]].to_numpy().tolist(),
    )
    if is_done(stage, digest):
        return out, {}
    evaluation = places.work / NETWORK if model.tuned else places.work
    to = Export(out, next_version(places.bundle), stated.data, evaluation, wishes.default)
    _, parity = export(model, inputs, heard, settings, to)
    finish(stage, digest)
    return out, parity


def _describe_moved(places: Places, factors: Factorization, wishes: Wishes) -> list[str]:
    """What an update has changed; nothing where the bundle is of these factors already."""
    earlier = load_earlier(places.bundle / FACTORS) if wishes.update else None
    if earlier is None or earlier.space == factors.space:
        return []
    return [_as_sentence(compare(earlier, factors).describe())]


def _as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _report(
    inputs: Inputs,
    heard: Heard,
    model: Model,
    folds: NDArray[np.int64],
    places: Places,
    title: str,
    summary: Sequence[str],
    catalogue: Catalogue | None,
    network: Sequence[str],
) -> Path:
    tracks = heard.tracks
    artists = tracks["artist_name"].to_numpy(str)
    draw_space(places.work, tracks["item_id"].to_numpy(str), model.predicted, {"artist": artists})
    facts = Facts(
        title,
        summary,
        inputs,
        heard,
        model.factors.report,
        fold_folders(places.work, folds),
        model.choice.name,
        model.choice.user_auc,
        catalogue,
        network,
    )
    return write_report(places.work, facts)
