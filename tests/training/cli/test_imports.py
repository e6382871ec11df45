"""Help texts, argument errors and reports appear without the packages that they do not need.

Asserted on `sys.modules` in a process of its own: torch, pandas and others take seconds to import.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tests.running import ROOT
from tests.training.transfer.test_report import write_results
from training.cli.main import app

HEAVY = {
    "implicit",
    "lightning",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "scipy",
    "sklearn",
    "torch",
}
RUN = """
import json, sys
from typer.main import get_command
from training.cli.main import app, main

def run(*arguments):
    sys.argv = ["tasteprint-train", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code
"""


def run(code: str, folder: Path) -> tuple[str, set[str]]:
    """Output of some code after `RUN`, and the heavy packages that it imported."""
    code = f"{RUN}\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stderr.splitlines()[-1])
    return done.stdout, HEAVY.intersection(modules)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = """
assert run("--help") == 0
for name in get_command(app).commands:
    assert run(name, "--help") == 0, name
"""
    output, heavy = run(code, tmp_path)
    assert heavy == set()
    assert output.count("Usage:") == 1 + len(get_command(app).commands)  # type: ignore[attr-defined]


def test_an_argument_error_imports_nothing_heavy(tmp_path: Path) -> None:
    """Each bad argument ends in its exit code: 2 for usage, 1 for an error with a remedy."""
    for name, file in (("task", "task.json"), ("bundle", "card.json"), ("factors", "report.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    outputs = [{"name": name} for name in ("embedding", "features")]
    (tmp_path / "bundle" / "card.json").write_text(json.dumps({"outputs": outputs}))
    (tmp_path / "split.csv").touch()
    audio = {"sample_rate": 8000, "window_s": 2.0, "short_audio": "repeat", "min_audio_s": 0.1}
    (tmp_path / "task" / "source.json").write_text(json.dumps({"audio": audio}))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "card.json").write_text('{"architecture": "tiny"}')
    cases = [
        (2, ["compare", "--tasc", "task"], "No such option: --tasc"),
        (2, ["estimator", "--batch-size", "many"], "Invalid value for '--batch-size'"),
        (2, ["estimator", "--batch-size", "0"], "Invalid value for '--batch-size'"),
        (2, ["quantize", "--precision", "int4"], "Invalid value for '--precision'"),
        (2, ["transfer", "--teacher-scale", "big"], "Invalid value for '--teacher-scale'"),
        (2, ["prepare"], "Missing option"),
        (1, ["split", "--prepared", "no", "--out", "x"], "make it with `tasteprint-train prepare`"),
        (1, ["factorize", "--logs", "no.csv", "--out", "x"], "no.csv: no such file"),
        (1, ["transfer", "--task", "no", "--out", "x"], "make it with `tasteprint-train dataset`"),
        (1, ["report", "--results", "no", "--out", "x"], "make it with `tasteprint-train compare`"),
        (1, ["dataset", "gtzam", "--data", ".", "--out", "x"], "unknown data set"),
        (1, ["dataset", "gtzan", "--data", "no", "--out", "x"], "there is no folder no"),
        (1, ["dataset", "gtzan", "--data", ".", "--out", "x", "--teacher", "no"], "bundle no: no"),
        (1, ["prepare", "--encoder", "vgg"], "there is no encoder 'vgg'"),
        (1, ["mine", "--songs", "no", "--plays", "no"], "no: there is no such folder; give --son"),
        (1, ["mine", "--songs", ".", "--plays", "no"], "no: no such file"),
        (1, ["dataset", "custom", "--data", ".", "--labels", "no", "--out", "x"], "cannot be read"),
    ]
    task = ["--task", "task", "--teacher", "bundle", "--out", "x"]
    estimator = ["--prepared", ".", "--factors", "factors", "--split", "split.csv", "--out", "x"]
    crops = ["--prepared", "task", *estimator[2:]]
    evaluate = ["--prepared", ".", "--factors", "factors", "--logs", "no", "--out", "x"]
    linear = ["--factors", "factors", "--logs", "logs.csv", "--data", "logs.csv", "--out", "x"]
    linear = ["linear-estimator", "--encoder", "bundle", "--prepared", ".", *linear]
    (tmp_path / "logs.csv").touch()
    probe = ["--task", "task", "--encoder", "bundle", "--results", "r"]
    cases += [
        (2, ["compare", *task, "--widths", "32,33"], "33 is not one of 32, 64, 128, 256"),
        (2, ["compare", *task, "--folds", "one"], "'one' is no list of numbers such as 0,1,2"),
        (1, ["compare", *task, "--methods", "base,kdd"], "unknown method 'kdd'"),
        (1, ["transfer", *task, "--method", "kdd"], "unknown method 'kdd'"),
        (1, ["transfer", *task, "--encoder", "vgg"], "there is no encoder 'vgg'"),
        (1, ["transfer", *task, "--teacher", "tiny"], "there is no encoder 'tiny'"),
        (1, ["transfer", *task, "--crop-s", "7.5"], "at most 2 s, the length of the windows"),
        (1, ["compare", *task, "--crop-s", "7.5"], "at most 2 s, the length of the windows"),
        (
            2,
            ["ship", *task, "--results", ".", "--width", "33"],
            "33 is not one of 32, 64, 128, 256",
        ),
        (2, ["transfer", *task, "--width", "33"], "33 is not one of 32, 64, 128, 256"),
        (1, ["transfer", *task, "--teacher", "no"], "bundle no: no readable card.json"),
        (
            1,
            ["ship", *task, "--results", ".", "--method", "x"],
            "the method 'x': is not one of base",
        ),
        (1, ["ship", *task, "--results", ".", "--out", "A B"], "the name 'A B'"),
        (2, ["estimator", *estimator, "--width", "33"], "33 is not one of 32, 64, 128, 256"),
        (1, ["estimator", *estimator, "--encoder", "vgg"], "there is no encoder 'vgg'"),
        (2, ["estimator", *estimator, "--width", "0"], "0 is not one of 32, 64, 128, 256"),
        (1, ["estimator", *crops, "--crop-s", "7.5"], "at most 2 s, the length of the windows"),
        (1, ["evaluate", "--run", "no", *evaluate], "make it with `tasteprint-train estimator`"),
        (2, ["evaluate", *evaluate], "give either --run or --bundle"),
        (2, ["evaluate", "--bundle", "bundle", *evaluate], "Invalid value for --split"),
        (1, ["evaluation-summary", "--evaluation", "no", "--out", "x"], "`tasteprint-train evalu"),
        (1, ["probe", *probe, "--out", "x", "--kind", "svm"], "kind 'svm': unknown; choose"),
        (1, ["probe", *probe, "--out", "x", "--source", "mel"], "the input 'mel': is not one of"),
        (1, ["probe", *probe, "--out", "x", "--source", "features,features"], "is given twice"),
        (1, ["probe", *probe, "--out", "x", "--baseline-task", "no"], "`tasteprint-train dataset`"),
        (
            1,
            ["calibrate-tags", "--task", "task", "--encoder", "bundle", "--out", "x"],
            "the input 'tags': is not one of embedding, features",
        ),
        (1, ["leaderboard", "--out", "x", "--task", "no"], "make it with `tasteprint-train data"),
        (2, ["leaderboard", "--out", "x", "--logs", "logs.csv"], "are given together"),
        (2, ["leaderboard", "--out", "x", "--seeds", "one"], "'one' is no list of numbers"),
        (1, [*linear, "--source", "tags"], "'tags' is given twice, or is not one of features"),
        (1, [*linear, "--per-set"], "needs two --prepared or more, and there is 1"),
        (1, ["quantize", "--bundle", "bundle", "--audio", "no", "--data", "no"], "no folder of"),
    ]
    code = "\n".join(
        f"assert run(*{arguments!r}) == {exit_code}, {arguments!r}; print('=' * 9)"
        for exit_code, arguments, _ in cases
    )
    # A usage error goes to standard error.
    output, heavy = run(
        f"sys.stderr, kept = sys.stdout, sys.stderr\n{code}\nsys.stderr = kept", tmp_path
    )
    assert heavy == set()
    for (_, arguments, message), text in zip(cases, output.split("=" * 9), strict=False):
        assert message in " ".join(text.split()), arguments


def test_a_report_is_drawn_from_results_without_the_training_packages(tmp_path: Path) -> None:
    write_results(tmp_path / "results")
    output, heavy = run('run("report", "--results", "results", "--out", "out")', tmp_path)
    assert "Paired t-tests" in output
    assert heavy == {"matplotlib", "numpy", "scipy"}


def test_an_evaluation_is_redrawn_without_the_training_packages(tmp_path: Path) -> None:
    names = ("user_auc", "cosine", "recall_at_10", "ndcg_at_10")
    measures = {name: [0.5, 0.4, 0.6] for name in names}
    group = {"n_clips": 1, "n_items": 1, "n_artists": 1, "differences": {}}
    stated = {"min_listeners": 1, "encoders": [], "n_folds": 1}
    groups = {"groups": {"songs": group | {"methods": {"network": measures}}}}
    (tmp_path / "measures.json").write_text(json.dumps(stated | groups))
    code = """
inputs = [word for name in ("run", "prepared", "factors", "logs") for word in (f"--{name}", "no")]
run("evaluate", *inputs, "--out", ".", "--redraw")
"""
    output, heavy = run(code, tmp_path)
    assert "| network | 0.500 (0.400 – 0.600)" in output
    assert heavy == {"matplotlib", "numpy"}


@pytest.mark.parametrize(
    ("module", "needless"),
    [
        ("training.probes.probe", {"implicit", "lightning", "matplotlib"}),
        ("training.quantization.quantize", {"implicit", "lightning", "matplotlib", "sklearn"}),
    ],
)
def test_a_stage_imports_only_what_it_uses(module: str, needless: set[str], tmp_path: Path) -> None:
    _, heavy = run(f"import {module}", tmp_path)
    assert not heavy & needless
