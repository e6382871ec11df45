"""An evaluation measures each set apart, beside baselines and other encoders; folds are pooled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.bundles import write_bundle, write_task
from tests.training.evaluation.world import World, make_world, write_prepared
from training.audio.windows import Prepared
from training.cf.als import factorize
from training.cf.settings import AlsSettings
from training.errors import (
    BadEncoder,
    NoPairs,
    NothingToEvaluate,
    OtherAudio,
    OtherEvaluation,
    OtherSpace,
    SharedArtists,
    Unmatched,
    UnsplitTracks,
)
from training.evaluation.evaluate import ALL, run
from training.evaluation.judged import load_bundle, read_encoder
from training.evaluation.pooling import pool, scores_path, summarize_folders
from training.evaluation.report import read_measures, redraw
from training.evaluation.scores import Scores
from training.evaluation.sets import EvaluationSets

METRICS = {"user_auc", "cosine", "recall_at_10", "ndcg_at_10", "who_listens"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of both sets, beside an encoder that hears the levels of a window."""
    folder = tmp_path_factory.mktemp("evaluated")
    levels = write_bundle(folder / "models", "levels")
    evaluate(world, folder / "out", encoders=[levels])
    return folder / "out"


def evaluate(world: World, out: Path, **options: Any) -> dict[str, Any]:
    """Evaluate the world's linear map; `judged` and `folders` may be others."""
    judged = options.pop("judged", world.judged())
    sets = EvaluationSets.load(options.pop("folders", world.folders))
    chosen: dict[str, Any] = {"min_listeners": 5, "warn": refuse} | options
    run(
        judged,
        sets,
        world.factors_dir,
        world.logs,
        out,
        track=lambda label, starts: starts,
        **chosen,
    )
    measures: dict[str, Any] = read_measures(out)
    return measures


def refuse(text: str) -> None:
    raise AssertionError(f"a warning that is not expected: {text}")


def test_each_set_and_all_sets_are_groups_with_every_metric(evaluated: Path) -> None:
    measures = read_measures(evaluated)
    assert list(measures["groups"]) == ["recordings", "renderings", ALL]
    apart = [measures["groups"][name] for name in ("recordings", "renderings")]
    whole = measures["groups"][ALL]
    assert whole["n_clips"] == sum(group["n_clips"] for group in apart)
    assert whole["n_artists"] < sum(group["n_artists"] for group in apart)  # some are in both
    for group in measures["groups"].values():
        for method in ("network", "ridge on mel statistics", "ridge on levels"):
            assert set(group["methods"][method]) == METRICS
            for measure in ("user_auc", "cosine", "who_listens"):
                mean, low, high = group["methods"][method][measure]
                assert low < mean < high


def test_what_is_in_no_space_ranks_no_users_but_tells_who_listens(evaluated: Path) -> None:
    groups = read_measures(evaluated)["groups"]
    for group in groups.values():
        for method in ("mel statistics", "levels", "40 random projections of levels"):
            assert set(group["methods"][method]) == {"who_listens"}
    for name in ("recordings", "renderings"):  # each has a mean vector of its own
        assert set(groups[name]["methods"]["mean vector"]) == METRICS - {"who_listens"}


def test_taste_in_the_audio_is_measured_above_baselines_without_it(evaluated: Path) -> None:
    for group in read_measures(evaluated)["groups"].values():
        methods = group["methods"]
        for measure in ("user_auc", "cosine"):
            order = [methods[name][measure][0] for name in ("mean vector", "network")]
            assert order[0] + 0.05 < order[1] < methods["ceiling (folded in)"][measure][0]
        assert methods["network"]["who_listens"][0] > 0.3
        assert methods["shuffled network"]["who_listens"][0] < 0.2


