"""Entries are judged by one probe on the same folds, resumed, and never on what they have heard."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.bundle import read
from models.card import Patches
from tests.bundles import in_space
from tests.training.leaderboard.world import (
    LOUDNESS,
    MEL,
    PITCH,
    QUARTER,
    entry_of,
    run,
    run_all,
    source_of,
    with_data,
    write_world,
)
from tests.training.probes.level_encoder import write_level_encoder
from training.datasets.prepared import TaskData
from training.errors import (
    BadDataset,
    BadEncoder,
    HeardTask,
    MixedInputs,
    MixedResults,
    OtherAudio,
    OtherRun,
)
from training.leaderboard.cells import Cell, open_run, read_cells
from training.leaderboard.entries import Entry, Part
from training.leaderboard.grid import TaskSource, judge_cell, plan, task_sources
from training.leaderboard.settings import LeaderboardSettings
from training.leaderboard.vectors import find_inputs, vectors_of
from training.networks.bundle_outputs import bundle_outputs
from training.probes.inputs import load_inputs
from training.probes.nested import evaluate, make_procedure
from training.probes.settings import ProbeSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaderboard")
    write_world(folder)
    return folder


def test_every_entry_is_judged_on_every_fold(folder: Path, tmp_path: Path) -> None:
    entries = [entry_of(folder, "quarters", "quarters"), entry_of(folder, "halves")]
    results = run_all(folder, tmp_path, entries, "quarter")
    assert len(results) == 2 * 5
    assert results["quarters", QUARTER, 0].dim == 4
    accuracy = {
        name: np.mean([results[name, QUARTER, fold].metrics["accuracy"] for fold in range(5)])
        for name in ("quarters", "halves")
    }
    # The level of each quarter tells the loud one, that of the halves not which of two.
    assert accuracy["quarters"] > 0.9 > 0.7 > accuracy["halves"]
    counts = [results["halves", QUARTER, fold].counts for fold in range(5)]
    assert sum(count["test"] for count in counts) == 48
    assert {count["train"] + count["test"] for count in counts} == {48}


def test_values_are_judged_by_ridge_and_classes_by_logistic_regression(
    folder: Path, tmp_path: Path
) -> None:
    results = run_all(folder, tmp_path, [MEL], "quarter", "loudness", folds=[2])
    assert results["mel statistics", QUARTER, 2].settings["kind"] == "logistic"
    loudness = results["mel statistics", LOUDNESS, 2]
    assert loudness.settings["kind"] == "ridge"
    assert list(loudness.metrics) == ["r2"]
    assert loudness.dim == 288


def test_the_scores_are_those_of_a_probe_of_that_kind(folder: Path, tmp_path: Path) -> None:
    task = folder / "tasks" / "quarter"
    bundle = folder / "models" / "quarters"
    entry = entry_of(folder, "a", "quarters")
    results = run_all(folder, tmp_path / "out", [entry], "quarter", folds=[1, 4])
    inputs = load_inputs([TaskData.load(task)], [bundle], [("quarters",)])
    procedure = make_procedure(
        TaskData.load(task), inputs, ProbeSettings(kind="logistic", source="quarters")
    )
    probed = evaluate(procedure, tmp_path / "probe", lambda _: None)
    for fold in (1, 4):
        assert results["a", QUARTER, fold].metrics == probed[fold].metrics
        assert results["a", QUARTER, fold].settings["C"] == probed[fold].settings["C"]


def test_a_stopped_run_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    entries = [entry_of(folder, "quarters"), entry_of(folder, "halves", bundle="halves")]
    sources = source_of(folder, "quarter", "pitch")
    jobs = plan(entries, sources, tmp_path, folds=[2, 3])
    assert len(jobs) == 8
    run(jobs[:3], tmp_path)
    left = plan(entries, sources, tmp_path, folds=[2, 3])
    assert left == jobs[3:]
    run(left, tmp_path)
    assert plan(entries, sources, tmp_path, folds=[2, 3]) == []
    Cell(entries[1], PITCH, 3, 0).path(tmp_path).unlink()
    assert [job.cell.fold for job in plan(entries, sources, tmp_path, folds=[2, 3])] == [3]
    Cell(entries[0], QUARTER, 2, 0).path(tmp_path).write_text("{")  # damaged
    assert len(plan(entries, sources, tmp_path, folds=[2, 3])) == 2


def test_folds_and_seeds_are_chosen_with_seeds_outermost(folder: Path, tmp_path: Path) -> None:
    jobs = plan(
        [entry_of(folder, "quarters")],
        source_of(folder, "quarter", "pitch"),
        tmp_path,
        folds=[0, 4],
        seeds=[0, 1],
    )
    cells = [(job.cell.seed, job.cell.task, job.cell.fold) for job in jobs]
    of_seed = [(QUARTER, 0), (QUARTER, 4), (PITCH, 0), (PITCH, 4)]
    assert cells == [(seed, *rest) for seed in (0, 1) for rest in of_seed]


def test_results_of_another_bundle_are_made_again(folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "models" / "mine"
    write_level_encoder(bundle)
    entry = Entry(name="mine", parts=(Part(bundle=str(bundle)),))
    sources = source_of(folder, "quarter")
    run(plan([entry], sources, tmp_path, folds=[0, 1, 2]), tmp_path)
    other = bundle.with_name("other")
    write_level_encoder(other, sizes={"embedding": 2, "features": 4})
    moved = Entry(name="mine", parts=(Part(bundle=str(other)),))
    jobs = plan([moved], sources, tmp_path, folds=[0, 1, 2])
    assert len(jobs) == 3
    run(jobs[:1], tmp_path)
    with pytest.raises(MixedInputs, match="results of mine on noise-quarter that were made with"):
        read_cells(tmp_path)
    run(jobs[1:], tmp_path)
    assert {cell.dim for cell in read_cells(tmp_path)} == {4}


def test_results_on_other_tracks_are_not_drawn_together(folder: Path, tmp_path: Path) -> None:
    results = run_all(folder, tmp_path, [entry_of(folder, "quarters")], "quarter", folds=[0])
    first = results["quarters", QUARTER, 0]
    identity = first.identity.model_copy(update={"tracks_sha256": "of other tracks"})
    other = first.model_copy(update={"entry": "another", "identity": identity})
    path = tmp_path / "cells" / QUARTER / "another-f0-s0.json"
    path.write_text(other.model_dump_json())
    with pytest.raises(MixedResults, match="in fold 0"):
        read_cells(tmp_path)


def test_a_folder_of_results_is_of_one_recipe(tmp_path: Path) -> None:
    open_run(tmp_path, LeaderboardSettings())
    open_run(tmp_path, LeaderboardSettings())
    with pytest.raises(OtherRun):
        open_run(tmp_path, LeaderboardSettings(probe="rbf-svm"))


def test_the_recipe_is_another_kind_of_probe_for_all_entries(folder: Path, tmp_path: Path) -> None:
    sources = source_of(folder, "quarter", "loudness")
    jobs = plan([entry_of(folder, "quarters")], sources, tmp_path, folds=[0])
    results = run(jobs, tmp_path, LeaderboardSettings(probe="rbf-svm"))
    assert {result.settings["kind"] for result in results.values()} == {"rbf-svm"}


def test_parts_are_concatenated_and_computed_from_their_own_bundle(folder: Path) -> None:
    parts = (
        Part(bundle=str(folder / "models" / "quarters"), output="quarters"),
        Part(bundle=str(folder / "models" / "halves")),
        Part(source="mel statistics"),
    )
    task = source_of(folder, "quarter")[0].load()
    inputs = find_inputs(Entry(name="all", parts=parts), task, 0)
    assert inputs
    vectors = vectors_of(inputs, task, 0, lambda label, starts: starts)
    data = TaskData.load(folder / "tasks" / "quarter")
    expected = [
        bundle_outputs(read(folder / "models" / name), data)[output]
        for name, output in (("quarters", "quarters"), ("halves", "features"))
    ]
    np.testing.assert_array_equal(vectors[:, :6], np.concatenate(expected, axis=1))
    assert vectors.shape == (48, 6 + 288)


def heard_entry(folder: Path, *, with_folds: bool) -> Entry:
    of_fold = str(folder / "folds" / "{fold}" / "quarters") if with_folds else None
    part = Part(
        bundle=str(folder / "models" / "quarters"),
        bundle_of_fold=of_fold,
        heard=(QUARTER, PITCH),
    )
    return Entry(name="trained", parts=(part,))


def test_an_entry_that_heard_a_task_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    sources = source_of(folder, "quarter", "loudness", "pitch")
    entry = heard_entry(folder, with_folds=False)
    jobs = plan([entry], sources, tmp_path, seeds=[0, 1], tell=told.append)
    assert {job.cell.task for job in jobs} == {LOUDNESS}
    expected = [f"trained has heard {task}: left out" for task in (QUARTER, PITCH)]
    assert told == expected


def test_a_heard_task_is_judged_by_encoders_of_folds_where_its_folds_are_the_deal_of_artists(
    folder: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    sources = source_of(folder, "quarter", "loudness", "pitch")
    assert [source.load().is_dealt for source in sources] == [True, False, False]
    entry = heard_entry(folder, with_folds=True)
    jobs = plan([entry], sources, tmp_path, folds=[0], tell=told.append)
    results = run(jobs, tmp_path)
    assert told == [f"trained has heard {PITCH}: left out"]
    assert results["trained", QUARTER, 0].dim == 4  # of the encoders of folds
    assert results["trained", LOUDNESS, 0].dim == 2  # of the shipped one


def test_of_a_heard_task_only_folds_with_an_encoder_are_judged_and_the_others_named(
    folder: Path, tmp_path: Path
) -> None:
    for fold in (0, 3):
        shutil.copytree(folder / "folds" / str(fold), tmp_path / "folds" / str(fold))
    part = Part(
        bundle=str(folder / "models" / "quarters"),
        bundle_of_fold=str(tmp_path / "folds" / "{fold}" / "quarters"),
        heard=(QUARTER,),
    )
    told: list[str] = []
    entry = Entry(name="mine", parts=(part,))
    sources = source_of(folder, "quarter", "pitch")
    jobs = plan([entry], sources, tmp_path / "out", tell=told.append)
    folds = [(job.cell.task, job.cell.fold) for job in jobs]
    assert folds == [(QUARTER, 0), (QUARTER, 3), *((PITCH, fold) for fold in range(5))]
    assert told == [f"mine on {QUARTER}: encoders of folds [0, 3] only"]


def test_a_card_that_names_the_data_of_the_task_is_refused_unless_it_is_stated(
    folder: Path, tmp_path: Path
) -> None:
    bundle = with_data(write_level_encoder(tmp_path / "mine"), "White noise and tones, 48 clips")
    entry = Entry(name="mine", parts=(Part(bundle=str(bundle.folder)),))
    sources = source_of(folder, "quarter")
    with pytest.raises(HeardTask, match=r"mine on noise-quarter: the card of .*mine says that"):
        plan([entry], sources, tmp_path)
    stated = Part(bundle=str(bundle.folder), heard=(QUARTER,))
    assert plan([Entry(name="mine", parts=(stated,))], sources, tmp_path) == []
    # Random weights have heard nothing, whatever the card says of the trained ones.
    untrained = Part(source="untrained", bundle=str(bundle.folder))
    assert len(plan([Entry(name="mine", parts=(untrained,))], sources, tmp_path)) == 5


def test_outputs_and_windows_that_are_not_there_are_refused(folder: Path, tmp_path: Path) -> None:
    sources = source_of(folder, "quarter")
    with pytest.raises(BadEncoder, match="has no output 'tags'; choose of embedding, features"):
        plan([entry_of(folder, "quarters", "tags")], sources, tmp_path)
    audio = read(folder / "models" / "halves").card.audio
    longer = audio.model_copy(update={"window_s": 2.0})
    bundle = write_level_encoder(tmp_path / "longer", audio=longer)
    task = sources[0].load()
    inputs = find_inputs(Entry(name="a", parts=(Part(bundle=str(bundle.folder)),)), task, 0)
    with pytest.raises(OtherAudio):
        vectors_of(inputs or (), task, 0, lambda label, starts: starts)


def test_mel_statistics_are_of_whole_windows_alone(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder / "tasks" / "quarter", tmp_path / "quarter")
    source = (copy / "source.json").read_text()
    patches = Patches(seconds=0.5, starts_s=(0, 0.5)).model_dump_json()
    (copy / "source.json").write_text(
        source.replace('"min_audio_s": 0.5', f'"min_audio_s": 0.5, "patches": {patches}')
    )
    with pytest.raises(BadDataset, match="mel statistics are of whole windows"):
        plan([MEL], [TaskSource((copy,))], tmp_path)
    # A folder of whole windows beside it will do.
    sources = task_sources([copy, folder / "tasks" / "quarter"])
    assert len(sources) == 1
    assert len(plan([MEL], sources, tmp_path)) == 5


def test_a_worker_process_gets_files_and_not_windows(folder: Path, tmp_path: Path) -> None:
    jobs = plan([entry_of(folder, "quarters")], source_of(folder, "quarter"), tmp_path, folds=[1])
    sent = pickle.dumps(jobs[0])
    assert len(sent) < 5_000
    result = judge_cell(pickle.loads(sent), tmp_path, LeaderboardSettings())
    assert result == read_cells(tmp_path)[0]


def test_listeners_are_heard_by_an_encoder_of_a_cf_space(folder: Path) -> None:
    """Its targets were factors of the artists that the task holds out."""
    bundle = in_space(write_level_encoder(folder / "spaced"), "0123456789abcdef" * 4)
    task = source_of(folder, "quarter")[0].load()
    entry = Entry(name="spaced", parts=(Part(bundle=str(bundle.folder)),))
    assert find_inputs(entry, task, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "name", "listeners")
        with pytest.raises(HeardTask, match="trained on 'the factors of the CF space 0123456789ab"):
            find_inputs(entry, task, 0)
