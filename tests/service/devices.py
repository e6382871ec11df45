"""Devices for tests: real CPU sessions that simulate GPUs, and fail or hang on cue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort

from service.inference.devices import CPU
from service.inference.model import Model
from service.inference.registry import load_models
from service.inference.session import session_options
from service.settings import Settings
from tests.bundles import write_bundle
from tests.running import DEADLINE_S


@dataclass(eq=False)
class Device:
    """A session that does what it does, raises, hangs, or says NaN.

    It raises on more than `max_windows` windows.
    """

    session: ort.InferenceSession
    raises: bool = False
    says_nan: bool = False
    max_windows: int = 64
    goes_on: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    meet: Callable[[], object] | None = None
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.goes_on.set()

    def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
        self.entered.set()
        assert self.goes_on.wait(DEADLINE_S)
        if self.meet:
            self.meet()
        self.sizes.extend(len(batch) for batch in inputs.values())
        if self.raises or max(len(batch) for batch in inputs.values()) > self.max_windows:
            raise RuntimeError("on cue")
        outputs = self.session.run(names, inputs)
        return [np.full_like(output, np.nan) for output in outputs] if self.says_nan else outputs


def on_two_devices(folder: Path) -> tuple[Model, Device, Device]:
    """A model with two sessions of its graph, four windows in a run."""
    bundle = write_bundle(folder, "levels")
    graph = bundle.graph_bytes(bundle.card.graph())
    one, other = (
        Device(ort.InferenceSession(graph, session_options(1), providers=[CPU])) for _ in range(2)
    )
    model = load_models(Settings(models_dir=folder)).loaded["levels"]
    sessions = cast("tuple[ort.InferenceSession, ...]", (one, other))
    return replace(model, sessions=sessions, max_batch=4, solo_session=None), one, other
