"""Teachers of other audio and of one fold each; pools that they hear; weights to start from."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import Tensor

from models.bundle import read
from models.card import Data
from models.errors import BundleError
from tests.training.networks.tiny_encoder import DEEP, NAME, DeepTinyEncoder, TinyEncoder
from training.datasets.artist_key import artist_key
from training.datasets.folds import deal_fold
from training.datasets.prepared import TaskData, prepare_task
from training.datasets.task import Task
from training.errors import (
    BadExport,
    BadPool,
    BadTeacher,
    NoPool,
    OtherEncoder,
    OtherRun,
    OtherTracks,
)
from training.export.bundle import make_provenance
from training.export.estimator import export_encoder
from training.fitting.dataset import Clips
from training.networks.base import Encoder
from training.networks.bundle_outputs import bundle_outputs
from training.networks.registry import ENCODERS, Entry
from training.networks.task_model import TaskModel
from training.transfer import train as transfer_train
from training.transfer.final_fit import ship
from training.transfer.grid import compare, grid
from training.transfer.results import Cell, Result
from training.transfer.settings import TransferSettings
from training.transfer.sources import Sources, bundle_of_fold, match_tasks

SHORT = "tiny-short"
SETTINGS = TransferSettings(
    encoder=NAME, width=4, crop_s=0.5, max_steps=6, validation_steps=3, batch_size=4,
    accelerator="cpu",
)  # fmt: skip
DATA = (Data(name="noise", use="audio and labels", licence="CC0"),)


class ShortTinyEncoder(TinyEncoder):
    """Hears one second of each track, where the others hear two."""

    audio = TinyEncoder.audio.model_copy(update={"window_s": 1.0})


@dataclass(frozen=True)
class World:
    """Folders of a task and a pool, decoded for either encoder, and of bundles."""

    folder: Path

    def sources(self, teacher: str = "teacher", **others: object) -> Sources:
        return replace(Sources(self.folder / "task", self.folder / teacher), **others)  # type: ignore[arg-type]

    def run(
        self, out: Path, sources: Sources, cell: Cell, settings: TransferSettings = SETTINGS
    ) -> Result:
        (result,) = compare(sources, out, [cell], settings)
        return result


def write_tracks(folder: Path, n_tracks: int, first_artist: int) -> pd.DataFrame:
    """Loud and quiet noise of 3 s by artists of two tracks each, in the folds of the deal."""
    folder.mkdir()
    rng, rate, rows = np.random.default_rng(first_artist), 8_000, []
    for number in range(n_tracks):
        artist = f"artist {first_artist + number // 2}"
        path = folder / f"{folder.name}-{number}.wav"
        loudness = 0.5 if number // 2 % 2 else 0.02
        soundfile.write(path, loudness * rng.uniform(-1, 1, 3 * rate), rate)
        label = "loud" if number // 2 % 2 else "quiet"
        rows.append((path.stem, artist, str(path), label, deal_fold(artist_key(artist))))
    return pd.DataFrame(rows, columns=["track_id", "artist", "path", "label", "fold"])


def write_bundle(folder: Path, network: Encoder, task: TaskData) -> None:
    facts = make_provenance(
        method="untrained", data=DATA, seed=0, metrics={}, split="none",
        hyperparameters={"crop_s": 0.5, "width": network.width},
    )  # fmt: skip
    export_encoder(network.eval(), folder, task.prepared.waveforms(task.rows[:2]), facts)


@pytest.fixture(scope="module", autouse=True)
def _patched(tiny_encoders: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, SHORT, Entry(f"{__name__}:ShortTinyEncoder"))
        patch.setattr(transfer_train, "LAYER_EPOCHS", 100)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("sources")
    for name, n_tracks, first_artist in (("task", 40, 0), ("pool", 30, 10)):
        tracks = write_tracks(folder / f"{name}-audio", n_tracks, first_artist)
        task = Task(
            "loudness", "loudness", "classification", ("loud", "quiet"), tracks, "deal", DATA
        )
        for suffix, encoder in (("", TinyEncoder), ("-short", ShortTinyEncoder)):
            deque(prepare_task(task, folder / (name + suffix), encoder.audio), maxlen=0)
    whole, short = (TaskData.load(folder / name) for name in ("task", "task-short"))
    torch.manual_seed(0)
    write_bundle(folder / "teacher", TinyEncoder(4, 6), whole)
    write_bundle(folder / "short-teacher", ShortTinyEncoder(5, 6), short)
    write_bundle(folder / "wide-start", DeepTinyEncoder(4, 9), whole)
    for fold in range(2):
        write_bundle(folder / f"fold{fold}" / "teacher", TinyEncoder(4, 6), whole)
    return World(folder)


def test_a_teacher_of_other_audio_teaches_by_the_same_tracks(world: World, tmp_path: Path) -> None:
    sources = world.sources("short-teacher", teacher_task=world.folder / "task-short")
    for method in ("kd", "fix", "linear on embedding"):
        result = world.run(tmp_path, sources, Cell(method, 4, 0, 0))
        assert result.teacher == read(sources.teacher).digest
        assert result.teacher_name == "short-teacher"
        assert result.metrics["accuracy"] >= 0
    fixed = sources.load(0).settings_of(Cell("fix", 4, 0, 0), SETTINGS)
    assert (fixed.encoder, fixed.width) == (SHORT, 5)  # the teacher's network, not the student's
    with pytest.raises(BadTeacher, match="decode the data set for that encoder"):
        world.run(tmp_path, world.sources("short-teacher"), Cell("kd", 4, 1, 0))
    mixed = replace(sources, teacher_task=world.folder / "pool-short")
    with pytest.raises(OtherTracks):
        world.run(tmp_path, mixed, Cell("kd", 4, 1, 0))


def test_the_embeddings_of_a_teacher_are_of_the_windows_that_it_hears(world: World) -> None:
    sources = world.sources("short-teacher", teacher_task=world.folder / "task-short")
    short = TaskData.load(world.folder / "task-short")
    expected = bundle_outputs(read(sources.teacher), short)["embedding"]
    np.testing.assert_array_equal(sources.load(0).embeddings, expected)


def test_task_folders_for_the_teacher_are_matched_by_the_name_of_the_task(world: World) -> None:
    tasks, others = [world.folder / "task"], [world.folder / "task-short"]
    assert match_tasks(tasks, others) == dict(zip(tasks, others, strict=True))
    assert match_tasks(tasks, []) == {}
    with pytest.raises(BadTeacher, match="is of loudness, which no --task is of"):
        match_tasks([], others)


def test_each_fold_has_its_teacher(world: World, tmp_path: Path) -> None:
    sources = world.sources("fold{fold}/teacher")
    cells = [Cell("fix", 4, fold, 0) for fold in range(2)]
    results = {result.fold: result for result in compare(sources, tmp_path, cells, SETTINGS)}
    for fold in range(2):
        expected = read(world.folder / f"fold{fold}" / "teacher").digest
        assert results[fold].teacher == expected
    assert results[0].teacher != results[1].teacher
    with pytest.raises(BundleError):  # there is no teacher of fold 2
        world.run(tmp_path, sources, Cell("fix", 4, 2, 0))
    with pytest.raises(BadTeacher, match="none is held out"):
        bundle_of_fold(sources.teacher, None)


def test_a_model_is_shipped_with_the_teacher_of_all_folds(world: World, tmp_path: Path) -> None:
    cells = [Cell("fix", 4, fold, 0) for fold in range(2)]
    list(compare(world.sources("fold{fold}/teacher"), tmp_path, cells, SETTINGS))
    arguments = (tmp_path, tmp_path / "loudness-head")
    written, _ = ship(world.sources(), *arguments, method="fix", width=4, accelerator="cpu")
    assert written.card.provenance.teacher == read(world.folder / "teacher").digest
    with pytest.raises(BadExport, match="compared with another teacher"):
        ship(
            world.sources("short-teacher", teacher_task=world.folder / "task-short"),
            *arguments,
            method="fix",
            width=4,
        )


def test_runs_of_another_teacher_are_a_variant_and_share_the_base(
    world: World, tmp_path: Path
) -> None:
    methods = ["base", "kd", "linear on embedding", "majority or mean"]
    cells = grid(methods, [4], [0], [0], "plain sum")
    assert {cell.method: cell.variant for cell in cells} == {
        "base": "",
        "kd": "plain sum",
        "linear on embedding": "plain sum",
        "majority or mean": "",
    }
    plain = replace(SETTINGS, teacher_scale="as-is")
    results = list(compare(world.sources(), tmp_path, cells, plain))
    assert {result.label for result in results} == {
        "base", "kd (plain sum)", "linear on embedding (plain sum)", "majority or mean"
    }  # fmt: skip
    kd = world.run(tmp_path, world.sources(), Cell("kd", 4, 0, 0))  # beside it, not instead
    assert (kd.label, kd.settings["teacher_scale"]) == ("kd", "standard")
    with pytest.raises(OtherRun):
        world.run(tmp_path, world.sources(), Cell("kd", 4, 0, 0, "plain sum"))


def test_a_pool_of_the_fold_is_heard_and_counted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = world.sources(pools=(world.folder / "pool",))
    batches: list[list[tuple[int, ...]]] = []
    step = transfer_train.TransferModule.training_step

    def record(module: transfer_train.TransferModule, batch: list[Tensor], index: int) -> Tensor:
        batches.append([tuple(part.shape) for part in batch])
        return step(module, batch, index)

    monkeypatch.setattr(transfer_train.TransferModule, "training_step", record)
    result = world.run(tmp_path, sources, Cell("kd-pool", 4, 1, 0))
    tracks, task = TaskData.load(world.folder / "pool").prepared.tracks, sources.load(1).data
    held_out = set(task.prepared.tracks["artist"][task.parts(1) != "train"])
    allowed = ~tracks["artist"].isin(held_out) & (tracks["fold"] != 1)
    assert 0 < result.settings["pool_clips"] == allowed.sum() < len(tracks)  # type: ignore[operator]
    assert len(batches) == 6
    assert batches[0] == [(4, 4000), (4,), (4, 6), (4, 4000), (4, 6)]
    with pytest.raises(OtherRun):  # the same cell with another pool
        world.run(
            tmp_path,
            replace(sources, pools=(_part_of(sources.pools[0], tmp_path),)),
            Cell("kd-pool", 4, 1, 0),
        )
    with pytest.raises(NoPool, match="--pool"):
        world.run(tmp_path, world.sources(), Cell("kd-pool", 4, 0, 0))


def _part_of(pool: Path, folder: Path) -> Path:
    """A copy of a pool without its last artists."""
    shutil.copytree(pool, folder / "part")
    tracks = pd.read_csv(folder / "part" / "tracks.csv")
    tracks.iloc[:10].to_csv(folder / "part" / "tracks.csv", index=False)
    return folder / "part"


def test_a_pool_is_heard_by_teacher_and_student_in_their_own_windows(world: World) -> None:
    sources = world.sources(
        "short-teacher",
        teacher_task=world.folder / "task-short",
        pools=(world.folder / "pool",),
        teacher_pools=(world.folder / "pool-short",),
    )
    inputs = sources.load(1)
    ((windows, rows, embeddings),) = inputs.pool_clips
    short = TaskData.load(world.folder / "pool-short")
    everything = bundle_outputs(read(sources.teacher), short)["embedding"]
    assert windows.shape[1] == TinyEncoder.audio.input_samples
    np.testing.assert_array_equal(embeddings, everything[inputs.pool_masks[0]])
    assert len(rows) == len(embeddings) == inputs.pool_facts("kd-pool")["pool_clips"]
    with pytest.raises(BadPool, match="one --teacher-pool for each --pool"):
        replace(sources, teacher_pools=sources.teacher_pools * 2).load(1)
    with pytest.raises(BadTeacher, match="decode the data set"):
        replace(sources, teacher_pools=()).load(1)


def test_what_the_teacher_says_of_the_pool_trains_the_student(world: World, tmp_path: Path) -> None:
    """On recordings that only the pool holds, the student's embedding is like the teacher's."""
    pool = (world.folder / "pool",)
    settings = replace(SETTINGS, max_steps=150, validation_steps=150, learning_rate=1e-2)
    inputs = world.sources(pools=pool).load(1)
    distances = {}
    for method in ("base", "kd-pool"):
        model = transfer_train.train(
            inputs.data,
            tmp_path / method,
            inputs.settings_of(Cell(method, 4, 1, 0), settings),
            teacher_embeddings=inputs.embeddings,
            pool=inputs.pool_clips if method == "kd-pool" else (),
            show_progress=False,
        )
        distances[method] = _distance(model, inputs.pool_clips[0])
    assert distances["kd-pool"] < 0.5 * distances["base"]


def _distance(model: TaskModel, clips: Clips) -> float:
    """Mean 1 - cosine between centred embeddings of student and teacher of the pool's clips."""
    windows, rows, teacher = clips
    module = transfer_train.TransferModule(model, SETTINGS).eval()
    with torch.inference_mode():
        student = module(torch.from_numpy(np.array(windows[rows]))).embedding.numpy()
    student, teacher = ((x - x.mean(0)) / x.std(0) for x in (student, teacher))
    lengths = np.linalg.norm(student, axis=1) * np.linalg.norm(teacher, axis=1)
    return float(1 - ((student * teacher).sum(1) / lengths).mean())


