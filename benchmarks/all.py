"""Every benchmark, in the order of a run."""

from __future__ import annotations

from benchmarks.bundles import BUNDLES
from benchmarks.cached import CACHED
from benchmarks.crowd import CROWD
from benchmarks.decode import DECODE
from benchmarks.embed import EMBED
from benchmarks.gpu import GPU
from benchmarks.latency import LATENCY
from benchmarks.overload import OVERLOAD, OVERLOAD_LONG
from benchmarks.patches import PATCHES
from benchmarks.result import Benchmark
from benchmarks.rivals import RIVALS
from benchmarks.start import START

BENCHMARKS: tuple[Benchmark, ...] = (
    DECODE,
    PATCHES,
    EMBED,
    BUNDLES,
    CACHED,
    RIVALS,
    LATENCY,
    OVERLOAD,
    OVERLOAD_LONG,
    START,
    CROWD,
    GPU,
)
