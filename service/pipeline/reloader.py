"""Reloader: takes bundles that were replaced, added or removed, while requests are answered.

New versions are loaded beside the old ones, and then requests that come get the new ones; those in
progress keep the model that they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from models.bundle import Bundle
from models.errors import TasteprintError
from service.inference.batcher import Batcher
from service.inference.model import Model
from service.inference.registry import ModelRegistry, find_encoder, is_default, read_all
from service.settings import Settings

log = logging.getLogger("tasteprint")
Prepare = Callable[[Mapping[str, Bundle]], Awaitable[Callable[[], None]]]


@dataclass(frozen=True)
class Changes:
    """What a folder of bundles has that the registry has not.

    Attributes
    ----------
    bundles : every bundle of the folder by name; those that cannot be read stay as they were
    changed : names of new or replaced bundles, and of heads whose encoder is another one; encoders
        before their heads
    removed : names of bundles that are gone
    refused : name of a bundle that cannot be read → reason
    """

    bundles: dict[str, Bundle]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    refused: dict[str, str]


def find_changes(models: ModelRegistry, settings: Settings) -> Changes:
    """Read the folder of bundles, and compare it with the registry."""
    fresh, refused = read_all(settings.models_dir)
    kept = {name: models.bundles[name] for name in refused if name in models.bundles}
    bundles = fresh | kept
    changed = [
        bundle
        for name, bundle in bundles.items()
        if _state(bundle, bundles.values())
        != _state(models.bundles.get(name), models.bundles.values())
    ]
    changed.sort(key=lambda bundle: bundle.card.head is not None)
    return Changes(
        bundles,
        tuple(bundle.card.name for bundle in changed),
        tuple(name for name in models.bundles if name not in bundles),
        refused,
    )


def _state(bundle: Bundle | None, bundles: Iterable[Bundle]) -> tuple[object, ...] | None:
    """What is other of another version: the digests of a bundle, its graphs and its encoder."""
    if bundle is None:
        return None
    encoder = find_encoder(bundle, bundles)
    graphs = tuple(graph.sha256 for graph in bundle.card.graphs)
    return bundle.digest, graphs, encoder.digest if encoder else None


class Reloader:
    """Reloader: one reload at a time; another one that is asked for meanwhile follows.

    A bundle that cannot be read or loaded is logged, and the old version stays in use.

    Parameters
    ----------
    start : starts the queue of a model, in place of the one of its name
    retire : closes a queue when no request has its model any more
    batchers : queues of the models in use, by name
    """

    def __init__(
        self,
        models: ModelRegistry,
        settings: Settings,
        start: Callable[[Model], None],
        retire: Callable[[Batcher], None],
        batchers: dict[str, Batcher],
    ) -> None:
        self._models, self._settings, self._start, self._retire = models, settings, start, retire
        self._batchers = batchers
        # Reads what belongs to bundles, such as a catalogue, and gives what takes it into use.
        self.prepare: Prepare = _prepare_nothing
        self._task: asyncio.Task[None] | None = None
        self._is_asked_again = False

    def request(self) -> None:
        """Begin a reload; called on SIGHUP."""
        if self._task is not None and not self._task.done():
            self._is_asked_again = True
            return
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self._is_asked_again = False
            try:
                await self._reload()
            except Exception:  # the service must survive whatever a folder holds
                log.exception("the reload failed, and the models stay as they were")
            if not self._is_asked_again:
                return

    async def _reload(self) -> None:
        changes = await asyncio.to_thread(find_changes, self._models, self._settings)
        for name in changes.removed:
            self._drop(name)
        if not changes.changed and not changes.removed and not changes.refused:
            log.info("reload: no bundle has changed")
        fresh: dict[str, Model | None] = {}
        for name in changes.changed:
            bundle = changes.bundles[name]
            try:
                fresh[name] = await self._load(bundle, changes, fresh)
            except TasteprintError as error:
                self._keep(name, error)
        then = await self.prepare(self._models.bundles | {n: changes.bundles[n] for n in fresh})
        # Without a pause between them: heads fit their encoders, and the catalogue its encoder.
        for name, model in fresh.items():
            self._use(changes.bundles[name], model)
        then()

    async def _load(
        self, bundle: Bundle, changes: Changes, fresh: dict[str, Model | None]
    ) -> Model | None:
        """The model of a bundle that is in use or a default; None of one that is loaded later."""
        if bundle.card.name not in self._models.loaded and not is_default(bundle, self._settings):
            return None
        encoder = find_encoder(bundle, changes.bundles.values())
        loaded: Model | None = None
        if encoder is not None:
            name = encoder.card.name
            loaded = fresh[name] if name in fresh else self._models.loaded.get(name)
        return await asyncio.to_thread(self._models.loader.load_later, bundle, loaded)

    def _use(self, bundle: Bundle, model: Model | None) -> None:
        name, models = bundle.card.name, self._models
        before = models.bundles.get(name)
        models.bundles[name] = bundle
        models.refused.pop(name, None)
        if is_default(bundle, self._settings):
            models.default_names.add(name)
        if model is not None:
            old = self._batchers.get(name)
            models.loaded[name] = model
            self._start(model)
            if old is not None:
                self._retire(old)
        log.info("reload: %s is %s now, %s before", name, _describe(bundle), _describe(before))

    def _keep(self, name: str, error: TasteprintError) -> None:
        if name in self._models.bundles:
            log.error("reload: %s stays as it was: %s", name, error)
        else:
            self._models.refuse(name, error)

    def _drop(self, name: str) -> None:
        self._models.bundles.pop(name)
        self._models.loaded.pop(name, None)
        self._models.default_names.discard(name)
        if (batcher := self._batchers.pop(name, None)) is not None:
            self._retire(batcher)
        log.info("reload: %s is gone", name)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _describe(bundle: Bundle | None) -> str:
    return f"{bundle.card.version} ({bundle.digest[:12]})" if bundle else "nothing"


async def _prepare_nothing(bundles: Mapping[str, Bundle]) -> Callable[[], None]:
    return lambda: None
