"""Names of the methods of an evaluation, and which of them are compared."""

from __future__ import annotations

from collections.abc import Sequence

NETWORK, CEILING, MEAN = "network", "ceiling (folded in)", "mean vector"
SHUFFLED = "shuffled network"
MEL = "mel statistics"
N_PROJECTIONS = 40


def ridge_on(name: str) -> str:
    return f"ridge on {name}"


def projections_of(name: str) -> str:
    return f"{N_PROJECTIONS} random projections of {name}"


def compared_methods(methods: Sequence[str], encoders: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of methods whose paired difference is reported, the first minus the second."""
    pairs = [(NETWORK, ridge_on(MEL))]
    for name in encoders:
        pairs += [(NETWORK, ridge_on(name)), (NETWORK, name), (ridge_on(name), name)]
        pairs += [(ridge_on(name), projections_of(name))]
    return [pair for pair in pairs if set(pair) <= set(methods)]