def test_differences_are_paired_and_between_what_both_methods_have(evaluated: Path) -> None:
    group = read_measures(evaluated)["groups"][ALL]
    differences = group["differences"]
    gain = differences["network − ridge on levels"]
    for measure in METRICS:
        means = [group["methods"][name][measure][0] for name in ("network", "ridge on levels")]
        assert gain[measure][0] == pytest.approx(means[0] - means[1])
    _, low, high = group["methods"]["network"]["user_auc"]
    assert gain["user_auc"][2] - gain["user_auc"][1] < high - low
    assert set(differences["network − levels"]) == {"who_listens"}
    assert set(differences["ridge on levels − levels"]) == {"who_listens"}


def test_scores_on_disk_are_those_that_are_summarised(evaluated: Path) -> None:
    scores = Scores.load(scores_path(evaluated, "recordings"))
    group = read_measures(evaluated)["groups"]["recordings"]
    clips = pd.read_csv(evaluated / "clips.csv").query("set == 'recordings'")
    assert len(scores.artists) == group["n_clips"] == len(clips)
    assert scores.artists.tolist() == clips["artist"].tolist()
    auc = scores.by_clip["network"]["user_auc"]
    assert auc.mean() == pytest.approx(group["methods"]["network"]["user_auc"][0])
    assert scores.n_items == group["n_items"]


def test_a_set_alone_has_the_metrics_that_it_has_apart(world: World, tmp_path: Path) -> None:
    alone = evaluate(world, tmp_path / "alone", folders=world.folders[:1])
    assert list(alone["groups"]) == ["recordings"]
    both = evaluate(world, tmp_path / "both")["groups"]["recordings"]
    for method in ("network", "ceiling (folded in)", "mel statistics"):
        assert alone["groups"]["recordings"]["methods"][method] == both["methods"][method]
    # Baselines are fitted on the training parts of all sets that are given.
    name = "ridge on mel statistics"
    assert alone["groups"]["recordings"]["methods"][name] != both["methods"][name]


def test_a_bundle_is_judged_by_a_split_as_a_run_is(world: World, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "models", "levels")
    world.split.to_csv(tmp_path / "split.csv", index=False)
    judged = load_bundle(bundle.folder, tmp_path / "split.csv")
    warnings: list[str] = []
    options = {"judged": judged, "encoders": [bundle], "warn": warnings.append}
    measures = evaluate(world, tmp_path / "out", **options)
    (text,) = warnings
    assert "levels does not record its CF space" in text
    for group in measures["groups"].values():
        methods = group["methods"]
        assert set(methods["network"]) == METRICS
        # It is the encoder that it is compared with.
        assert methods["network"]["who_listens"] == pytest.approx(methods["levels"]["who_listens"])
        assert group["differences"]["network − levels"]["who_listens"] == pytest.approx([0, 0, 0])


def test_an_encoder_of_the_same_space_ranks_users_untouched(world: World, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "models", "levels")
    inside, outside = (
        replace(bundle, card=bundle.card.model_copy(update={"space": space}))
        for space in (world.factors.space, "0" * 64)
    )
    measures = evaluate(world, tmp_path / "inside", encoders=[inside])
    (group, *_) = measures["groups"].values()
    assert set(group["methods"]["levels"]) == METRICS
    assert set(group["differences"]["network − levels"]) == METRICS
    measures = evaluate(world, tmp_path / "outside", encoders=[outside])
    (group, *_) = measures["groups"].values()
    assert set(group["methods"]["levels"]) == {"who_listens"}


def test_factors_of_another_space_are_refused(world: World, tmp_path: Path) -> None:
    judged = replace(world.judged(), space="0" * 64)
    with pytest.raises(OtherSpace, match="linear is of the CF space 000000000000, and"):
        evaluate(world, tmp_path / "out", judged=judged)


