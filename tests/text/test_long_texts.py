"""Rows of long texts, against slices by hand and `transformers`' truncation of pairs."""

from typing import Any

import numpy as np
import pytest

from lit_mlm.errors import InputError
from lit_mlm.text.long_texts import LongTexts, TextRows, cut_windows, fit_window


def build(tokenizer: Any, lengths: list[list[int]], long_texts: LongTexts, size: int, stride: int = 0) -> TextRows:
    """Rows of texts whose tokens are numbered from 1000."""
    sizes = np.array(lengths)
    return TextRows.build(tokenizer, np.arange(1000, 1000 + sizes.sum()), sizes, long_texts, size, stride)


def read(rows: TextRows, texts: list[int]) -> list[list[int]]:
    """The ids of the rows of some texts, without padding."""
    batch = rows.make_batch(np.array(texts))
    pairs = zip(batch["input_ids"], batch["attention_mask"] == 1, strict=True)
    return [ids[is_token].tolist() for ids, is_token in pairs]


@pytest.mark.parametrize(
    ("long_texts", "kept"),
    [
        ("head", [1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007]),
        ("tail", [1012, 1013, 1014, 1015, 1016, 1017, 1018, 1019]),
        ("both", [1000, 1001, 1014, 1015, 1016, 1017, 1018, 1019]),
    ],
)
def test_long_texts_are_cut(wordpiece: Any, long_texts: LongTexts, kept: list[int]) -> None:
    rows = build(wordpiece, [[20], [3]], long_texts, 8)
    first, last = wordpiece.cls_token_id, wordpiece.sep_token_id
    assert read(rows, [1, 0]) == [[first, 1020, 1021, 1022, last], [first, *kept, last]]
    assert (rows.num_long, rows.lengths.tolist()) == (1, [10, 5])


def test_windows_hold_all_of_a_text_and_are_full(wordpiece: Any) -> None:
    rows = build(wordpiece, [[20], [3], [0]], "windows", 8, 2)
    assert len(rows) == 3
    batch = rows.make_batch(np.array([2, 0]))
    assert batch["row_texts"].tolist() == [0, 1, 1, 1]
    assert batch["texts"].tolist() == [2, 0]
    empty, *windows = read(rows, [2, 0])
    assert empty == [wordpiece.cls_token_id, wordpiece.sep_token_id]
    assert [window[1:-1] for window in windows] == [[*range(1000 + start, 1008 + start)] for start in (0, 6, 12)]
    assert rows.lengths.tolist() == [30, 5, 2]


def test_cutting_windows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = int(rng.integers(1, 20))
        stride, lengths = int(rng.integers(0, size)), rng.integers(0, 60, 5)
        starts, ends, texts = cut_windows(lengths, size, stride)
        for text, length in enumerate(lengths.tolist()):
            parts = [
                (a, b) for a, b, t in zip(starts.tolist(), ends.tolist(), texts.tolist(), strict=True) if t == text
            ]
            assert sorted(set().union(*(range(*part) for part in parts))) == [*range(length)]
            assert all(b - a == min(size, length) for a, b in parts)
            assert all(parts[i][1] - parts[i + 1][0] >= stride for i in range(len(parts) - 1))
            assert len(parts) == 1 or (len(parts) - 1) * (size - stride) + stride < length


@pytest.mark.parametrize("fixture", ["wordpiece", "bpe"])
@pytest.mark.parametrize("limit", [9, 14, 15, 60])
def test_pairs_are_cut_as_transformers_does(fixture: str, limit: int, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(fixture)
    texts = [
        ("a film", "the film was great and boring"),
        ("the film was great " * 3, "film"),
        ("film " * 9, "film " * 8),
    ]
    encoded = [[tokenizer(part, add_special_tokens=False)["input_ids"] for part in pair] for pair in texts]
    ids = np.array([token for pair in encoded for part in pair for token in part])
    lengths = np.array([[len(part) for part in pair] for pair in encoded])
    num_special = len(tokenizer("")["input_ids"])
    rows = TextRows.build(tokenizer, ids, lengths, "head", limit - num_special, 0)
    expected = [tokenizer(*pair, truncation=True, max_length=limit)["input_ids"] for pair in texts]
    assert read(rows, [0, 1, 2]) == expected


def test_lengths_are_checked_against_the_model(wordpiece: Any) -> None:
    assert fit_window(None, None, 2, 64) == (64, 62, 15)
    assert fit_window(32, 5, 2, None) == (32, 30, 5)
    with pytest.raises(InputError, match=r"data.window is 65, but the model takes at most 64 tokens"):
        fit_window(65, None, 2, 64)
    with pytest.raises(InputError, match=r"data.window 2 leaves no room beside 2 special tokens"):
        fit_window(2, None, 2, None)
    with pytest.raises(InputError, match=r"data.stride 30 must be less than the 30 tokens of a window"):
        fit_window(32, 30, 2, None)
    with pytest.raises(InputError, match="no room for 3 columns"):
        build(wordpiece, [[4, 4, 4]], "head", 4)
