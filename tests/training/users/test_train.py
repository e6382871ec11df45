"""User vectors from logs to files: what is learnt, recorded, resumed, refused, and summarized."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from tests.training.users.crowds import IS_OWN, N_SHARED, N_USERS, make_logs, to_table
from training.cf.logs import Logs
from training.cli.main import app
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.errors import MissingInput, MixedFactors, OtherEvaluation, OtherRun, TooFewEntries
from training.users.settings import UserSettings
from training.users.summary import summarize
from training.users.train import train
from training.users.vectors import VECTORS, UserVectors

SETTINGS = UserSettings(
    dim=8, hidden=16, negatives=100, batch_size=64, learning_rate=1e-2, max_epochs=20
)
SHORT = replace(SETTINGS, max_epochs=2)


@pytest.fixture(scope="module")
def logs() -> Logs:
    return make_logs()


@pytest.fixture(scope="module")
def trained(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "users"
    train(logs, out, SETTINGS, show_progress=False)
    return out


def test_held_out_items_are_found_better_than_by_popularity(trained: Path) -> None:
    report = json.loads((trained / "report.json").read_text())
    found = {name: row["mean"] for name, row in report["measures"].items()}
    assert report["n_users"] == N_USERS
    assert found["youtube-dnn: recall_at_10"] > found["popularity: recall_at_10"] + 0.15
    difference = found["youtube-dnn: ndcg_at_50"] - found["als: ndcg_at_50"]
    assert found["youtube-dnn − als: ndcg_at_50"] == pytest.approx(difference)
    row = report["measures"]["youtube-dnn: recall_at_10"]
    assert row["low"] < row["mean"] < row["high"]
    assert "| youtube-dnn | " in (trained / "report.md").read_text()
    rows = json.loads((trained / "report.json").read_text())["measures"].values()
    assert not any("seeds" in row for row in rows)  # one run has no deviation over seeds
    assert (trained / "curves.svg").exists()


def test_users_score_the_items_of_their_crowd_higher(trained: Path) -> None:
    vectors = UserVectors.load(trained)
    scores = vectors.user_vectors @ vectors.item_vectors.T
    is_other = ~IS_OWN
    is_other[:, -N_SHARED:] = False
    assert scores[IS_OWN].mean() > scores[is_other].mean() + 1
    assert vectors.user_vectors.shape == (N_USERS, 8)
    assert (vectors.users[0], vectors.items[-1]) == ("u000", "i69")


def test_vectors_of_another_run_are_refused(trained: Path, logs: Logs, tmp_path: Path) -> None:
    other = train(logs, tmp_path, replace(SHORT, seed=1), show_progress=False)
    vectors = UserVectors.load(trained)
    assert other.space != vectors.space
    report = json.loads((trained / "report.json").read_text())
    other.save(tmp_path, {})
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(MixedFactors, match="again with `tasteprint-train users`"):
        UserVectors.load(tmp_path)
    with pytest.raises(MissingInput, match="tasteprint-train users"):
        UserVectors.load(tmp_path / "nothing")
    for content in (b"", (tmp_path / VECTORS).read_bytes()[:100]):  # the copy was stopped
        (tmp_path / VECTORS).write_bytes(content)
        with pytest.raises(MissingInput):
            UserVectors.load(tmp_path)


def test_a_resumed_run_is_the_run_without_a_break(logs: Logs, tmp_path: Path) -> None:
    whole = train(logs, tmp_path / "whole", replace(SHORT, max_epochs=4), show_progress=False)
    train(logs, tmp_path / "broken", SHORT, show_progress=False)
    torch.manual_seed(5)
    resumed = train(logs, tmp_path / "broken", replace(SHORT, max_epochs=4), show_progress=False)
    np.testing.assert_array_equal(resumed.user_vectors, whole.user_vectors)
    assert resumed.space == whole.space


def test_a_folder_of_other_logs_is_not_gone_on_with(logs: Logs, tmp_path: Path) -> None:
    train(logs, tmp_path, SHORT, show_progress=False)
    fewer = logs.user_items.copy()
    fewer[0] = 0
    fewer.eliminate_zeros()
    with pytest.raises(OtherRun):
        train(replace(logs, user_items=fewer), tmp_path, SHORT, show_progress=False)


def test_without_a_test_there_are_vectors_and_no_measures(logs: Logs, tmp_path: Path) -> None:
    vectors = train(logs, tmp_path, replace(SHORT, test_share=0.0), show_progress=False)
    assert UserVectors.load(tmp_path).space == vectors.space
    assert "measures" not in json.loads((tmp_path / "report.json").read_text())


def test_logs_without_a_user_of_many_items_are_refused(logs: Logs, tmp_path: Path) -> None:
    with pytest.raises(TooFewEntries, match="none of the 100 users has 61 items or more"):
        train(logs, tmp_path, replace(SHORT, min_entries=61), show_progress=False)


def test_runs_of_several_seeds_are_pooled(trained: Path, logs: Logs, tmp_path: Path) -> None:
    train(logs, tmp_path / "other", replace(SHORT, seed=1), show_progress=False)
    pooled = summarize([trained, tmp_path / "other"])
    parts = [summarize([run]) for run in (trained, tmp_path / "other")]
    for name, row in pooled["measures"].items():
        means = [part["measures"][name]["mean"] for part in parts]
        assert row["mean"] == pytest.approx(np.mean(means))
        assert row["seeds"] == pytest.approx(np.std(means))
    few = replace(logs, users=logs.users[:60], user_items=logs.user_items[:60])
    train(few, tmp_path / "few", SHORT, show_progress=False)
    with pytest.raises(OtherEvaluation, match="has the tested users 60, and the first one has 100"):
        summarize([trained, tmp_path / "few"])


def test_the_commands_leave_out_the_items_of_the_test_part(logs: Logs, tmp_path: Path) -> None:
    to_table(logs).to_csv(tmp_path / "logs.csv", index=False)
    keys = [artist_key(item) for item in logs.items]
    parts = ["test" if deal_fold(key) == 0 else "train" for key in keys]
    split = pd.DataFrame({"track_id": keys, "item_id": logs.items, "artist": keys, "part": parts})
    split.to_csv(tmp_path / "split.csv", index=False)
    run = tmp_path / "run"
    words = ["users", "--logs", tmp_path / "logs.csv", "--split", tmp_path / "split.csv"]
    words += ["--out", run, "--max-epochs", "1", "--negatives", "50", "--accelerator", "cpu"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    vectors = UserVectors.load(run)
    assert vectors.space in done.output.replace("\n", "")
    held_out = set(split["item_id"][split["part"] == "test"])
    assert set(vectors.items) == set(logs.items) - held_out
    assert (run / "split.csv").exists()
    summary = ["users-summary", "--run", run, "--run", run, "--out", tmp_path / "summary"]
    done = CliRunner().invoke(app, list(map(str, summary)))
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "summary" / "measures.json").read_text())["n_runs"] == 2
