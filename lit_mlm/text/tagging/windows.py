"""Long sentences cut into overlapping windows, each word predicted once; short ones with what stands around them.

Boundaries are those of words: a window starts and ends between two words, so it holds whole words only. Sizes count
pieces of words; special tokens come on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.tagging.alignment import NO_WORD, find_first_pieces


@dataclass(frozen=True)
class Windows:
    """The windows of a sentence, from left to right, and the words that each of them owns.

    The owned words of one window follow those of the window before it; together they are all words of the sentence.

    Attributes:
        starts: first piece of each window, shape (W,).
        ends: one past its last piece, shape (W,).
        first_words: its first word, shape (W,).
        end_words: one past its last word, shape (W,).
        first_owned: the first word that it owns, shape (W,).
        end_owned: one past the last word that it owns, shape (W,), always above `first_owned`.
    """

    starts: IntArray
    ends: IntArray
    first_words: IntArray
    end_words: IntArray
    first_owned: IntArray
    end_owned: IntArray

    def __len__(self) -> int:
        return len(self.starts)


def cut_windows(word_of_piece: IntArray, size: int, stride: int) -> Windows:
    """Cuts a sentence into windows of at most `size` pieces.

    A window takes as many words as fit. The next one starts at the first word that lies wholly among the last `stride`
    pieces: a word longer than that is not repeated, and one that would keep the next window from taking a new word
    isn't either. The last window reaches back as far as it can, so it may overlap more. A word is owned by the window
    that shows most of the sentence around it: the pieces to the nearer of the window's two ends are most, where an end
    of the sentence is no end; the earlier window at a tie. Windows that own no word are left out.

    Args:
        word_of_piece: word of each piece of the sentence, as `encode_words` gives it, shape (T,).
        size: pieces in a window, >= 1.
        stride: pieces that neighbours share, >= 0 and < `size`.

    Returns:
        The windows: one for a sentence of up to `size` pieces, none for an empty one.

    Raises:
        InputError: if `size` or `stride` is out of range, or a word has more than `size` pieces.
    """
    if size < 1 or not 0 <= stride < size:
        raise InputError(f"windows need a size of at least 1 and a stride from 0 to size - 1, got {size} and {stride}")
    boundaries = np.append(find_first_pieces(word_of_piece), len(word_of_piece))
    num_words = len(boundaries) - 1
    if len(word_of_piece) <= size:
        one = np.arange(min(num_words, 1))
        return Windows(one, one + len(word_of_piece), one, one + num_words, one, one + num_words)
    if int(np.diff(boundaries).max()) > size:
        raise InputError(f"a word of {np.diff(boundaries).max()} pieces fits no window of {size}: give it fewer pieces")
    first_words, end_words = _place_windows(boundaries, size, stride)
    starts, ends = boundaries[first_words], boundaries[end_words]
    # Context grows towards the middle of a window, so of two neighbours the later one has more on the words whose
    # first piece and end add up to more than the later one's start and the earlier one's end, and on no others.
    owners = np.searchsorted(starts[1:] + ends[:-1], boundaries[:-1] + boundaries[1:])
    used, first_owned = np.unique(owners, return_index=True)
    end_owned = np.append(first_owned[1:], num_words)
    return Windows(starts[used], ends[used], first_words[used], end_words[used], first_owned, end_owned)


def find_owned_pieces(words: IntArray, sentences: IntArray) -> dict[int, IntArray]:
    """Where the pieces of each sentence stand in a batch of windows, each once, in the window that owns their word.

    Args:
        words: the word of each piece that the row owns, `NO_WORD` elsewhere, shape (B, T).
        sentences: the sentence of each row, shape (B,); the rows of one are in order, with others between them or not.

    Returns:
        For each sentence that owns a word the places of its pieces in the flattened batch, from left to right.

    Raises:
        RuntimeError: if the rows of a sentence don't have each of its words from 0 on once and in order.
    """
    rows, columns = np.nonzero(words != NO_WORD)
    order = np.argsort(sentences[rows], kind="stable")
    places = (rows * words.shape[1] + columns)[order]
    names, starts = np.unique(sentences[rows][order], return_index=True)
    pieces = dict(zip(names.tolist(), np.split(places, starts)[1:], strict=True))
    for sentence, its_places in pieces.items():
        found, row = words.reshape(-1)[its_places], its_places // words.shape[1]
        found = found[np.append(True, (found[1:] != found[:-1]) | (row[1:] != row[:-1]))]
        if not np.array_equal(found, np.arange(len(found))):
            raise RuntimeError(f"sentence {sentence} of the split: its windows own the words {found.tolist()}")
    return pieces


def add_context(
    sentences: Sequence[IntArray], document_of_sentence: IntArray, num_pieces: int, size: int
) -> tuple[IntArray, IntArray]:
    """Which neighbouring pieces of the same document stand around each sentence, as ranges of the stream of all pieces.

    A sentence gets the words next to it on the left and on the right, as even as the document allows, the odd piece on
    the left; what one side lacks the other one may have. A sentence of `size` pieces or more gets none.

    Args:
        sentences: the `word_of_piece` of each sentence, in the order of the text.
        document_of_sentence: a number for each sentence, the same for neighbours of one document, shape (S,).
        num_pieces: pieces of context at most, both sides together, >= 0.
        size: pieces of a sentence and its context at most, >= 1.

    Returns:
        For each sentence where its context starts and ends in the stream, shapes (S,). The sentence itself, from the
        sum of the lengths of those before it, lies between. Give the rest `NO_WORD` as its word: it is not scored, and
        word indices start anew in each sentence.

    Raises:
        InputError: if `num_pieces` is negative or `size` below 1.
    """
    if num_pieces < 0 or size < 1:
        raise InputError(f"context needs at least 0 pieces and a size of at least 1, got {num_pieces} and {size}")
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    is_first = np.append(True, document_of_sentence[1:] != document_of_sentence[:-1])[: len(lengths)]
    document = np.cumsum(is_first) - 1
    document_starts = starts[is_first]
    num_left = starts - document_starts[document]
    num_right = np.append(document_starts[1:], lengths.sum())[document] - ends
    budget = np.clip(size - lengths, 0, num_pieces)
    left = np.minimum(num_left, np.maximum(budget - budget // 2, budget - num_right))
    right = np.minimum(num_right, budget - left)
    boundaries = np.concatenate(
        [find_first_pieces(s) + start for s, start in zip(sentences, starts, strict=True)] + [ends]
    )
    boundaries = np.unique(np.append(boundaries, 0))
    context_starts = boundaries[np.searchsorted(boundaries, starts - left)]
    context_ends = boundaries[np.searchsorted(boundaries, ends + right, side="right") - 1]
    return context_starts, context_ends


def _place_windows(boundaries: IntArray, size: int, stride: int) -> tuple[IntArray, IntArray]:
    """First words and ends, in words, of the windows of a sentence whose words have the given boundaries, in pieces."""
    num_words, total = len(boundaries) - 1, int(boundaries[-1])
    first_words, end_words = [0], [int(np.searchsorted(boundaries, size, side="right")) - 1]
    while (end := end_words[-1]) < num_words:
        # Not before the last `stride` pieces, nor where the word that comes next would not fit; at the end of the
        # sentence back to a full window.
        start = min(max(boundaries[end] - stride, boundaries[end + 1] - size), total - size)
        first_words.append(int(np.searchsorted(boundaries, start)))
        end_words.append(int(np.searchsorted(boundaries, boundaries[first_words[-1]] + size, side="right")) - 1)
    return np.array(first_words), np.array(end_words)