def test_init_kd_starts_from_one_bundle_and_learns_from_another(
    world: World, tmp_path: Path
) -> None:
    sources = world.sources(start=world.folder / "wide-start")
    settings = replace(SETTINGS, encoder=DEEP)
    result = world.run(tmp_path, sources, Cell("init-kd", 4, 0, 0), settings)
    digests = [read(world.folder / name).digest for name in ("teacher", "wide-start")]
    assert [result.teacher, result.start] == digests
    inputs = sources.load(0)
    chosen = inputs.settings_of(Cell("init-kd", 4, 0, 0), settings)
    start = inputs.load_start("init-kd")
    assert start is not None
    student = transfer_train.make_student(chosen, 2, start).encoder
    # All but the last layer are the start's; the embedding has the teacher's size.
    for name, weight in start.state_dict().items():
        if not name.startswith("embed."):
            assert torch.equal(student.state_dict()[name], weight), name
    assert student.embed.out_features == student.embedding_dim == 6
    assert start.embed.out_features == 9  # a copy
    with pytest.raises(OtherEncoder, match="--init"):
        world.run(tmp_path, sources, Cell("init-kd", 4, 1, 0), SETTINGS)


def test_a_model_of_kd_pool_states_the_pools_licence(world: World, tmp_path: Path) -> None:
    sources = world.sources(pools=(world.folder / "pool",))
    world.run(tmp_path, sources, Cell("kd-pool", 4, 0, 0))
    arguments = {"method": "kd-pool", "width": 4}
    written, _ = ship(sources, tmp_path, tmp_path / "by-pool", accelerator="cpu", **arguments)  # type: ignore[arg-type]
    card = written.card.provenance
    assert [data.use for data in card.data][:2] == ["audio and labels", "audio without labels"]
    assert card.hyperparameters["pool_clips"] > 0  # type: ignore[operator]
    bare = tmp_path / "bare"
    shutil.copytree(world.folder / "pool", bare)
    (bare / "task.json").unlink()
    with pytest.raises(BadExport, match="states no data set"):
        ship(replace(sources, pools=(bare,)), tmp_path, tmp_path / "again", **arguments)  # type: ignore[arg-type]