def test_folds_are_pooled_over_their_clips(world: World, evaluated: Path, tmp_path: Path) -> None:
    halves = halve(evaluated, tmp_path)
    pool(halves, tmp_path / "pooled")
    pooled = read_measures(tmp_path / "pooled")
    assert pooled["n_folds"] == 2
    whole = read_measures(evaluated)["groups"]["recordings"]
    group = pooled["groups"]["recordings"]
    for key in ("n_clips", "n_artists"):
        assert group[key] == whole[key]
    for measure in ("user_auc", "cosine"):
        for name in ("network", "mean vector"):
            expected = whole["methods"][name][measure]
            assert group["methods"][name][measure][0] == pytest.approx(expected[0])
    within = [read_measures(half)["groups"]["recordings"]["methods"] for half in halves]
    correlations = [methods["network"]["who_listens"][0] for methods in within]
    mean, low, high = group["methods"]["network"]["who_listens"]
    assert mean == pytest.approx(np.mean(correlations))
    assert low < mean < high
    assert "in 2 folds" in redraw(tmp_path / "pooled")


def halve(evaluated: Path, folder: Path) -> list[Path]:
    """Two evaluations of one group, each of half of the artists."""
    scores = Scores.load(scores_path(evaluated, "recordings"))
    names = np.unique(scores.artists)
    halves = []
    for part in range(2):
        kept = names[part::2]
        clips = np.isin(scores.artists, kept)
        first, second = np.triu_indices(len(names), 1)
        pairs = np.isin(names[first], kept) & np.isin(names[second], kept)
        half = replace(
            scores,
            artists=scores.artists[clips],
            listeners=scores.listeners[pairs],
            by_clip={
                method: {name: values[clips] for name, values in measures.items()}
                for method, measures in scores.by_clip.items()
            },
            by_pair={method: values[pairs] for method, values in scores.by_pair.items()},
        )
        half.save(scores_path(folder / f"{part}", "recordings"))
        stated = {"min_listeners": 5, "encoders": ["levels"]}
        out = folder / f"{part}"
        summarize_folders([out], out, ["recordings"], stated)
        halves.append(out)
    return halves


def test_renderings_of_held_out_recordings_are_measured_with_their_partners(
    world: World, tmp_path: Path
) -> None:
    renderings = EvaluationSets.load([write_renderings(world, tmp_path / "midi")])
    levels = write_bundle(tmp_path / "models", "levels")
    options = {"encoders": [levels], "renderings": renderings}
    measures = evaluate(world, tmp_path / "out", **options)
    pairs = measures["pairs"]
    test = world.split.query("part == 'test'")["track_id"].str.startswith("recordings")
    assert pairs["n_pairs"] == test.sum()
    network = pairs["methods"]["network"]
    assert set(network) == {"cosine", "centred_cosine", "percentile", "first"}
    assert network["percentile"][0] > 0.9  # the rendering has the quarters of its recording
    assert "mean vector" not in pairs["methods"]
    assert {"levels", "ridge on levels", "mel statistics"} <= set(pairs["methods"])
    assert "### Recordings and their renderings" in redraw(tmp_path / "out")
    pool([tmp_path / "out"], tmp_path / "pooled")
    assert read_measures(tmp_path / "pooled")["pairs"] == pairs
    # Evaluated again without renderings, the folder holds none of the earlier ones.
    assert "pairs" not in evaluate(world, tmp_path / "out")


def write_renderings(world: World, folder: Path) -> Path:
    """Quieter copies of the recordings with some noise, in another order."""
    prepared = Prepared.load(world.folders[0])
    rng = np.random.default_rng(0)
    order = rng.permutation(len(prepared.tracks))
    windows = prepared.waveforms(order)
    noisy = 0.8 * windows + 0.01 * rng.normal(size=windows.shape).astype(np.float32)
    tracks = prepared.tracks.iloc[order][["track_id", "item_id", "artist"]]
    return write_prepared(folder, tracks, noisy)


def test_renderings_of_no_held_out_track_are_refused(world: World, tmp_path: Path) -> None:
    folder = write_renderings(world, tmp_path / "midi")
    tracks = pd.read_csv(folder / "tracks.csv")
    tracks.assign(track_id="x-" + tracks["track_id"]).to_csv(folder / "tracks.csv", index=False)
    with pytest.raises(NoPairs, match="none of the 140 renderings has the track id"):
        evaluate(world, tmp_path / "out", renderings=EvaluationSets.load([folder]))


