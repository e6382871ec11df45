"""Problem types in the column `status`: those of the HTTP API, and those of a run."""

from __future__ import annotations

from models.errors import AudioError
from service.errors import type_of

# The system does not let us read the file; the service gave no answer.
UNREADABLE, UNREACHABLE = "urn:tasteprint:unreadable-file", "urn:tasteprint:unreachable"


def lasting_problems() -> frozenset[str]:
    """Types of the problems that a file has whenever it is tried."""

    def below(kind: type[AudioError]) -> set[type[AudioError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    return frozenset(type_of(kind.__name__) for kind in below(AudioError))
