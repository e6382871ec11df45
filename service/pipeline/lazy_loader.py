"""Lazy loading: a bundle that is not default gets its sessions at its first request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from models.bundle import Bundle
from models.errors import BundleError
from service.errors import ModelRefused, Stopping, Unavailable
from service.inference.model import Model
from service.inference.registry import ModelRegistry, refusal

log = logging.getLogger("tasteprint")


class LazyLoader:
    """Lazy loader: concurrent first requests share one loading, which none of them owns.

    Models are loaded in one thread, one after another, so that a service with many bundles needs
    memory and cores for one loading at a time. A bad bundle is refused for good: its files are
    verified by digest, so another attempt would fail too. After any other failure, such as a lack
    of memory, the next request tries again.
    """

    def __init__(
        self, models: ModelRegistry, on_loaded: Callable[[Model], None], timeout_s: float
    ) -> None:
        self._models, self._on_loaded, self._timeout_s = models, on_loaded, timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._loading: dict[str, asyncio.Task[Model]] = {}

    async def load(self, bundle: Bundle) -> Model:
        """The model of a bundle, after its loading.

        Raises
        ------
        ModelRefused
            If the bundle was found to be bad, now or at an earlier request.
        Unavailable
            If loading fails for another reason, or takes longer than the time limit; then it goes
            on for later requests.
        Stopping
        """
        name = bundle.card.name
        loading = self._loading.get(name)
        if loading is None:
            loading = self._start(self._models.find(name))  # where it was not refused meanwhile
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(loading)
        except TimeoutError as error:
            raise Unavailable(
                f"the model {name} is still being loaded", limit=self._timeout_s
            ) from error
        except asyncio.CancelledError:
            if loading.cancelled():
                raise Stopping("the service is shutting down") from None
            raise

    def _start(self, bundle: Bundle) -> asyncio.Task[Model]:
        name = bundle.card.name
        task = self._loading[name] = asyncio.create_task(self._load(bundle))
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Model]) -> None:
        self._loading = {name: other for name, other in self._loading.items() if other is not task}
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio logs none where every caller has left

    async def _load(self, bundle: Bundle) -> Model:
        name, encoder = bundle.card.name, await self._encoder_of(bundle)
        started_s = time.perf_counter()
        try:
            model = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._models.loader.load_later, bundle, encoder
            )
        except BundleError as error:
            self._models.refuse(name, error)
            raise refusal(name, self._models.refused[name]) from error
        if self._models.bundles.get(name) is not bundle:  # it was replaced while it was loaded
            return model
        self._models.loaded[name] = model
        self._on_loaded(model)
        log.info("loaded %s in %.1f s", name, time.perf_counter() - started_s)
        return model

    async def _encoder_of(self, bundle: Bundle) -> Model | None:
        """The loaded encoder of a head; None where the head runs by its full graph."""
        encoder = self._models.find_encoder(bundle)
        if encoder is None:
            return None
        if encoder.card.name not in self._models.loaded:
            with suppress(ModelRefused):
                await self.load(encoder)
        return self._models.loaded.get(encoder.card.name)

    async def close(self) -> None:
        """Wait for no loading: a running one ends in its thread, and its model is dropped."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)
