"""Exponential backoff with jitter, within a total deadline."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tasteprint_client.errors import (
    MODEL_REFUSED,
    BadAnswer,
    ConnectionFailed,
    TasteprintError,
    Unavailable,
)

# A proxy's page in place of the service's problem: the service is being restarted.
PROXY_STATUSES = {408, 429, 502, 503, 504}


@dataclass(frozen=True)
class Retry:
    """Retried are 408, 429, 502, 503, 504 and connections that fail.

    Parameters
    ----------
    total_s : deadline of a call, its waits and all attempts together
    first_s, max_s : the wait doubles from the first to the maximum; half of it is random
    """

    total_s: float = 60.0
    first_s: float = 0.5
    max_s: float = 20.0

    def wait_s(self, error: TasteprintError) -> float | None:
        """Seconds to wait before another attempt; None where another one would fail too.

        `Retry-After` is a minimum.
        """
        if not is_temporary(error):
            return None
        backoff_s = min(self.max_s, self.first_s * 2.0 ** (error.attempts - 1))
        retry_after_s: float = getattr(error, "retry_after_s", None) or 0.0
        return retry_after_s + backoff_s * random.uniform(0.5, 1)


def is_temporary(error: TasteprintError) -> bool:
    """Whether another attempt may be answered."""
    if isinstance(error, Unavailable):
        return error.type != MODEL_REFUSED
    if isinstance(error, BadAnswer):
        return error.status in PROXY_STATUSES
    return isinstance(error, ConnectionFailed)
