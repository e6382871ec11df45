"""Remember: what is kept of what the models put out, and what it took."""

from __future__ import annotations

import numpy as np

from models.card import OUTPUTS
from service.answers import AudioHeard, Computed, Vector, WindowUsed
from service.batch import Inferred
from service.hearing import Heard, Hearing
from service.session import Model
from service.timing import Timing


def note(rows: list[Inferred], timing: Timing) -> None:
    infer_ms = max(row.infer_ms for row in rows)
    timing.add("queue", max(row.queue_ms for row in rows), ago_ms=infer_ms)
    timing.add("infer", infer_ms)


def remember(hearing: Hearing, model: Model, heard: Heard) -> Computed:
    """What the cache keeps: the answer without what a request says of itself."""
    card, facts = model.card, heard.windows.facts
    return Computed(
        outputs={name: mean(heard.rows, name) for name in sorted(OUTPUTS[card.kind])},
        window=WindowUsed(
            starts=[round(start, 6) for start in heard.windows.starts_s],
            seconds=card.audio.window_s,
            how=hearing.choice.mode,
        ),
        audio=AudioHeard(
            sha256=hearing.upload.sha256,
            duration=round(facts.duration_s, 6),
            codec=facts.codec,
            rate=facts.sample_rate,
            channels=facts.channels,
        ),
    )


def mean(rows: list[Inferred], output: str) -> Vector:
    """Mean over windows as numbers that read back to the same float32: (n, dim) -> (dim,)."""
    vector = np.stack([row.outputs[output] for row in rows]).mean(0)
    # The shortest decimal of each float32, not the twice as long one of its float64.
    return [float(str(value)) for value in vector]
