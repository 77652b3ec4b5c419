"""The order of examples and how it is dealt to ranks."""

import time

import numpy as np
import pytest
from torch.utils.data import Dataset

from lit_mlm.data.order import BatchKey, BatchOrder, LateLoader
from lit_mlm.text.blocks import IntArray


def deal(
    num_examples: int, batch_size: int, num_ranks: int, epoch: int = 0, shuffled: bool = True
) -> list[list[list[int]]]:
    """For each rank its batches."""
    ranks = []
    for rank in range(num_ranks):
        order = BatchOrder(num_examples, batch_size, rank, num_ranks, seed=1 if shuffled else None)
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
    order = BatchOrder(5, 2, 0, 1)
    order.set_epoch(7)
    assert [(key.epoch, key.examples.tolist()) for key in order] == [(0, [0, 1]), (0, [2, 3]), (0, [4])]


def test_draw_of_an_evaluation_is_asked_for_when_it_starts() -> None:
    draws = iter([3, 8])
    order = BatchOrder(3, 2, 0, 1, get_draw=lambda: next(draws))
    assert [[key.epoch for key in order] for _ in range(2)] == [[3, 3], [8, 8]]


def test_position_counts_the_examples_of_all_ranks_before_a_batch() -> None:
    found: dict[int, int] = {}
    for rank in range(3):
        order = BatchOrder(50, 4, rank, 3, seed=1)
        order.set_epoch(2)
        keys = list(order)
        assert [(key.position, key.examples.tolist()) for key in order.iterate(3)] == [
            (key.position, key.examples.tolist()) for key in keys[3:]
        ]
        found |= {int(e): key.position + i for key in keys for i, e in enumerate(key.examples)}
    order = BatchOrder(50, 50, 0, 1, seed=1)
    order.set_epoch(2)
    assert found == {int(e): i for i, e in enumerate(next(iter(order)).examples)}


def test_loader_counts_the_time_that_it_keeps_waiting() -> None:
    class Slow(Dataset[int]):
        def __getitem__(self, key: BatchKey) -> int:
            time.sleep(0.02)
            return key.epoch

    loader = LateLoader(Slow(), batch_size=None, sampler=BatchOrder(40, 10, 0, 1))
    start = time.perf_counter()
    for _ in loader:
        time.sleep(0.03)
    assert 4 * 0.02 <= loader.seconds_waited <= time.perf_counter() - start - 4 * 0.03


def test_an_order_of_its_own_is_dealt_with_its_passes() -> None:
    def draw(epoch: int) -> tuple[IntArray, IntArray]:
        return (np.arange(11) + epoch) % 5, np.arange(11) // 5 + 10 * epoch

    for num_ranks, batch_size in ((1, 3), (2, 3), (3, 2)):
        found: list[tuple[int, int]] = []
        orders = [BatchOrder(11, batch_size, rank, num_ranks, 1, draw_epoch=draw) for rank in range(num_ranks)]
        for order in orders:
            order.set_epoch(2)
        assert [key.position for key in orders[0].iterate(1)] == [key.position for key in list(orders[0])[1:]]
        for keys in zip(*orders, strict=True):
            for key in keys:
                assert key.epoch == 2
                assert key.passes is not None
                found += zip(key.examples.tolist(), key.passes.tolist(), strict=True)
        assert found == list(zip(*(part.tolist() for part in draw(2)), strict=True))
