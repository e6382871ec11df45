"""`python -m tests.fuzz 20000 --seed 0`: mutants of real files through real decoders.

A run goes on where the last one of its seed ended. Files that cost a decoder its life, or more than
five seconds, are kept in the folder by digest; the summary says what each mutant was made of, so
that any of them can be made again from its seed and number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from service.decoding.pool import DecodePool
from service.settings import Settings
from tests.bombs import BOMBS, HEAVY
from tests.fuzz.corpus import ORIGINALS, corpus
from tests.fuzz.decoding import Findings, judge, open_files, watch_decoders
from tests.fuzz.mutate import Mutant, mutant
from tests.running import ROOT, resident_bytes

MiB = 1 << 20
# Of this process after its first mutants: the corpus is in memory, nothing else should grow.
WARM_UP, GROWTH_BYTES = 300, 64 * MiB
SAVE_EACH = 500
TIMEOUT_S = 20.0
GOOD = ROOT / "examples" / "chords.mp3"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("count", type=int, help="how many mutants of the seed there are to be")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--originals", type=Path, default=ORIGINALS, help="real recordings")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = corpus(Path(folder), given.originals)
    findings = asyncio.run(fuzz(files, given.count, given.seed, given.out))
    print(table(findings))
    if bad := findings.unknown():
        sys.exit(f"outcomes that are none: {', '.join(sorted(bad))}")
    for name, numbers in findings.unsaid.items():
        print(f"{name}, which no reader foresees: mutants {', '.join(map(str, numbers[:20]))}")
    if findings.unsaid:
        sys.exit("mutants raised errors that no reader foresees")


async def fuzz(files: dict[str, bytes], count: int, seed: int, out: Path) -> Findings:
    """Try mutants up to number `count`; fails where memory or files are not given back."""
    summary = out / f"seed-{seed}.json"
    findings, done = _load(summary)
    pool = DecodePool(Settings(decode_workers=1, decode_timeout_s=TIMEOUT_S))
    await pool.start()
    began, first, memory, held = time.monotonic(), done, 0, [""]
    try:
        if not done:
            await try_bombs(pool, findings, out)
        for number in range(done, count):
            made = mutant(files, seed, number)
            await judge(pool, made, number, findings, good=GOOD, folder=out / "kept")
            if number - first == min(WARM_UP, count - first - 1):
                memory, held = resident_bytes(os.getpid()), open_files()
            if (number + 1) % SAVE_EACH == 0 or number + 1 == count:
                watch_decoders(findings)
                _save(summary, findings, number + 1)
                rate = (number + 1 - first) / (time.monotonic() - began)
                print(
                    f"{number + 1} of {count}, {rate:.0f}/s, {dict(findings.total())}", flush=True
                )
        assert open_files() == held, f"files left open: {open_files()}, before {held}"
        grown = resident_bytes(os.getpid()) - memory
        assert grown < GROWTH_BYTES, f"memory grew by {grown} bytes"
    finally:
        await pool.close()
    return findings


async def try_bombs(pool: DecodePool, findings: Findings, out: Path) -> None:
    """All of them, also those that are too heavy for the test suite; their numbers are negative."""
    for number, (name, made) in enumerate((BOMBS | HEAVY).items()):
        bomb = Mutant("bomb", (name,), made())
        await judge(pool, bomb, -1 - number, findings, good=GOOD, folder=out / "kept")


def _load(summary: Path) -> tuple[Findings, int]:
    if not summary.exists():
        return Findings(), 0
    progress = json.loads(summary.read_text())
    done = progress.pop("done")
    progress["outcomes"] = {kind: Counter(counts) for kind, counts in progress["outcomes"].items()}
    return Findings(**progress), done


def _save(summary: Path, findings: Findings, done: int) -> None:
    summary.parent.mkdir(parents=True, exist_ok=True)
    content = {"done": done, **vars(findings)}
    partial = summary.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(summary)


def table(findings: Findings) -> str:
    """Outcomes by format, as Markdown."""
    names = [name for name, _ in findings.total().most_common()]
    rows = [["from", *names, "all"], ["---"] * (len(names) + 2)]
    for kind, counts in [*sorted(findings.outcomes.items()), ("all", findings.total())]:
        rows.append([kind, *(str(counts[name]) for name in names), str(counts.total())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
