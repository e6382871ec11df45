"""The whole chain by its command line, on a small world that the test makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from models import bundle
from training.cli.main import app
from training.errors import OtherRun

RATE, N_ARTISTS, CLIPS = 16_000, 20, 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of artists, low and high tones, each with its own crowd."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    tracks, plays = [], []
    for artist in range(N_ARTISTS):
        high = artist % 2
        for clip in range(CLIPS):
            track = f"{artist}-{clip}"
            hz = rng.uniform(2000, 3000) if high else rng.uniform(200, 300)
            tone = np.sin(2 * np.pi * hz * np.arange(3 * RATE) / RATE)
            soundfile.write(folder / "audio" / f"{track}.wav", 0.4 * tone, RATE)
            tracks.append({"track_id": track, "item_id": artist, "artist": f"artist {artist}"})
        for user in rng.choice(40, 15, replace=False):
            plays.append({"user_id": int(user) + 40 * high, "item_id": artist})
    pd.DataFrame(tracks).to_csv(folder / "tracks.csv", index=False)
    pd.DataFrame(plays).to_csv(folder / "logs.csv", index=False)
    return folder


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_logs_and_audio_become_a_bundle(world: Path) -> None:
    prepared, factors, split = world / "prepared", world / "factors", world / "split.csv"
    estimator, evaluation = world / "estimator", world / "evaluation"
    manifest = ("--manifest", world / "tracks.csv", "--audio", world / "audio")
    run("prepare", *manifest, "--artist-column", "artist", "--out", prepared)
    run("split", "--prepared", prepared, "--out", split)
    logs = ("--logs", world / "logs.csv")
    run("factorize", *logs, "--split", split, "--out", factors)
    held_out = set(pd.read_csv(split, dtype=str).query("part == 'test'")["item_id"])
    assert not held_out & set(pd.read_csv(factors / "items.csv", dtype=str)["item_id"])

    inputs = ("--prepared", prepared, "--factors", factors)
    short = ("--crop-s", "7.5", "--batch-size", "8", "--out", estimator)
    run("estimator", *inputs, "--split", split, *short, "--max-epochs", "1")
    run("estimator", *inputs, "--split", split, *short, "--max-epochs", "2")
    epochs = pd.concat(
        pd.read_csv(log) for log in sorted((estimator / "logs").glob("*/metrics.csv"))
    )
    assert sorted(epochs["epoch"].dropna().unique()) == [0, 1]  # resumed, not begun again

    other = world / "other.csv"
    run("split", "--prepared", prepared, "--fold", "1", "--out", other)
    refused = CliRunner().invoke(
        app, list(map(str, ["estimator", *inputs, "--split", other, *short]))
    )
    assert isinstance(refused.exception, OtherRun)  # it would train on artists held out before

    measured = ("--run", estimator, *inputs, *logs, "--out", evaluation)
    table = run("evaluate", *measured, "--min-listeners", "5")
    assert "ridge on mel statistics" in table
    measures = json.loads((evaluation / "measures.json").read_text())["methods"]
    assert measures["ceiling (folded in)"]["user_auc"][0] > measures["mean vector"]["user_auc"][0]
    before = (evaluation / "evaluation.svg").read_bytes()
    run("evaluate", *measured, "--redraw")
    assert (evaluation / "evaluation.svg").read_bytes() == before

    data = world / "data.json"
    data.write_text(json.dumps([{"name": "tones", "use": "audio", "licence": "none needed"}]))
    exported = ("--run", estimator, *inputs, "--evaluation", evaluation)
    run("export", *exported, "--data", data, "--out", world / "models" / "tones")
    made = bundle.read(world / "models" / "tones")
    assert made.card.provenance.metrics["n_items"] == len(held_out)
    session = ort.InferenceSession(
        made.graph_bytes(made.card.graph()), providers=["CPUExecutionProvider"]
    )
    bundle.verify_session(made.card, session)
    before_digest = made.digest
    run("export", *exported, "--data", data, "--out", world / "models" / "tones")
    assert bundle.read(made.folder).digest == before_digest


def test_an_error_is_one_line_with_its_remedy(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.cli.main import main

    arguments = ["split", "--prepared", str(world / "nowhere"), "--out", str(world / "s.csv")]
    monkeypatch.setattr("sys.argv", ["tasteprint-train", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "tasteprint-train prepare" in capsys.readouterr().out
