"""The order of examples and how it is dealt to ranks."""

import time
from typing import Any

import numpy as np
import pytest
from torch.utils.data import Dataset

from lit_mlm.data.batches import BatchKey, LazyDataLoader, LengthSampler, ShuffleSampler, round_up
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.packing import find_padding


def deal(
    num_examples: int, batch_size: int, num_ranks: int, epoch: int = 0, shuffled: bool = True
) -> list[list[list[int]]]:
    """For each rank its batches."""
    ranks = []
    for rank in range(num_ranks):
        order = ShuffleSampler(num_examples, batch_size, rank, num_ranks, seed=1 if shuffled else None)
        order.set_epoch(epoch)
        batches = [key.examples.tolist() for key in order]
        assert len(batches) == len(order)
        ranks.append(batches)
    return ranks


@pytest.mark.parametrize("num_examples", [1, 2, 7, 48, 49])
@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_each_example_once_and_equal_numbers_of_batches(num_examples: int, num_ranks: int) -> None:
    ranks = deal(num_examples, 4, num_ranks)
    assert len({len(batches) for batches in ranks}) == 1
    assert len(ranks[0]) >= 1
    assert sorted(i for batches in ranks for batch in batches for i in batch) == list(range(num_examples))


def test_ranks_times_accumulation_see_the_same_steps() -> None:
    def steps(num_ranks: int, accumulation: int) -> list[set[int]]:
        ranks = deal(50, 4, num_ranks)
        starts = range(0, len(ranks[0]), accumulation)
        return [{i for batches in ranks for b in batches[s : s + accumulation] for i in b} for s in starts]

    assert steps(1, 4) == steps(2, 2) == steps(4, 1)


def test_training_order_depends_on_seed_and_epoch_alone() -> None:
    assert deal(20, 3, 1, epoch=1) == deal(20, 3, 1, epoch=1)
    flat = [np.concatenate(deal(20, size, 1, epoch=epoch)[0]).tolist() for size in (3, 5) for epoch in (0, 1)]
    assert flat[0] == flat[2] != flat[1] == flat[3]


def test_evaluation_keeps_order_and_epoch() -> None:
    order = ShuffleSampler(5, 2, 0, 1)
    order.set_epoch(7)
    assert [(key.epoch, key.examples.tolist()) for key in order] == [(0, [0, 1]), (0, [2, 3]), (0, [4])]


def test_draw_of_an_evaluation_is_asked_for_when_it_starts() -> None:
    draws = iter([3, 8])
    order = ShuffleSampler(3, 2, 0, 1, get_draw=lambda: next(draws))
    assert [[key.epoch for key in order] for _ in range(2)] == [[3, 3], [8, 8]]


def test_position_counts_the_examples_of_all_ranks_before_a_batch() -> None:
    found: dict[int, int] = {}
    for rank in range(3):
        order = ShuffleSampler(50, 4, rank, 3, seed=1)
        order.set_epoch(2)
        keys = list(order)
        assert [(key.position, key.examples.tolist()) for key in order.iterate(3)] == [
            (key.position, key.examples.tolist()) for key in keys[3:]
        ]
        found |= {int(e): key.position + i for key in keys for i, e in enumerate(key.examples)}
    order = ShuffleSampler(50, 50, 0, 1, seed=1)
    order.set_epoch(2)
    assert found == {int(e): i for i, e in enumerate(next(iter(order)).examples)}


def test_loader_counts_the_time_that_it_keeps_waiting() -> None:
    class Slow(Dataset[int]):
        def __getitem__(self, key: BatchKey) -> int:
            time.sleep(0.02)
            return key.epoch

    loader = LazyDataLoader(Slow(), batch_size=None, sampler=ShuffleSampler(40, 10, 0, 1))
    start = time.perf_counter()
    for _ in loader:
        time.sleep(0.03)
    assert 4 * 0.02 <= loader.seconds_waited <= time.perf_counter() - start - 4 * 0.03


def test_an_order_of_its_own_is_dealt_with_its_passes() -> None:
    def draw(epoch: int) -> tuple[IntArray, IntArray]:
        return (np.arange(11) + epoch) % 5, np.arange(11) // 5 + 10 * epoch

    for num_ranks, batch_size in ((1, 3), (2, 3), (3, 2)):
        found: list[tuple[int, int]] = []
        orders = [ShuffleSampler(11, batch_size, rank, num_ranks, 1, draw_epoch=draw) for rank in range(num_ranks)]
        for order in orders:
            order.set_epoch(2)
        assert [key.position for key in orders[0].iterate(1)] == [key.position for key in list(orders[0])[1:]]
        for keys in zip(*orders, strict=True):
            for key in keys:
                assert key.epoch == 2
                assert key.source_epochs is not None
                found += zip(key.examples.tolist(), key.source_epochs.tolist(), strict=True)
        assert found == list(zip(*(part.tolist() for part in draw(2)), strict=True))


RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 90, 203)
GROUPS = np.sort(RNG.integers(0, 80, 203))