def test_evaluations_that_do_not_belong_together_are_not_pooled(
    world: World, evaluated: Path, tmp_path: Path
) -> None:
    with pytest.raises(SharedArtists, match="judged by more than one evaluation"):
        pool([evaluated, evaluated], tmp_path / "out")
    evaluate(world, tmp_path / "fewer", min_listeners=6)
    with pytest.raises(OtherEvaluation, match="min_listeners 6, and the first one has 5"):
        pool([evaluated, tmp_path / "fewer"], tmp_path / "out")
    evaluate(world, tmp_path / "alone")
    with pytest.raises(OtherEvaluation, match="encoders"):
        pool([evaluated, tmp_path / "alone"], tmp_path / "out")


def test_the_report_has_a_table_for_each_group_and_is_redrawn_alike(evaluated: Path) -> None:
    text = redraw(evaluated)
    for title in ("### recordings", "### renderings", f"### {ALL}"):
        assert title in text
    assert text.count("| paired difference |") == 3
    assert text.count("| levels | – | – | – | – | ") == 3
    drawn = (evaluated / "evaluation.svg").read_bytes()
    redraw(evaluated)
    assert (evaluated / "evaluation.svg").read_bytes() == drawn


def test_held_out_items_that_are_spelled_otherwise_are_refused_or_said(
    world: World, tmp_path: Path
) -> None:
    as_floats = replace(world, logs=replace(world.logs, items=world.logs.items + ".0"))
    with pytest.raises(
        Unmatched, match=r"held out: 0 of \d+ tracks, 0 of \d+ items.*--allow-missi"
    ):
        evaluate(as_floats, tmp_path / "out")
    fewer = world.logs.items != world.split.query("part == 'test'")["item_id"].iloc[0]
    logs = replace(world.logs, items=world.logs.items[fewer])
    logs = replace(logs, user_items=world.logs.user_items[:, fewer])
    with pytest.raises(Unmatched, match="held-out items that the logs do not know"):
        evaluate(replace(world, logs=logs), tmp_path / "out")
    measures = evaluate(replace(world, logs=logs), tmp_path / "out", allow_missing=True)
    (account,) = (found for found in measures["accounts"] if found["right"] == "the logs")
    assert (account["missing"], len(account["examples"])) == (1, 1)


def test_factors_with_held_out_items_are_warned_of(world: World, tmp_path: Path) -> None:
    settings = AlsSettings(factors=world.factors.settings.factors)
    leaking = factorize(world.logs, settings, check=False)
    leaking.save(tmp_path / "factors")
    told: list[str] = []
    judged = replace(world.judged(), space=leaking.space)
    leaked = replace(world, factors_dir=tmp_path / "factors")
    evaluate(leaked, tmp_path / "out", judged=judged, warn=told.append)
    n_items = world.split.query("part == 'test'")["item_id"].nunique()
    assert f"fitted with held-out items, {n_items} of {n_items}" in told[0]


def test_what_cannot_be_judged_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(NothingToEvaluate):
        evaluate(world, tmp_path / "out", min_listeners=1000)
    judged = world.judged()
    with pytest.raises(UnsplitTracks, match="of 410 prepared tracks are not in the split"):
        evaluate(world, tmp_path / "out", judged=replace(judged, split=world.split[:200]))
    with pytest.raises(BadEncoder, match="has an embedding of 8, not 40"):
        evaluate(world, tmp_path / "out", judged=replace(judged, embedding_dim=8))
    longer = judged.audio.model_copy(update={"window_s": 2.0})
    with pytest.raises(OtherAudio, match="the encoder linear takes"):
        evaluate(world, tmp_path / "out", judged=replace(judged, audio=longer))
    task = write_task(tmp_path / "models", "mood")
    with pytest.raises(BadEncoder, match="mood is a classifier; give an encoder's bundle"):
        read_encoder(task.folder)
