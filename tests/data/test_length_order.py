"""Batches by length against plain properties: every row once, in groups, within the budget, the same for any ranks."""

from typing import Any

import numpy as np
import pytest

from lit_mlm.data.length_order import LengthOrder, round_up
from lit_mlm.text.blocks import IntArray

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 90, 203)
GROUPS = np.sort(RNG.integers(0, 80, 203))


def deal(num_ranks: int = 1, epoch: int = 0, lengths: IntArray = LENGTHS, **options: Any) -> list[list[list[int]]]:
    """For each rank its batches."""
    ranks = []
    for rank in range(num_ranks):
        order = LengthOrder(lengths, **({"batch_size": 8} | options), rank=rank, num_ranks=num_ranks)
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
    batches = merge(deal(lengths=lengths, **options))
    assert sorted(row for batch in batches for row in batch) == list(range(num_rows))
    for num_ranks in (2, 3):
        assert merge(deal(num_ranks, lengths=lengths, **options)) == batches


def test_training_is_a_function_of_seed_and_epoch() -> None:
    def collect(**options: Any) -> list[list[int]]:
        return merge(deal(**options))

    assert collect(seed=1, epoch=3) == collect(seed=1, epoch=3)
    others = [collect(seed=1, epoch=4), collect(seed=2, epoch=3)]
    assert all(sorted(map(sorted, other)) != sorted(map(sorted, collect(seed=1, epoch=3))) for other in others)


@pytest.mark.parametrize("options", [{}, {"max_tokens": 200}])
def test_every_epoch_has_as_many_batches(options: dict[str, Any]) -> None:
    assert len({len(merge(deal(epoch=epoch, seed=5, **options))) for epoch in range(5)}) == 1


def test_training_batches_hold_like_lengths_in_an_order_of_chance() -> None:
    batches = merge(deal(seed=1))
    assert {len(batch) for batch in batches} == {8, 203 % 8}
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert longest != sorted(longest, reverse=True)
    spread = sum(np.ptp(LENGTHS[batch]) for batch in batches) / len(batches)
    assert spread < np.ptp(LENGTHS) / 8
    by_chance = merge(deal(seed=1, by_length=False))
    assert sum(np.ptp(LENGTHS[batch]) for batch in by_chance) / len(by_chance) > np.ptp(LENGTHS) / 2


@pytest.mark.parametrize("seed", [None, 3])
def test_budget_of_tokens(seed: int | None) -> None:
    batches = merge(deal(seed=seed, max_tokens=256, batch_size=1))
    sizes = [len(batch) * int(LENGTHS[batch].max()) for batch in batches]
    assert max(sizes) <= 256
    assert len(batches) <= 1.3 * LENGTHS.sum() / 256
    assert merge(deal(max_tokens=5))[0] == [int(np.argmax(LENGTHS))]  # what fits no batch is one by itself


def test_evaluation_keeps_groups_together_from_the_longest_on() -> None:
    batches = merge(deal(groups=GROUPS))
    for number in np.unique(GROUPS):
        rows = np.flatnonzero(number == GROUPS).tolist()
        found = [batch for batch in batches if set(batch) & set(rows)]
        assert len(found) == 1
        start = found[0].index(rows[0])
        assert found[0][start : start + len(rows)] == rows
    assert all(len(batch) <= 8 or len(set(GROUPS[batch])) == 1 for batch in batches)
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    order = LengthOrder(LENGTHS, 8, groups=GROUPS)
    order.set_epoch(4)
    assert [key.epoch for key in order] == [0] * len(order)


def test_padding_fraction() -> None:
    assert LengthOrder(np.array([4, 2, 4, 1]), 2).padding_fraction == pytest.approx(1 - 11 / (8 + 4))
    assert LengthOrder(LENGTHS, 8, seed=1).padding_fraction < 0.08
    assert LengthOrder(LENGTHS, 8, seed=1, by_length=False).padding_fraction > 0.3
    assert LengthOrder(np.zeros(0, dtype=np.int64), 8).padding_fraction == 0


def test_lengths_are_rounded_up_by_less_than_an_eighth() -> None:
    lengths = np.arange(1, 3000)
    rounded = round_up(lengths)
    assert rounded[:16].tolist() == list(range(1, 17))
    assert (rounded >= lengths).all()
    assert (rounded < lengths * 9 / 8).all()
    assert (round_up(rounded) == rounded).all()