def deal_by_length(
    num_ranks: int = 1, epoch: int = 0, lengths: IntArray = LENGTHS, **options: Any
) -> list[list[list[int]]]:
    """For each rank its batches."""
    ranks = []
    for rank in range(num_ranks):
        order = LengthSampler(lengths, **({"batch_size": 8} | options), rank=rank, num_ranks=num_ranks)
        order.set_epoch(epoch)
        batches = [key.examples.tolist() for key in order]
        assert len(batches) == len(order) >= 1
        ranks.append(batches)
    return ranks


def merge(ranks: list[list[list[int]]]) -> list[list[int]]:
    """All batches in their global order, without empty ones."""
    return [batch for step in zip(*ranks, strict=True) for batch in step if batch]


@pytest.mark.parametrize("options", [{"seed": 1}, {"groups": GROUPS}, {"max_tokens": 300, "seed": 1}])
@pytest.mark.parametrize("num_rows", [0, 1, 2, 203])
def test_each_row_once_and_the_same_for_any_number_of_ranks(options: dict[str, Any], num_rows: int) -> None:
    if "groups" in options:
        options = {"groups": GROUPS[:num_rows]}
    lengths = LENGTHS[:num_rows]
    batches = merge(deal_by_length(lengths=lengths, **options))
    assert sorted(row for batch in batches for row in batch) == list(range(num_rows))
    for num_ranks in (2, 3):
        assert merge(deal_by_length(num_ranks, lengths=lengths, **options)) == batches


def test_training_is_a_function_of_seed_and_epoch() -> None:
    def collect(**options: Any) -> list[list[int]]:
        return merge(deal_by_length(**options))

    assert collect(seed=1, epoch=3) == collect(seed=1, epoch=3)
    others = [collect(seed=1, epoch=4), collect(seed=2, epoch=3)]
    assert all(sorted(map(sorted, other)) != sorted(map(sorted, collect(seed=1, epoch=3))) for other in others)


@pytest.mark.parametrize("options", [{}, {"max_tokens": 200}])
def test_every_epoch_has_as_many_batches(options: dict[str, Any]) -> None:
    assert len({len(merge(deal_by_length(epoch=epoch, seed=5, **options))) for epoch in range(5)}) == 1


def test_training_batches_hold_like_lengths_in_an_order_of_chance() -> None:
    batches = merge(deal_by_length(seed=1))
    assert {len(batch) for batch in batches} == {8, 203 % 8}
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert longest != sorted(longest, reverse=True)
    spread = sum(np.ptp(LENGTHS[batch]) for batch in batches) / len(batches)
    assert spread < np.ptp(LENGTHS) / 8
    by_chance = merge(deal_by_length(seed=1, by_length=False))
    assert sum(np.ptp(LENGTHS[batch]) for batch in by_chance) / len(by_chance) > np.ptp(LENGTHS) / 2


@pytest.mark.parametrize("seed", [None, 3])
def test_budget_of_tokens(seed: int | None) -> None:
    batches = merge(deal_by_length(seed=seed, max_tokens=256, batch_size=1))
    sizes = [len(batch) * int(LENGTHS[batch].max()) for batch in batches]
    assert max(sizes) <= 256
    assert len(batches) <= 1.3 * LENGTHS.sum() / 256
    assert merge(deal_by_length(max_tokens=5))[0] == [int(np.argmax(LENGTHS))]  # what fits no batch is one by itself


def test_evaluation_keeps_groups_together_from_the_longest_on() -> None:
    batches = merge(deal_by_length(groups=GROUPS))
    for number in np.unique(GROUPS):
        rows = np.flatnonzero(number == GROUPS).tolist()
        found = [batch for batch in batches if set(batch) & set(rows)]
        assert len(found) == 1
        start = found[0].index(rows[0])
        assert found[0][start : start + len(rows)] == rows
    assert all(len(batch) <= 8 or len(set(GROUPS[batch])) == 1 for batch in batches)
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    order = LengthSampler(LENGTHS, 8, groups=GROUPS)
    order.set_epoch(4)
    assert [key.epoch for key in order] == [0] * len(order)


def test_padding_fraction() -> None:
    def find(*args: Any, packs: bool = False, **options: Any) -> float:
        return find_padding(LengthSampler(*args, **options).list_lengths(), packs)

    assert find(np.array([4, 2, 4, 1]), 2) == pytest.approx(1 - 11 / (8 + 4))
    assert find(LENGTHS, 8, seed=1) < 0.08
    assert find(LENGTHS, 8, seed=1, by_length=False) > 0.3
    assert find(LENGTHS, 8, seed=1, by_length=False, packs=True) < 0.08
    assert find(np.zeros(0, dtype=np.int64), 8) == 0


def test_lengths_are_rounded_up_by_less_than_an_eighth() -> None:
    lengths = np.arange(1, 3000)
    rounded = round_up(lengths)
    assert rounded[:16].tolist() == list(range(1, 17))
    assert (rounded >= lengths).all()
    assert (rounded < lengths * 9 / 8).all()
    assert (round_up(rounded) == rounded).all()
