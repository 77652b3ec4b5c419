"""Blocks against references that cut Python lists."""

from typing import Any

import numpy as np
import pytest

from lit_mlm.text.blocks import DropTail, cut_blocks, find_shared_documents, join_tables


def cut_lists(
    documents: list[list[int]], size: int, group_size: int | None, drop_tail: DropTail, truncate: bool
) -> list[list[int]]:
    """The slow reference: lists of ids, cut one by one."""
    group_size = group_size or max(1, len(documents))
    groups = [documents[i : i + group_size] for i in range(0, len(documents), group_size)]
    blocks = []
    for group in groups:
        sequence = [i for document in group for i in document]
        cut = [sequence[i : i + size] for i in range(0, len(sequence), size)]
        if drop_tail is True or (drop_tail == "unless_alone" and len(sequence) >= size):
            cut = [block for block in cut if len(block) == size]
        blocks += cut[:1] if truncate else cut
    return blocks


@pytest.mark.parametrize("group_size", [None, 1, 3, 7, 1000])
@pytest.mark.parametrize("drop_tail", [False, True, "unless_alone"])
@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_blocks_equal_reference(group_size: int | None, drop_tail: DropTail, truncate: bool, size: int) -> None:
    rng = np.random.default_rng(size)
    lengths = np.array([0, *rng.integers(0, 30, 40), 0])
    stream = rng.integers(0, 1000, lengths.sum()).astype(np.int32)
    documents = [part.tolist() for part in np.split(stream, np.cumsum(lengths)[:-1])]
    table = cut_blocks(lengths, size, group_size, drop_tail, truncate)
    expected = cut_lists(documents, size, group_size, drop_tail, truncate)
    assert [stream[start:end].tolist() for start, end in zip(table.starts, table.ends, strict=True)] == expected
    assert table.num_dropped_tokens == len(stream) - sum(map(len, expected))


def test_three_reviews_of_the_recipe() -> None:
    """363 + 304 + 133 = 800 tokens are 6 blocks of 128 and one of 32."""
    table = cut_blocks(np.array([363, 304, 133]), 128)
    assert (table.ends - table.starts).tolist() == [128] * 6 + [32]


def test_no_documents_give_no_blocks() -> None:
    for group_size in (None, 1, 5):
        assert len(cut_blocks(np.array([], dtype=np.int64), 8, group_size)) == 0
        assert len(cut_blocks(np.array([0, 0]), 8, group_size)) == 0


@pytest.mark.parametrize("options", [{"block_size": 0}, {"block_size": 8, "group_size": 0}])
def test_sizes_must_be_positive(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"_size must be at least 1, got 0"):
        cut_blocks(np.array([3]), **options)


@pytest.mark.parametrize("seed", range(20))
def test_blocks_that_share_a_document_equal_a_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 25, 60)
    table = cut_blocks(lengths, 8, group_size=11, drop_tail=bool(seed % 2))
    order = rng.permutation(len(table))
    ours, theirs = order[:10], order[10:25]
    document_of_token = np.repeat(np.arange(len(lengths)), lengths)

    def documents(block: int) -> set[int]:
        return set(document_of_token[table.starts[block] : table.ends[block]].tolist())

    used = set().union(*(documents(block) for block in theirs))
    expected = [block for block in ours if documents(block) & used]
    assert 0 < len(expected) < 10 or seed > 3
    assert find_shared_documents(lengths, table, ours, theirs).tolist() == expected


@pytest.mark.parametrize("group_size", [None, 1, 2])
@pytest.mark.parametrize("drop_tail", [False, True])
def test_joined_tables_are_those_of_each_stream(group_size: int | None, drop_tail: bool) -> None:
    rng = np.random.default_rng(3)
    streams = [[rng.integers(100, size=n).tolist() for n in sizes] for sizes in ([5, 9], [], [3], [0, 8, 1])]
    tables = [
        cut_blocks(np.array([len(d) for d in documents], dtype=np.int64), 4, group_size, drop_tail)
        for documents in streams
    ]
    table = join_tables(tables)
    whole = [i for documents in streams for document in documents for i in document]
    found = [whole[start:end] for start, end in zip(table.starts, table.ends, strict=True)]
    assert found == [block for documents in streams for block in cut_lists(documents, 4, group_size, drop_tail, False)]
    assert table.num_dropped_tokens == len(whole) - sum(map(len, found))
