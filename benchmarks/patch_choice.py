"""Number and length of MusiCNN's patches: accuracy of linear probes, and inference time.

    python -m benchmarks.patch_choice --data ../shared/data
    python -m benchmarks.patch_choice --data ../shared/data --only 1x3 --tasks gtzan-mini
    python -m docs.musicnn_page    # redraws the table of docs/musicnn.md

Not part of `make bench`: it needs the labelled recordings, and 40 minutes of a core. A score is
that of inner cross-validation within the training part of a fold, so that no test track of the fold
enters. Patches are in the centres of equal parts of the window, in float32 on one thread. With
`--only` or `--tasks` the figures are printed and not kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import machine
from benchmarks.processes import ROOT
from benchmarks.result import RESULTS, Figures, rounded
from models.audio.spans import patch_starts
from models.bundle import read
from models.card import AudioInput
from training.datasets import read_dataset
from training.datasets.folds import assign_folds
from training.datasets.prepared import TaskData, prepare_task
from training.export.reload import load_network_from_bundle
from training.export.torch_to_onnx import to_onnx
from training.networks.base import Encoder, even_patches
from training.networks.waveform import WaveformEncoder

RESULT = RESULTS / "patch_choice.json"
BUNDLE = ROOT / "models" / "musicnn-msd"
N_INNER_FOLDS, INNER_SEEDS = 4, (0, 1)
# Stronger regularisation than scikit-learn's default was best at three patches of 3 s.
C, ALPHA = 0.01, 1000.0
PACKAGES = ("onnxruntime-gpu", "numpy", "scikit-learn", "torch")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """A task: the folder of its data set, the output that its probe takes, the column's title."""

    folder: str
    output: str
    title: str


QUESTIONS = {
    "emotify-genre": Question("emotify", "features", "genre"),
    "emotify-gems": Question("emotify", "features", "emotion, r²"),
    "mood-quadrant": Question("mood-recordings", "features", "mood"),
    "gtzan-mini": Question("gtzan-mini", "features", "gtzan-mini"),
    "esc10": Question("esc10", "mean_pool", "ESC-10"),
}
CHOICES = ("1x3", "2x3", "4x1.5", "3x3", "6x1.5", "5x3", "10x3")


def with_patches(audio: AudioInput, choice: str) -> AudioInput:
    """The input with the patches of a choice: `3x1.5` is three patches of 1.5 s."""
    count, seconds = choice.split("x")
    patches = even_patches(int(count), float(seconds), audio.window_s)
    return audio.model_copy(update={"patches": patches})


def cut_patches(window: Floats, audio: AudioInput, heard_s: float) -> Floats:
    """A whole window -> its patches, where the decoder takes them: (n,) -> (1, input_samples).

    Parameters
    ----------
    heard_s : length of the file, of which a shorter window is the repetition
    """
    heard_samples = min(round(heard_s * audio.sample_rate), audio.window_samples)
    starts, length = patch_starts(audio, heard_samples), audio.patch_samples
    return np.concatenate([window[start : start + length] for start in starts])[None]


def prepare(names: Iterable[str], data: Path, work: Path, audio: AudioInput) -> Iterator[TaskData]:
    """Each task with whole windows, which are decoded once and kept in `work` for the next run."""
    whole = audio.model_copy(update={"patches": None})
    for name in names:
        task = read_dataset(name, data / QUESTIONS[name].folder)
        for _ in prepare_task(task, work / name, whole):
            pass
        yield TaskData.load(work / name)


def open_session(network: Encoder) -> ort.InferenceSession:
    """The network with its front end in onnxruntime, on one thread."""
    names = ["embedding", "features", *network.levels]
    graph = to_onnx(WaveformEncoder(network), "waveform", network.audio.input_samples, names)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def encode_task(
    task: TaskData, session: ort.InferenceSession, audio: AudioInput, output: str
) -> tuple[Floats, list[float]]:
    """The output of each track, shape (n_tracks, dim), and the CPU milliseconds of each run."""
    outputs, taken_ms = [], []
    for row, heard_s in zip(task.rows, task.prepared.tracks["duration_s"], strict=True):
        waveforms = cut_patches(task.waveforms(row)[0], audio, float(heard_s))
        started = time.process_time()
        (found,) = session.run([output], {"waveform": waveforms})
        taken_ms.append(1000 * (time.process_time() - started))
        outputs.append(found[0])
    return np.stack(outputs), taken_ms


def score_folds(task: TaskData, inputs: Floats) -> list[float]:
    """Of each fold the mean score of inner cross-validation within its training part."""
    tracks, targets = task.prepared.tracks, task.targets
    scores = []
    for fold in range(task.n_folds):
        training = np.flatnonzero(tracks["fold"].to_numpy() != fold)
        candidates = tracks.iloc[training].reset_index(drop=True)
        inner = []
        for seed in INNER_SEEDS:
            folds = assign_folds(candidates, N_INNER_FOLDS, seed)
            for held_out in range(N_INNER_FOLDS):
                fitted, judged = training[folds != held_out], training[folds == held_out]
                inner.append(_score(task.facts.kind, inputs, targets, fitted, judged))
        scores.append(float(np.mean(inner)))
    return scores


def _score(kind: str, inputs: Floats, targets: Any, fitted: Any, judged: Any) -> float:
    """Accuracy of logistic regression, or mean r² of ridge regression, on the judged tracks."""
    classes = kind == "classification"
    linear = LogisticRegression(C=C, max_iter=2000) if classes else Ridge(ALPHA)
    model = make_pipeline(StandardScaler(), linear).fit(inputs[fitted], targets[fitted])
    measure = accuracy_score if classes else r2_score
    return float(measure(targets[judged], model.predict(inputs[judged])))


def measure(choices: Sequence[str], names: Sequence[str], data: Path, work: Path) -> Figures:
    """One row per choice: CPU milliseconds of a window, and the scores of each task by fold."""
    this_machine = machine("benchmarks.patch_choice", PACKAGES)
    network = load_network_from_bundle(read(BUNDLE))
    tasks = list(prepare(names, data, work, network.audio))
    rows = []
    for choice in choices:
        row = measure_choice(network, with_patches(network.audio, choice), tasks)
        print(f"{choice}: {row['ms']:.0f} ms", flush=True)
        rows.append(row)
    return {"machine": this_machine, "rows": rows}


def measure_choice(network: Encoder, audio: AudioInput, tasks: Iterable[TaskData]) -> Figures:
    network.audio = audio
    session = open_session(network)
    taken_ms: list[float] = []
    scores = {}
    for task in tasks:
        output = QUESTIONS[task.facts.name].output
        outputs, task_ms = encode_task(task, session, audio, output)
        taken_ms += task_ms
        scores[task.facts.name] = score_folds(task, outputs)
    assert audio.patches
    patches = {"count": len(audio.patch_starts), "seconds": audio.patches.seconds}
    return patches | {"ms": float(np.mean(taken_ms)), "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.patch_choice",
        description="Measure accuracy and inference time by number and length of patches.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("runs/patch-choice"))
    parser.add_argument("--only", action="append", metavar="COUNTxSECONDS")
    parser.add_argument("--tasks", action="append", choices=QUESTIONS)
    given = parser.parse_args()
    names, choices = given.tasks or list(QUESTIONS), given.only or CHOICES
    figures = rounded(measure(choices, names, given.data, given.work))
    if given.only or given.tasks:
        print(json.dumps(figures["rows"], indent=1))
    else:
        RESULT.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
