"""Windows against references that look at one word at a time."""

from math import inf

import numpy as np
import pytest

from lit_mlm.text.arrays import IntArray
from lit_mlm.text.tagging.windows import add_context, cut_windows, find_owned_tokens


def draw_words(rng: np.random.Generator, num_words: int, longest: int) -> IntArray:
    """The word of each piece, most words short."""
    lengths = np.where(rng.random(num_words) < 0.8, rng.integers(1, min(longest, 3) + 1, num_words), longest)
    return np.repeat(np.arange(num_words), lengths)


def place_slowly(lengths: list[int], size: int, stride: int) -> list[tuple[int, int]]:
    """First word and end of each window, by taking and leaving words one by one."""
    windows, first = [], 0
    while True:
        end = first
        while end < len(lengths) and sum(lengths[first : end + 1]) <= size:
            end += 1
        windows.append((first, end))
        if end == len(lengths):
            break
        first = end
        while sum(lengths[first - 1 : end]) <= stride and sum(lengths[first - 1 : end + 1]) <= size:
            first -= 1
    last = windows[-1][0]
    while len(windows) > 1 and sum(lengths[last - 1 :]) <= size:
        last -= 1
    windows[-1] = (last, len(lengths))
    return windows


def own_slowly(lengths: list[int], windows: list[tuple[int, int]]) -> list[int]:
    """The window of each word, by comparing all of them."""
    owners = []
    for word in range(len(lengths)):
        contexts = []
        for first, end in windows:
            left = inf if first == 0 else sum(lengths[first:word])
            right = inf if end == len(lengths) else sum(lengths[word + 1 : end])
            contexts.append(min(left, right) if first <= word < end else -1)
        owners.append(contexts.index(max(contexts)))
    return owners


@pytest.mark.parametrize("seed", range(40))
def test_windows_equal_a_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(10):
        size = int(rng.integers(1, 20))
        stride = int(rng.integers(0, size))
        words = draw_words(rng, int(rng.integers(1, 70)), int(rng.integers(1, size + 1)))
        lengths = np.bincount(words).tolist()
        windows = cut_windows(words, size, stride)
        placed = place_slowly(lengths, size, stride)
        owners = own_slowly(lengths, placed)
        kept = sorted(set(owners))
        assert list(zip(windows.first_words, windows.end_words, strict=True)) == [placed[i] for i in kept]
        owned = [list(range(i, j)) for i, j in zip(windows.first_owned, windows.end_owned, strict=True)]
        assert owned == [[word for word, owner in enumerate(owners) if owner == i] for i in kept]

        # What callers rely on, whatever the reference says.
        assert [word for part in owned for word in part] == list(range(len(lengths)))
        assert all(owned)
        assert (windows.first_owned >= windows.first_words).all()
        assert (windows.end_owned <= windows.end_words).all()
        assert (windows.ends - windows.starts <= size).all()
        covered = [i for start, end in zip(windows.starts, windows.ends, strict=True) for i in range(start, end)]
        assert set(covered) == set(range(len(words)))
        for i in range(len(windows)):
            piece_words = words[windows.starts[i] : windows.ends[i]]
            assert sorted(set(piece_words)) == list(range(windows.first_words[i], windows.end_words[i]))
        if len(words) <= size:
            assert len(windows) == 1


def test_a_sentence_of_2000_words() -> None:
    windows = cut_windows(np.arange(2000), 510, 255)
    assert (windows.ends - windows.starts).tolist() == [510] * 7
    assert windows.end_owned.tolist() == [383, 638, 893, 1148, 1403, 1638, 2000]
    assert windows.starts.tolist() == [0, 255, 510, 765, 1020, 1275, 1490]


def test_overlap_is_repeated_as_far_as_words_go() -> None:
    """Pieces per word 2 2 2 | 5 2: the words of 2 fit into an stride of 3 once, the word of 5 not."""
    words = np.repeat(np.arange(7), [2, 2, 2, 5, 2, 2, 2])
    windows = cut_windows(words, 8, 3)
    assert list(zip(windows.first_words, windows.end_words, strict=True)) == [(0, 3), (2, 4), (4, 7)]


