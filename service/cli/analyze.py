"""Answers of models for songs, as `POST /analyze` gives them, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

from models.audio.window_choice import WindowChoice
from models.bundle import bundle_folders, read
from models.errors import TasteprintError
from service.api import render
from service.cli.bundles import find_bundle
from service.cli.errors import BadArgument
from service.cli.local import LocalFile, await_work, digest_of
from service.cli.settings import local_settings
from service.cli.songs import Song
from service.inference.model import Model
from service.inference.registry import load_models
from service.observability.context import StageTimer
from service.pipeline.model_request import ModelRequest
from service.pipeline.pipeline import Pipeline
from service.schemas.responses import Analysed, Analysis

Answer = Analysis | TasteprintError | OSError


def model_of_task(task: str, models_dir: Path) -> str:
    """Name of the classifier or regressor of a task: a default one first, then its namesake.

    Raises
    ------
    BadArgument
        If no bundle has the task.
    """
    cards = []
    for folder in bundle_folders(models_dir):
        try:
            cards.append(read(folder).card)
        except TasteprintError:  # said by `tasteprint models list`
            continue
    tasks = [card for card in cards if card.kind != "encoder"]
    found = [card for card in tasks if card.task == task]
    if not found:
        known = ", ".join(sorted({card.task for card in tasks}))
        raise BadArgument(f"no model has the task {task!r}", value=task, limit=known)
    return min(found, key=lambda card: (not card.default, card.name != task)).name


async def analyze_songs(
    songs: Sequence[Song], names: Sequence[str], window: str
) -> AsyncIterator[tuple[Song, Answer]]:
    """Each song's answers as it is done, or why there are none.

    Parameters
    ----------
    names : of models; the default ones if empty

    Raises
    ------
    TasteprintError
        If a model cannot be used.
    """
    settings = local_settings(None, "auto", 0)
    for name in names:
        find_bundle(name, settings.models_dir)
    registry = load_models(settings, names or None)
    models = [registry.loaded[name] for name in names] if names else registry.defaults
    pipeline = Pipeline(settings, registry)
    await pipeline.start()
    coming = iter(songs)

    async def answer(song: Song) -> tuple[Song, Answer]:
        return song, await _analyze(pipeline, models, song, WindowChoice.parse(window))

    try:
        n_running = 2 * settings.decode_workers
        running = {asyncio.create_task(answer(song)) for song in islice(coming, n_running)}
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running |= {asyncio.create_task(answer(song)) for song in islice(coming, len(done))}
            for task in done:
                yield task.result()
    finally:
        await pipeline.close()


async def _analyze(
    pipeline: Pipeline, models: Sequence[Model], song: Song, window: WindowChoice
) -> Answer:
    try:
        file = LocalFile(song.path, await asyncio.to_thread(digest_of, song.path))
        request = ModelRequest(tuple(models), window, StageTimer(), waits_for_admission=True)
        results = await pipeline.answer(file, request, await_work)
        return render.analysis(models, results, features=False, vectors=False)
    except (TasteprintError, OSError) as error:
        return error


def describe(model: Analysed, n_labels: int = 3) -> str:
    """A model's answer in a line: its most probable labels, or its values."""
    if model.problem is not None:
        return model.problem.detail
    if model.labels is not None:
        parts = [f"{label.label} {label.probability:.2f}" for label in model.labels[:n_labels]]
    elif model.values is not None:
        parts = [f"{name} {value:.2f}" for name, value in model.values.items()]
    else:
        parts = [f"{len(model.embedding or ())} dimensions"]
    return ", ".join(parts)
