"""The command, from songs and plays to a bundle: stopped, gone on with, updated and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

from models.bundle import read
from models.catalogue import Filters, load
from tests.training.mine.world import Collection, make_collection, start_mine
from training.cf.als import Factorization
from training.mine import run as stages
from training.mine.candidates import Candidate, describe_heard
from training.runs.folders import read_run

MODELS = Path(__file__).parents[3] / "models"
# One encoder, the one that hears least, and no search: the test is of the stages.
QUICK = ("--encoder", MODELS / "cf-estimator", "--regularization", "10", "--iterations", "5")


def start(made: Collection, *options: object) -> Result:
    return start_mine(made, *QUICK, *options)


def run(made: Collection, *options: object) -> str:
    result = start(made, *options)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("mine") / "collection"
    return make_collection(folder, n_songs=30, n_users=120, n_silent=10)


@pytest.fixture(scope="module")
def output(made: Collection) -> str:
    return run(made)


def test_the_first_line_counts_and_the_last_lines_say_what_the_model_is_worth(
    made: Collection, output: str
) -> None:
    assert output.startswith("30 songs with audio, 40 played, 30 of both, 120 users\n")
    bundle = made.folder / "models" / "mine"
    assert f"mine 1.0.0 is in {bundle}: on artists it never heard it ranks listeners at" in output
    assert "TASTEPRINT_DEFAULT_MODEL=mine make serve" in output
    report = (made.folder / "work" / "report.md").read_text()
    assert "On artists it never heard it ranks listeners at" in report
    assert "| left out: rows of the catalogue: no file of that name | 10 |" in report
    assert "30 songs are heard and played, and it is tried from 10,000 on" in report
    assert (made.folder / "work" / "evaluation.svg").exists()


def test_an_encoder_that_learnt_listeners_may_have_heard_the_artists_and_says_so(
    made: Collection, output: str
) -> None:
    caution = "Where your artists are among those, it has heard them and the figure is too high"
    assert caution in output.replace("\n", " ")
    assert caution in (made.folder / "work" / "report.md").read_text()
    assert describe_heard(Candidate(read(MODELS / "musicnn-msd"), "features")) == []


def test_the_work_folder_is_a_run_with_settings_folds_and_pictures(
    made: Collection, output: str
) -> None:
    found = read_run(made.folder / "work")
    assert found.kind == "mine"
    assert found.settings["regularization"] == 10
    assert found.environment["packages"]["torch"]
    assert any(name.endswith("user_auc") for name in found.measures)
    assert {path.name for path in found.pictures} >= {"map.svg", "cosines.svg"}
    folds = pd.read_csv(made.folder / "work" / "split.csv")
    assert (folds.groupby("artist")["fold"].nunique() == 1).all()
    assert folds["fold"].nunique() == 5
    near = pd.read_csv(made.folder / "work" / "neighbours.csv")
    assert set(near["track_id"]) <= set(folds["item_id"])


def test_the_bundle_states_its_space_and_carries_it(made: Collection, output: str) -> None:
    bundle = read(made.folder / "models" / "mine")
    factors = Factorization.load(bundle.folder / "factors")
    catalogue = load(bundle.folder / "catalogue.parquet")
    assert bundle.card.space == factors.space == catalogue.source.space
    assert catalogue.source.digest == bundle.digest
    assert set(factors.users) == {f"user {index}" for index in range(120)}
    assert catalogue.users is not None
    assert catalogue.users.ids.to_pylist() == list(factors.users)
    assert float(bundle.card.provenance.metrics["network: user_auc"] or 0) > 0.6
    assert "fitted on every song" in bundle.card.provenance.split
    assert bundle.card.provenance.data[0].name == "the operator's own songs and plays"


def test_neighbours_have_the_ids_of_the_plays_and_the_taste(made: Collection, output: str) -> None:
    catalogue = load(made.folder / "models" / "mine" / "catalogue.parquet")
    distances, others = [], []
    for position, name in enumerate(catalogue.columns["track_id"].to_pylist()):
        seed = catalogue.vectors[position : position + 1]
        hit = catalogue.search(seed, Filters(limit=1), seed_positions=[position])[0]
        own, near = (made.tastes[int(song.split("-")[1])] for song in (name, hit.track_id))
        distances.append(np.linalg.norm(own - near))
        others.append(np.linalg.norm(made.tastes - own, axis=1).mean())
    assert np.mean(distances) < 0.6 * np.mean(others)


def test_a_second_run_changes_nothing(
    made: Collection, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(made.folder / "models" / "mine").digest

    def export(*arguments: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(stages, "export", export)
    assert "mine 1.0.0 is unchanged in" in run(made)
    assert read(made.folder / "models" / "mine").digest == before


def test_an_update_keeps_the_encoder_and_the_old_version_and_says_what_moved(
    made: Collection, output: str
) -> None:
    bundle = made.folder / "models" / "mine"
    old = read(bundle)
    plays = pd.read_csv(made.plays)
    rng = np.random.default_rng(1)
    more = plays.sample(frac=0.3, random_state=1).assign(**{"User ID": "newcomer"})
    more["song_id"] = rng.permutation(more["song_id"].to_numpy())
    kept = made.plays.read_bytes()
    pd.concat([plays, more]).to_csv(made.plays, index=False)
    try:
        shown = run(made, "--update")
    finally:
        made.plays.write_bytes(kept)
    new = read(bundle)
    assert new.card.version == "1.1.0"
    assert new.card.provenance.teacher == old.card.provenance.teacher
    kept_names = ("frozen_encoder", "mine_source")
    facts = [found.card.provenance.hyperparameters for found in (old, new)]
    assert [facts[0][name] for name in kept_names] == [facts[1][name] for name in kept_names]
    assert "1 new users and 0 gone" in shown
    assert read(bundle / "versions" / "1.0.0").digest == old.digest
    assert "newcomer" in set(Factorization.load(bundle / "factors").users)


@pytest.mark.parametrize("stage", ["hear", "judge_fold", "choose", "export", "publish"])
def test_a_run_that_is_stopped_goes_on(
    made: Collection, output: str, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second call of a stage; the space is the one of a run that nobody stopped."""
    collection = Collection(tmp_path, made.tastes)
    for name in ("songs", "plays.csv", "catalogue.csv"):
        (tmp_path / name).symlink_to(made.folder / name)
    if stage != "hear":  # the decoded songs of the other run
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "songs").symlink_to(made.folder / "work" / "songs")
    real, calls = getattr(stages, stage), []

    def stop(*arguments: object, **options: object) -> object:
        calls.append(stage)
        if len(calls) == (2 if stage == "judge_fold" else 1):
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stages, stage, stop)
        result = start(collection)
    assert result.exit_code == 130
    assert "stopped; the same command goes on where it was" in result.output
    assert not (tmp_path / "models" / "mine" / "card.json").exists()
    run(collection)
    first = read(made.folder / "models" / "mine" / "versions" / "1.0.0")
    assert read(tmp_path / "models" / "mine").card.space == first.card.space


def test_what_is_no_better_than_the_mean_vector_is_refused(tmp_path: Path) -> None:
    made = make_collection(
        tmp_path / "random", n_songs=30, n_users=120, n_silent=10, follows_taste=False
    )
    result = start(made)
    assert result.exit_code == 3
    text = " ".join(result.output.split())
    assert "the model is no better than one that knows nothing of the sound; it adds" in text
    assert "nothing was exported." in text
    assert "--anyway" in text
    assert not (made.folder / "models").exists()
    assert "not exported" in (made.folder / "work" / "report.md").read_text()
    assert "mine 1.0.0 is in" in run(made, "--anyway")


def test_a_file_that_is_no_audio_is_left_out_and_said(made: Collection, tmp_path: Path) -> None:
    few = make_collection(tmp_path / "few", n_songs=12, n_users=60, n_silent=0)
    (few.songs / "song-0003.wav").write_bytes(b"these are words")
    shown = start(few, "--anyway").output
    assert "left out: 1 files that cannot be decoded, first song-0003: " in shown
    assert "song-0003" in (few.folder / "work" / "report.md").read_text()
