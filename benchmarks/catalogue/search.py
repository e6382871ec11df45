"""Exact search in a large catalogue on one core: CPU time of a query, and memory.

python -m benchmarks.catalogue.search [--tracks 1000000] [--queries 30]
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import gc
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.catalogue import Catalogue, CatalogueSource, Filters, Track, journal, load, save
from service.catalogue.choice import find_catalogue
from service.settings import Settings

SOURCE = CatalogueSource("benchmark", "1.0.0", "0" * 64)
DIM = 40


def write(path: Path, n_tracks: int) -> None:
    """A catalogue of vectors drawn at random around a common part."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(0.5, 1, (n_tracks, DIM)).astype(np.float32)
    save(Catalogue.build(SOURCE, [f"t{row}" for row in range(n_tracks)], vectors, {}), path)


def median_ms(times_s: list[float]) -> float:
    return float(np.median(times_s) * 1e3)


def measure(path: Path, n_queries: int) -> str:
    load(find_catalogue(Settings()) or path)  # what reading imports is not of this catalogue
    before_mb, began_s = resident_mb(), time.process_time()
    known = journal.load_current(path)
    load_s, catalogue_mb = time.process_time() - began_s, resident_mb() - before_mb
    rng = np.random.default_rng(1)
    search_s: list[float] = []
    put_s: list[float] = []
    for query in rng.normal(0.5, 1, (n_queries, DIM)).astype(np.float32):
        catalogue = known.catalogue  # a put replaces it
        centred = catalogue.centre(query[None], SOURCE)
        began_s = time.process_time()
        hits = catalogue.search(centred, Filters())
        search_s.append(time.process_time() - began_s)
        assert len(hits) == Filters().limit
        began_s = time.process_time()
        known, _ = journal.put(known, path, Track(f"new {len(put_s)}", query), SOURCE)
        put_s.append(time.process_time() - began_s)
    after_mb = resident_mb() - before_mb
    return (
        f"{len(known.catalogue)} tracks, one core, CPU time: search {median_ms(search_s):.1f} ms "
        f"(median of {n_queries}), put {median_ms(put_s):.1f} ms, read in {load_s:.2f} s; "
        f"memory of the catalogue {catalogue_mb:.0f} MB, and {after_mb:.0f} MB after the queries"
    )


def resident_mb() -> float:
    """Resident memory of this process, once what is free was given back."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=30)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.parquet"
        # In a process of its own, so that the memory is that of reading and searching.
        if not (child := os.fork()):
            write(path, given.tracks)
            os._exit(0)
        os.waitpid(child, 0)
        print(measure(path, given.queries))


if __name__ == "__main__":
    main()
