"""Groups of crops: the same for a number, anew in an epoch, apart within a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.objectives.loudness import (
    CROP,
    N_CLIPS,
    N_SAMPLES,
    SETTINGS,
    Pairs,
    make_windows,
)
from training.fitting.sampling import NumberedSampler
from training.objectives.groups import (
    Group,
    GroupDataset,
    GroupDraws,
    JoinedDraws,
    make_group_loader,
)


class Repeated(Pairs):
    """Five crops of one window."""

    group_size = 5

    def draw(self, index: int, rng: np.random.Generator) -> Group:
        return Group(np.repeat(self.rows[index], self.group_size))


def make_dataset(draws: GroupDraws, seed: int = 0, patch_samples: int = N_SAMPLES) -> GroupDataset:
    windows = np.arange(N_CLIPS * N_SAMPLES, dtype=np.int64).reshape(N_CLIPS, N_SAMPLES)
    return GroupDataset(
        (windows % N_SAMPLES).astype(np.int16),  # so that a crop's first sample is its start
        draws,
        crop_samples=CROP,
        patch_samples=patch_samples,
        seed=seed,
    )


def test_a_group_is_drawn_by_its_number_alone() -> None:
    dataset, again = make_dataset(Pairs()), make_dataset(Pairs())
    for number in (3, 3 + 7 * N_CLIPS):
        for tensor, same in zip(dataset[number], again[number], strict=True):
            assert torch.equal(tensor, same)
    crops = [dataset[3 + epoch * N_CLIPS][0] for epoch in range(20)]
    assert len({tuple(crop[:, 0].tolist()) for crop in crops}) > 15
    others = [make_dataset(Pairs(), seed)[3][0] for seed in range(5)]
    assert not all(torch.equal(other, others[0]) for other in others)


def test_a_group_begins_with_its_anchor_in_every_epoch() -> None:
    draws = Pairs([2, 5, 7])
    dataset = make_dataset(draws)
    for number in range(9):
        dataset[number]
    assert [rows[0] for rows in draws.drawn] == [2, 5, 7] * 3


def test_an_item_has_the_crops_and_the_targets_of_its_group() -> None:
    dataset = GroupDataset(
        make_windows(), Pairs(), crop_samples=CROP, patch_samples=N_SAMPLES, seed=0
    )
    for index in range(N_CLIPS):
        crops, is_loud = dataset[index]
        assert (crops.dtype, tuple(crops.shape)) == (torch.int16, (2, CROP))
        peaks = crops.abs().amax(1) > 1000
        assert peaks.tolist() == [bool(is_loud[0]), not is_loud[0]]


def test_crops_of_one_window_do_not_overlap_and_are_everywhere() -> None:
    dataset = make_dataset(Repeated())
    starts = torch.stack([dataset[number][0][:, 0] for number in range(200)]).int()
    gaps = starts.sort(1).values.diff(dim=1)
    assert int(gaps.min()) >= CROP
    assert int(starts.min()) < CROP
    assert int(starts.max()) > N_SAMPLES - 2 * CROP


def test_crops_overlap_where_a_window_has_no_room() -> None:
    dataset = make_dataset(Repeated())
    dataset.crop_samples = N_SAMPLES // 2
    crops, *_ = dataset[0]
    assert tuple(crops.shape) == (5, N_SAMPLES // 2)


def test_crops_lie_within_a_patch() -> None:
    patch = 2 * CROP
    dataset = make_dataset(Pairs(), patch_samples=patch)
    starts = torch.cat([dataset[number][0][:, 0] for number in range(400)]).int()
    assert torch.equal(starts // patch, (starts + CROP - 1) // patch)
    assert set((starts // patch).tolist()) == set(range(N_SAMPLES // patch))


def test_joined_groups_are_those_of_each_kind_in_a_row() -> None:
    long, short = Pairs(), Pairs([0, 1])
    joined = JoinedDraws([long, short])
    assert (len(joined), joined.group_size) == (N_CLIPS, 4)
    heard = set()
    for index in range(N_CLIPS):
        group = joined.draw(index, np.random.default_rng(index))
        assert group.rows[0] == index
        assert len(group.targets) == 2
        heard.add(int(group.rows[2]))
    assert heard == {0, 1}
    assert [array.tolist() for array in joined.identity] == [list(range(N_CLIPS)), [0, 1]]


def test_an_epoch_has_every_number_once_whether_reached_or_resumed() -> None:
    sampler = NumberedSampler(10, 3)
    first = list(sampler)
    sampler.set_epoch(4)
    fourth = list(sampler)
    assert (sorted(first), sorted(fourth)) == (list(range(10)), list(range(40, 50)))
    resumed = NumberedSampler(10, 3)
    resumed.set_epoch(4)
    assert list(resumed) == fourth
    assert [number - 40 for number in fourth] != first
    resumed.skip(7)
    assert list(resumed) == fourth[7:]
    assert len(resumed) == 10  # Lightning counts the batches of a whole epoch
    resumed.set_epoch(5)
    assert sorted(resumed) == list(range(50, 60))
    assert list(NumberedSampler(10, 4)) != first


@pytest.mark.parametrize("workers", [0, 1])
def test_validation_groups_are_fixed_for_any_seed_and_processes(workers: int) -> None:
    def load(seed: int) -> list[torch.Tensor]:
        settings = replace(SETTINGS, seed=seed, validation_draws=3, workers=workers)
        loader = make_group_loader(
            make_windows(),
            Pairs(),
            settings=settings,
            crop_samples=CROP,
            patch_samples=N_SAMPLES,
            training=False,
        )
        return [crops for crops, _ in loader]

    first, second = load(0), load(1)
    assert sum(map(len, first)) == 3 * N_CLIPS
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    together = torch.cat(first)
    assert not torch.equal(together[:N_CLIPS], together[N_CLIPS : 2 * N_CLIPS])
