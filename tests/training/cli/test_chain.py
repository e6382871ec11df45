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
from training.cf.als import Factorization
from training.cli.main import app
from training.errors import OtherRun, OtherSpace
from training.estimator.space import SPACE, read_space

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
    printed = run("factorize", *logs, "--split", split, "--out", factors)
    space = Factorization.load(factors).space
    report = json.loads(printed[printed.index("{") :])
    assert report["space"] == space
    held_out_items, fitted = report["accounts"]
    assert held_out_items["met"]["items"] == held_out_items["left_counts"]["items"] > 0
    assert fitted["missing"] == held_out_items["missing"] == 0
    assert "held out: " in printed
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
    assert read_space(estimator) == space
    accounts = json.loads((estimator / "accounts.json").read_text())
    assert [account["left"] for account in accounts] == [
        "prepared",
        "train part",
        "validation part",
    ]
    assert all(account["met"] == account["left_counts"] for account in accounts)

    other = world / "other.csv"
    run("split", "--prepared", prepared, "--fold", "1", "--out", other)
    refused = CliRunner().invoke(
        app, list(map(str, ["estimator", *inputs, "--split", other, *short]))
    )
    assert isinstance(refused.exception, OtherRun)  # it would train on artists held out before

    measured = ("--run", estimator, *inputs, *logs, "--out", evaluation)
    table = run("evaluate", *measured, "--min-listeners", "5")
    assert "ridge on mel statistics" in table
    assert "held out, prepared: 0 of " in table  # in the factors, as it must be
    stated = json.loads((evaluation / "measures.json").read_text())
    assert [account["missing"] for account in stated["accounts"][:3]] == [0, 0, 0]
    assert stated["accounts"][3]["met"]["items"] == 0
    (group,) = stated["groups"].values()
    measures = group["methods"]
    assert measures["ceiling (folded in)"]["user_auc"][0] > measures["mean vector"]["user_auc"][0]
    before = (evaluation / "evaluation.svg").read_bytes()
    run("evaluate", *measured, "--redraw")
    assert (evaluation / "evaluation.svg").read_bytes() == before

    data = world / "data.json"
    data.write_text(json.dumps([{"name": "tones", "use": "audio", "licence": "none needed"}]))
    exported = ("--run", estimator, *inputs, "--evaluation", evaluation)
    run("export", *exported, "--data", data, "--out", world / "models" / "tones")
    made = bundle.read(world / "models" / "tones")
    kept = [folder / "card.json" for folder in (made.folder, estimator)]
    assert kept[0].read_bytes() == kept[1].read_bytes()
    assert made.card.space == space
    assert made.card.provenance.metrics["n_items"] == len(held_out)
    session = ort.InferenceSession(
        made.graph_bytes(made.card.graph()), providers=["CPUExecutionProvider"]
    )
    bundle.verify_session(made.card, session)
    before_digest = made.digest
    run("export", *exported, "--data", data, "--out", world / "models" / "tones")
    assert bundle.read(made.folder).digest == before_digest
    refuse_another_space(world, measured, ("--data", data, *exported))


def refuse_another_space(
    world: Path, measured: tuple[str | Path, ...], exported: tuple[str | Path, ...]
) -> None:
    """Factors and evaluations of another space are refused; an older run is accepted as it is."""
    factors, other = world / "factors", world / "other-factors"
    run("factorize", "--logs", world / "logs.csv", "--seed", "1", "--out", other)
    ours, theirs = (Factorization.load(folder).space for folder in (factors, other))
    refused = world / "models" / "refused"
    names = rf"estimator is of the CF space {ours[:12]}, and .*other-factors of {theirs[:12]}"
    with pytest.raises(OtherSpace, match=names):
        invoke("evaluate", *(other if word == factors else word for word in measured))
    swapped = [other if word == factors else word for word in exported]
    with pytest.raises(OtherSpace, match=names):
        invoke("export", *swapped, "--out", refused)
    measures = world / "evaluation" / "measures.json"
    content = measures.read_text()
    assert ours in content
    measures.write_text(content.replace(ours, theirs))
    names = rf"evaluation is of the CF space {theirs[:12]}, and .*factors of {ours[:12]}"
    with pytest.raises(OtherSpace, match=names):
        invoke("export", *exported, "--out", refused)
    assert not refused.exists()
    measures.write_text(content)
    (world / "estimator" / SPACE).unlink()  # as a run from before spaces were recorded
    assert "cannot be checked" in " ".join(run("export", *exported, "--out", refused).split())


def invoke(*arguments: str | Path) -> None:
    """Run a command, and raise what it raises."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is not None
    raise result.exception


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
