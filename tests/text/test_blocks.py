"""Blocks against a reference that cuts Python lists."""

import numpy as np
import pytest

from lit_mlm.text.blocks import Policy, cut_blocks, gather_blocks


def cut_lists(documents: list[list[int]], size: int, policy: Policy, drop_tail: bool) -> list[list[int]]:
    """The slow reference: lists of ids, cut one by one."""
    sequences = [[i for document in documents for i in document]] if policy == "stream" else documents
    blocks = [sequence[i : i + size] for sequence in sequences for i in range(0, len(sequence), size)]
    return [block for block in blocks if len(block) == size or not drop_tail]


@pytest.mark.parametrize("policy", ["stream", "document"])
@pytest.mark.parametrize("drop_tail", [False, True])
@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_blocks_equal_reference(policy: Policy, drop_tail: bool, size: int) -> None:
    rng = np.random.default_rng(size)
    lengths = np.array([0, *rng.integers(0, 30, 40), 0])
    stream = rng.integers(0, 1000, lengths.sum()).astype(np.int32)
    documents = [part.tolist() for part in np.split(stream, np.cumsum(lengths)[:-1])]
    table = cut_blocks(lengths, size, policy, drop_tail)
    expected = cut_lists(documents, size, policy, drop_tail)
    assert [stream[start:end].tolist() for start, end in zip(table.starts, table.ends, strict=True)] == expected
    assert table.num_dropped_tokens == len(stream) - sum(map(len, expected))


def test_three_reviews_of_the_recipe() -> None:
    """363 + 304 + 133 = 800 tokens are 6 blocks of 128 and one of 32."""
    table = cut_blocks(np.array([363, 304, 133]), 128)
    assert (table.ends - table.starts).tolist() == [128] * 6 + [32]


def test_no_documents_give_no_blocks() -> None:
    assert len(cut_blocks(np.array([], dtype=np.int64), 8)) == 0
    assert len(cut_blocks(np.array([0, 0]), 8, "document")) == 0


def test_block_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="block_size must be at least 1 token, got 0"):
        cut_blocks(np.array([3]), 0)


def test_gather_pads_to_the_longest() -> None:
    ids, is_token = gather_blocks(np.arange(10, dtype=np.int32), np.array([0, 8]), np.array([4, 10]))
    assert is_token.tolist() == [[True] * 4, [True, True, False, False]]
    assert ids[is_token].tolist() == [0, 1, 2, 3, 8, 9]
