"""Training steps: what the loader costs, and bf16, channels last and `torch.compile`.

    python -m benchmarks.training.steps                      # the CPU, or a GPU where there is one

The rate with the loader is that of steps on fresh crops of a memory-mapped array, as in training;
without it every step has one batch that is there already. A loader that keeps the device busy has
both rates alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import describe, machine
from benchmarks.result import RESULTS, Figures, Goal, rounded
from training.audio.shards import WindowFiles, create_windows, open_windows
from training.estimator.module import EstimatorModule, known_loss
from training.fitting.dataset import Loader, make_loader
from training.fitting.settings import FitSettings
from training.networks.cf_estimator import CFEstimator

RESULT = RESULTS / "steps.json"
PACKAGES = ("torch", "torchaudio", "numpy")
N_WINDOWS, DIM, CROP_S = 200, 40, 7.5
GOAL_RATIO = 0.95
WIDTHS = (32, 64, 128, 256)
# Way → whether in bf16, with channels last, and compiled.
WAYS = {
    "float32, contiguous": (False, False, False),
    "float32, channels last": (False, True, False),
    "bf16, channels last": (True, True, False),
    "bf16, channels last, compiled": (True, True, True),
}


class Steps:
    """Steps of Adam on the network of a width, and the time that they take.

    Parameters
    ----------
    precision : float32, or bf16 by autocast
    channels_last : layout of weights and spectrograms
    """

    def __init__(
        self, device: torch.device, width: int, *, bf16: bool, channels_last: bool, compiled: bool
    ) -> None:
        module = EstimatorModule(width, CROP_S, 1e-3, False)
        if not channels_last:
            module.network = module.network.to(memory_format=torch.contiguous_format)
        self.device, self.bf16 = device, bf16
        self.module = module.to(device).train()
        self.forward = torch.compile(self.module) if compiled else self.module
        self.optimizer = self.module.make_optimizer()

    def take(self, batch: list[Tensor]) -> None:
        window, target = (values.to(self.device, non_blocking=True) for values in batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            embedding = self.forward(window).embedding
        loss = known_loss(embedding, target)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def clips_per_second(self, batches: Iterator[list[Tensor]], n_steps: int) -> float:
        self.take(next(batches))
        self._wait()
        begun = time.perf_counter()
        n_clips = 0
        for batch in islice(batches, n_steps):
            self.take(batch)
            n_clips += len(batch[0])
        self._wait()
        return n_clips / (time.perf_counter() - begun)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def make_batches(folder: Path, batch_size: int, workers: int) -> Loader:
    rng = np.random.default_rng(0)
    n_samples = CFEstimator.audio.input_samples
    create_windows(folder, (N_WINDOWS, n_samples))
    files = WindowFiles(folder)
    for row in range(N_WINDOWS):
        files.write(row, rng.integers(-9000, 9000, n_samples).astype(np.int16))
    targets = rng.normal(size=(N_WINDOWS, DIM)).astype(np.float32)
    return make_loader(
        open_windows(folder),
        np.arange(N_WINDOWS),
        targets,
        settings=FitSettings(batch_size=batch_size, crop_s=CROP_S, workers=workers),
        crop_samples=CFEstimator.crop_samples(CROP_S),
        patch_samples=n_samples,
        training=True,
    )


def forever(loader: Loader) -> Iterator[list[Tensor]]:
    while True:
        for batch in loader:
            yield list(batch)


def measure(folder: Path, n_steps: int, batch_size: int, workers: int, width: int) -> Figures:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loader = make_batches(folder, batch_size, workers)
    found: Figures = {"device": device.type, "width": width, "batch": batch_size, "ways": {}}
    resident = list(next(iter(loader)))
    for way, (bf16, channels_last, compiled) in WAYS.items():
        steps = Steps(device, width, bf16=bf16, channels_last=channels_last, compiled=compiled)
        alone = steps.clips_per_second(cycle([resident]), n_steps)
        loaded = steps.clips_per_second(forever(loader), n_steps)
        found["ways"][way] = {"alone": alone, "loaded": loaded}
        print(f"{way}: {alone:.2f} clips a second alone, {loaded:.2f} with the loader", flush=True)
    batches = forever(loader)
    next(batches)
    begun = time.perf_counter()
    n_clips = sum(len(batch[0]) for batch in islice(batches, 10 * n_steps))
    found["loader"] = n_clips / (time.perf_counter() - begun)
    return found


def table(figures: Figures) -> str:
    lines = [
        f"| width {figures['width']}, {figures['device']} | clips a second | with the loader | |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {way} | {rates['alone']:.1f} | {rates['loaded']:.1f} "
        f"| {rates['loaded'] / rates['alone']:.3f} |"
        for way, rates in figures["ways"].items()
    ]
    return "\n".join([*lines, f"| the loader alone | | {figures['loader']:.0f} | |"])


def goals(figures: Figures) -> list[Goal]:
    return [
        Goal(f"{way}: with ÷ without the loader", rates["loaded"] / rates["alone"], min=GOAL_RATIO)
        for way, rates in figures["ways"].items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0, help="loader processes")
    parser.add_argument("--width", type=int, default=32, choices=WIDTHS)
    parser.add_argument("--no-keep", action="store_true", help="print the figures, and keep none")
    given = parser.parse_args()
    facts = machine("benchmarks.training.steps", PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (given.steps, given.batch_size, given.workers, given.width)
        figures = {"machine": facts} | measure(Path(folder), *arguments)
    if not given.no_keep:
        RESULT.write_text(json.dumps(rounded(figures), indent=1) + "\n")
    print(f"\n{describe(facts)}\n\n{table(figures)}\n")
    for goal in goals(figures):
        print(goal.row())


if __name__ == "__main__":
    main()
