"""Cost of an entry: parameters, operations, and CPU time of a clip on one core."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import onnxruntime as ort

from models.bundle import Bundle, read, verification_noise
from models.card import Graph, Precision
from training.leaderboard.cells import Cost, Costs, read_costs, write_costs
from training.leaderboard.entries import FOLD, Entry
from training.leaderboard.graph_cost import count_flop, count_parameters

TIMED: tuple[Precision, ...] = ("float32", "int8")
N_TURNS = 15
Key = TypeVar("Key")


def update_costs(entries: Sequence[Entry], out: Path, n_turns: int = N_TURNS) -> Costs:
    """Measure all entries where one has no cost or other bundles than it was measured with.

    All are timed again then, in turns, so that a slow phase of the machine meets all of them.
    Bundles of a fold cost the same, so those of the first are taken. Entries with mel statistics
    have no cost, as these are computed without a graph.

    Raises
    ------
    BundleError
    """
    bundles = {entry.name: bundles_of(entry) for entry in entries}
    bundles = {name: found for name, found in bundles.items() if found}
    known = read_costs(out)
    stated = {name: cost.bundles for name, cost in known.entries.items()} if known else {}
    digests = {name: tuple(bundle.digest for bundle in found) for name, found in bundles.items()}
    if known is not None and all(stated.get(name) == found for name, found in digests.items()):
        return known
    costs = Costs(cpu=_cpu(), entries=_measure(bundles, n_turns))
    write_costs(out, costs)
    return costs


def bundles_of(entry: Entry) -> list[Bundle]:
    """The different bundles of an entry; none if it takes mel statistics.

    Raises
    ------
    BundleError
    """
    paths = [part.bundle for part in entry.parts]
    if None in paths:
        return []
    found = [read(Path(str(path).replace(FOLD, "0"))) for path in dict.fromkeys(paths)]
    return list({bundle.digest: bundle for bundle in found}.values())


def _measure(entries: Mapping[str, list[Bundle]], n_turns: int) -> dict[str, Cost]:
    bundles = {bundle.digest: bundle for found in entries.values() for bundle in found}
    works = {
        (digest, graph.precision): _inference(bundle, graph)
        for digest, bundle in bundles.items()
        for graph in bundle.card.graphs
        if graph.precision in TIMED
    }
    ms = median_cpu_ms(works, n_turns)
    counts = {digest: _count(bundle) for digest, bundle in bundles.items()}
    return {
        name: _add([bundle.digest for bundle in found], counts, ms)
        for name, found in entries.items()
    }


def _add(
    digests: Sequence[str],
    counts: Mapping[str, tuple[int, int]],
    ms: Mapping[tuple[str, Precision], float],
) -> Cost:
    """The cost of several bundles together."""
    parameters, flop = zip(*(counts[digest] for digest in digests), strict=True)
    precisions = [
        precision for precision in TIMED if all((digest, precision) in ms for digest in digests)
    ]
    return Cost(
        bundles=tuple(digests),
        parameters=sum(parameters),
        mflop=round(sum(flop) / 1e6, 2),
        ms={
            precision: round(sum(ms[digest, precision] for digest in digests), 2)
            for precision in precisions
        },
    )


def _count(bundle: Bundle) -> tuple[int, int]:
    """Parameters and operations of the float32 graph."""
    graph = bundle.graph_bytes(bundle.card.graph())
    noise = verification_noise(bundle.card.input.shape)
    return count_parameters(graph), count_flop(graph, {bundle.card.input.name: noise})


def _inference(bundle: Bundle, graph: Graph) -> Callable[[], object]:
    """One clip through a graph in one thread, every output, as the service runs it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        bundle.graph_bytes(graph), options, providers=["CPUExecutionProvider"]
    )
    noise = verification_noise(bundle.card.input.shape)
    names = [tensor.name for tensor in bundle.card.outputs]
    return partial(session.run, names, {bundle.card.input.name: noise})


def median_cpu_ms(works: Mapping[Key, Callable[[], object]], n_turns: int) -> dict[Key, float]:
    """Median CPU milliseconds of each; all run in turns, so that a slow phase meets all."""
    taken_s: dict[Key, list[float]] = {key: [] for key in works}
    for work in works.values():
        work()
    for _ in range(n_turns):
        for key, work in works.items():
            started = time.process_time()
            work()
            taken_s[key].append(time.process_time() - started)
    return {key: 1000 * statistics.median(values) for key, values in taken_s.items()}


def _cpu() -> str:
    """Name of the processor, as Linux states it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
