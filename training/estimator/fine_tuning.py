"""Fine-tuning of a whole encoder, its embedding layer included, on item factors.

Not as `estimator --init`, which starts with a new embedding layer: here the network already makes
embeddings of the space that it is trained in, such as by a linear map that was fitted on its
features. Batch norms keep their statistics and nothing is dropped out, and a training input is of
as many patches as in use, so that the first step is taken from exactly the network that was given,
and a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from models.card import AudioInput
from training.audio.shards import Windows
from training.estimator.clips import Clips
from training.estimator.module import EstimatorModule
from training.estimator.settings import EstimatorSettings
from training.fitting.curves import draw_curves
from training.fitting.dataset import AudioDataset, Loader, make_loader
from training.fitting.sampling import NumberedSampler
from training.fitting.trainer import BEST, LAST, fit, load_weights, seed_and_silence
from training.networks.base import Encoder
from training.networks.registry import name_of

START = "start.txt"


class PlacedPatches(AudioDataset):
    """torch data set of whole windows, heard in patches at random places.

    Item number e · n + i is of clip i of n in epoch e: int16 (input_samples,), as many patches as
    the network hears, each from anywhere in its equal part of the window, and the clip's target.

    Parameters
    ----------
    windows : whole ones, int16, shape (n_rows, n_samples)
    audio : of the network
    """

    def __init__(self, windows: Windows, clips: Clips, audio: AudioInput, seed: int) -> None:
        self.windows, self.rows, self.targets = windows, clips.rows, clips.factors
        self.n_patches, self.patch_samples = len(audio.patch_starts), audio.patch_samples
        self.seed = seed

    @property
    def identity(self) -> Sequence[NDArray[Any]]:
        return self.rows, self.targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        index = number % len(self.rows)
        window = self.windows[self.rows[index]]
        starts = self.draw_starts(np.random.default_rng((self.seed, number)))
        patches = [window[start : start + self.patch_samples] for start in starts]
        return torch.from_numpy(np.concatenate(patches)), torch.from_numpy(self.targets[index])

    def draw_starts(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """First sample of each patch, shape (n_patches,)."""
        n_samples = self.windows.shape[1]
        part = n_samples // self.n_patches
        room = max(part - self.patch_samples, 0)
        starts = part * np.arange(self.n_patches) + rng.integers(room + 1, size=self.n_patches)
        return np.asarray(np.minimum(starts, n_samples - self.patch_samples), np.int64)


class StepCounter(L.Callback):
    """Calls a function after each training step, and at once for the steps of earlier runs."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        self.on_step = on_step

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for _ in range(trainer.global_step):
            self.on_step()

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.on_step()


def fine_tune(
    network: Encoder,
    windows: Windows,
    heard: Windows,
    training: Clips,
    validation: Clips,
    out: Path,
    settings: EstimatorSettings,
    *,
    start: str,
    on_step: Callable[[], None] = lambda: None,
) -> EstimatorModule:
    """Train the network itself; it has the weights of the last step after that.

    `out` receives what `training.fitting.trainer.fit` writes, and a figure of the losses; a run
    that was stopped is resumed.

    Parameters
    ----------
    network : in evaluation mode
    windows : whole ones, which patches are cut from at random places
    heard : the patches that the network hears, of the same rows, for the validation
    start : what tells the initial weights from others; a run is not resumed from other ones
    on_step : called for each step

    Raises
    ------
    OtherRun, LossNotFinite
    """
    seed_and_silence(settings)
    module = EstimatorModule(
        network.width,
        settings.crop_s,
        settings.learning_rate,
        settings.cosine_schedule,
        name_of(network),
        network.embedding_dim,
        trainable=settings.trainable,
        network=network,
        frozen_norms=True,
    )
    dataset = PlacedPatches(windows, training, network.audio, settings.seed)
    with interruptible():
        fit(
            module,
            _training_loader(dataset, training, settings),
            make_loader(
                heard,
                validation.rows,
                validation.factors,
                settings=settings,
                crop_samples=0,
                patch_samples=network.audio.patch_samples,
                training=False,
            ),
            out,
            settings,
            extra_identity={START: f"{start}\n"},
            show_progress=False,
            callbacks=[StepCounter(on_step)],
        )
    load_weights(module, out / LAST)
    network.eval()
    draw_curves(out)
    return module


def _training_loader(dataset: PlacedPatches, clips: Clips, settings: EstimatorSettings) -> Loader:
    sampler = NumberedSampler(len(dataset), settings.seed, clips.balanced_weights)
    return DataLoader(
        dataset,
        batch_size=settings.batch_size,
        sampler=sampler,
        drop_last=len(dataset) > settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Context manager: an interrupt of a training run is one of the program.

    Lightning ends the process with exit code 1 in its place, and ignores further ones.
    """
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from stop


def best_step(run: Path) -> tuple[int, float]:
    """The step whose validation loss is lowest, and that loss."""
    state = torch.load(run / BEST, map_location="cpu", weights_only=False)
    losses = [
        float(callback["best_model_score"])
        for callback in state["callbacks"].values()
        if callback.get("monitor") == "val_loss" and "best_model_score" in callback
    ]
    return int(state["global_step"]), losses[0]