def test_words_as_long_as_the_window_stand_alone() -> None:
    windows = cut_windows(np.repeat(np.arange(3), 4), 4, 3)
    assert windows.starts.tolist() == [0, 4, 8]


def test_an_empty_sentence_has_no_window() -> None:
    windows = cut_windows(np.empty(0, dtype=np.int64), 8, 4)
    assert len(windows) == 0


@pytest.mark.parametrize(("size", "stride"), [(0, 0), (4, 4), (4, -1)])
def test_sizes_out_of_range_are_refused(size: int, stride: int) -> None:
    with pytest.raises(ValueError, match=f"got {size} and {stride}"):
        cut_windows(np.arange(3), size, stride)


def test_a_word_that_fits_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a word of 5 tokens fits no window of 4"):
        cut_windows(np.repeat(np.arange(2), [1, 5]), 4, 2)


def grow_slowly(sentences: list[IntArray], documents: IntArray, i: int, num_pieces: int, size: int) -> tuple[int, int]:
    """Start and end of one sentence's context: piece by piece, in turn, the left first; then back to whole words."""
    piece_words = [(s, int(word)) for s, sentence in enumerate(sentences) for word in sentence]
    start = sum(map(len, sentences[:i]))
    end = sentence_end = start + len(sentences[i])
    sentence_start, budget = start, min(num_pieces, size - len(sentences[i]))
    document = [s for s in range(len(sentences)) if documents[s] == documents[i]]
    lowest = sum(map(len, sentences[: document[0]]))
    highest = sum(map(len, sentences[: document[-1] + 1]))
    while budget > 0 and (start > lowest or end < highest):
        if start > lowest and (end == highest or sentence_start - start <= end - sentence_end):
            start -= 1
        else:
            end += 1
        budget -= 1
    while start < sentence_start and start > 0 and piece_words[start - 1] == piece_words[start]:
        start += 1
    while end > sentence_end and end < len(piece_words) and piece_words[end - 1] == piece_words[end]:
        end -= 1
    return start, end


@pytest.mark.parametrize("seed", range(30))
def test_context_equals_a_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(5):
        sentences = [draw_words(rng, int(rng.integers(0, 7)), 4) for _ in range(rng.integers(0, 15))]
        documents = np.sort(rng.integers(0, 4, len(sentences)))
        num_pieces, size = int(rng.integers(0, 25)), int(rng.integers(1, 30))
        starts, ends = add_context(sentences, documents, num_pieces, size)
        expected = [grow_slowly(sentences, documents, i, num_pieces, size) for i in range(len(sentences))]
        assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected
        lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        assert (ends - starts <= np.maximum(np.minimum(lengths + num_pieces, size), lengths)).all()


@pytest.mark.parametrize(("num_pieces", "size"), [(-1, 8), (4, 0)])
def test_context_out_of_range_is_refused(num_pieces: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"got {num_pieces} and {size}"):
        add_context([np.arange(3)], np.array([0]), num_pieces, size)


def test_owned_pieces_are_in_the_order_of_their_sentences() -> None:
    """Two windows of sentence 4 around sentence 2, which has context; a row that keeps ranks in step."""
    words = np.array([[-1, 0, 0, 1, -1], [-1, -1, 0, -1, -1], [-1, -1, 2, 3, 3], [-1, -1, -1, -1, -1]])
    pieces = find_owned_tokens(words, np.array([4, 2, 4, -1]))
    assert {sentence: places.tolist() for sentence, places in pieces.items()} == {2: [7], 4: [1, 2, 3, 12, 13, 14]}
    assert find_owned_tokens(words[3:], np.array([-1])) == {}
    for change, found in (([1, 2, 2], "0, 1, 1, 2"), ([0, 2, 3], "0, 1, 0, 2, 3"), ([3, 3, 3], "0, 1, 3")):
        words[2, 2:] = change
        with pytest.raises(RuntimeError, match=rf"sentence 4 of the split: its windows own the words \[{found}\]"):
            find_owned_tokens(words, np.array([4, 2, 4, -1]))
