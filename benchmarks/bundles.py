"""Each shipped bundle: decoding and inference on one core, and its requests beside `cf-estimator`.

MP3 files, nothing cached. CPU milliseconds are the median of runs in turns in one process with one
thread; a head runs after its encoder. Requests per second are those of one saturated service, each
bundle by its own route and in turns with `cf-estimator`; a ratio is the median over the turns, with
its range. The row of `cf-estimator`, compared with itself, shows the noise.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.bundle_cost import cost_ms
from benchmarks.decode import in_fresh_process
from benchmarks.load import saturate
from benchmarks.processes import N_CORES, ROOT, SERVICE, Server, serving
from benchmarks.result import Benchmark, Figures, Goal, Plan
from benchmarks.routes import route_of
from benchmarks.sounds import CLIP_S, NAMES, SONG_S
from benchmarks.wire import Client, multipart
from models.bundle import bundle_folders, read
from models.card import Card, Precision

MODELS = ROOT / "models"
REFERENCE = "cf-estimator"
# MusiCNN hears three times as much of a window.
MIN_RATIOS = {"musicnn-msd": 0.3}
N_CLIENTS = 4 * N_CORES
# An even number of turns, since the bundle that is measured first alternates.
N_REQUESTS, N_WARM, N_TURNS, N_COST_TURNS = 32, 8, 4, 15


def measure(plan: Plan) -> Figures:
    return {"rows": measure_bundles(plan, MODELS, REFERENCE, (CLIP_S, SONG_S))}


def measure_bundles(
    plan: Plan, models_dir: Path, reference: str, lengths_s: Sequence[int]
) -> list[Figures]:
    """One row per bundle."""
    folders = bundle_folders(models_dir)
    cards = [read(folder).card for folder in folders]
    first = next(card for card in cards if card.name == reference)
    uploads = {
        NAMES[seconds]: plan.sounds.different("mp3", seconds, 3 * N_CLIENTS)
        for seconds in lengths_s
    }
    rows = []
    with serving(
        *SERVICE, TASTEPRINT_CACHE_ENTRIES="0", TASTEPRINT_MODELS_DIR=str(models_dir)
    ) as service:
        for card in cards:
            rows.append({"model": card.name} | _throughput(plan, service, card, first, uploads))
            print(f"{card.name}: {rows[-1]['per_s']} requests/s", flush=True)
    precisions = [row["precision"] for row in rows]
    files = {NAMES[seconds]: plan.sounds.files("mp3", seconds)[0] for seconds in lengths_s}
    n_turns = plan.of(N_COST_TURNS, 1)
    costs = in_fresh_process(cost_ms, folders, precisions, files, n_turns)
    return [row | cost for row, cost in zip(rows, costs, strict=True)]


def _throughput(
    plan: Plan, service: Server, card: Card, reference: Card, uploads: Mapping[str, list[bytes]]
) -> Figures:
    """By length: requests per second, and their ratio to the reference's in each turn."""
    per_s, ratios, precision = {}, {}, None
    for length, contents in uploads.items():
        own, other = (
            [multipart(content, route_of(model)) for content in contents]
            for model in (card, reference)
        )
        precision = warm_up(service, own)
        warm_up(service, other)
        pairs = in_turns(service, own, other, plan.of(N_REQUESTS, 4), plan.of(N_TURNS, 2))
        per_s[length] = statistics.median(speed for speed, _ in pairs)
        ratios[length] = [speed / other_speed for speed, other_speed in pairs]
    return {"precision": precision, "per_s": per_s, "ratios": ratios}


def warm_up(service: Server, requests: Sequence[bytes]) -> Precision:
    """Load the bundle, if the service has not yet, and fill its caches; the graph that runs."""
    with closing(Client(service.port)) as client:
        answer = client.exchange(requests[0])
    if answer.status != 200:
        raise RuntimeError(answer.body.decode(errors="replace"))
    saturate(service.port, requests, N_WARM, N_CLIENTS)
    precision: Precision = json.loads(answer.body)["model"]["precision"]
    return precision


def in_turns(
    service: Server, own: Sequence[bytes], other: Sequence[bytes], count: int, n_turns: int
) -> list[tuple[float, float]]:
    """Answers per second to both kinds of request, which alternate in being first."""
    pairs = []
    for turn in range(n_turns):
        if turn % 2:
            pairs.append((_per_second(service, own, count), _per_second(service, other, count)))
        else:
            speed = _per_second(service, other, count)
            pairs.append((_per_second(service, own, count), speed))
    return pairs


def _per_second(service: Server, requests: Sequence[bytes], count: int) -> float:
    seen = saturate(service.port, requests, count, N_CLIENTS)
    if seen.failed or "shared" in seen.stages_ms:
        raise RuntimeError(f"{seen.failed} of {count} requests failed, or some shared their work")
    return seen.per_second


HEADER = (
    "| | precision | decode {} | decode {} | infer, float32 | infer, as served "
    "| {}s/s | ÷ {reference} | {}s/s | ÷ {reference} |\n|---|---|---|---|---|---|---|---|---|---|"
)


def table(figures: Figures) -> str:
    header = HEADER.format(*NAMES.values(), *NAMES.values(), reference=REFERENCE)
    return "\n".join([header, *map(_table_row, figures["rows"]), "\nTimes in milliseconds."])


def _table_row(row: Figures) -> str:
    decode = [f"{row['decode_ms'][length]:.1f}" for length in NAMES.values()]
    infer = [f"{row['infer_ms'][precision]:.1f}" for precision in ("float32", row["precision"])]
    speeds = []
    for length in NAMES.values():
        ratios = row["ratios"][length]
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        speeds += [f"{row['per_s'][length]:.1f}", f"{middle:.2f} ({low:.2f}–{high:.2f})"]
    return " | ".join([f"| {row['model']}", row["precision"], *decode, *infer, *speeds]) + " |"


def goals(figures: Figures) -> list[Goal]:
    """Of the bundles that have a goal and were measured."""
    return [
        Goal(
            f"{length}s, MP3: `{row['model']}` ÷ `{REFERENCE}`, requests/s",
            statistics.median(row["ratios"][length]),
            min=MIN_RATIOS[row["model"]],
        )
        for row in figures["rows"]
        if row["model"] in MIN_RATIOS
        for length in NAMES.values()
    ]


BUNDLES = Benchmark("bundles", "Models side by side", measure, table, goals)
