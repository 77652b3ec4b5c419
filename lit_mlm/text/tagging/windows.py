"""Cuts long sentences into overlapping windows and adds context to short ones.

Windows start and end between words. Sizes count tokens without special tokens. Shapes: T tokens and W windows of a
sentence, S sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lit_mlm.batch import NO_WORD
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.tagging.alignment import find_first_tokens


@dataclass(frozen=True)
class Windows:
    """The windows of a sentence, from left to right. Each word of the sentence is owned by exactly one.

    Attributes:
        starts: first token, shape (W,).
        ends: one past the last token, shape (W,).
        first_words: first word, shape (W,).
        end_words: one past the last word, shape (W,).
        first_owned: first owned word, shape (W,).
        end_owned: one past the last owned word, shape (W,), > `first_owned`.
    """

    starts: IntArray
    ends: IntArray
    first_words: IntArray
    end_words: IntArray
    first_owned: IntArray
    end_owned: IntArray

    def __len__(self) -> int:
        return len(self.starts)


def cut_windows(word_of_token: IntArray, size: int, stride: int) -> Windows:
    """Cuts a sentence into windows of at most `size` tokens.

    A window takes as many words as fit. The next one starts at the first word that lies wholly among the last `stride`
    tokens, or later if a new word would not fit otherwise. The last window is extended backwards to its full size. A
    word is owned by the window that shows most context on its shorter side, not counting sides that end with the
    sentence; ties go to the earlier window. Windows without owned words are dropped.

    Args:
        word_of_token: word of each token, as in `EncodedWords`, shape (T,).
        size: tokens per window, >= 1; no word may have more.
        stride: tokens that neighbours share, in [0, size).

    Examples:
        >>> windows = cut_windows(np.arange(7), size=4, stride=2)
        >>> list(zip(windows.starts.tolist(), windows.ends.tolist(), windows.end_owned.tolist()))
        [(0, 4, 3), (2, 6, 5), (3, 7, 7)]
    """
    if size < 1 or not 0 <= stride < size:
        raise InputError(f"windows need a size of at least 1 and a stride from 0 to size - 1, got {size} and {stride}")
    boundaries = np.append(find_first_tokens(word_of_token), len(word_of_token))
    num_words = len(boundaries) - 1
    if len(word_of_token) <= size:
        one = np.arange(min(num_words, 1))
        return Windows(one, one + len(word_of_token), one, one + num_words, one, one + num_words)
    if int(np.diff(boundaries).max()) > size:
        raise InputError(
            f"a word of {np.diff(boundaries).max()} tokens fits no window of {size}: lower max_tokens_per_word"
        )
    first_words, end_words = _place_windows(boundaries, size, stride)
    starts, ends = boundaries[first_words], boundaries[end_words]
    # A word goes to the later of two windows if its midpoint is beyond that of their overlap.
    owners = np.searchsorted(starts[1:] + ends[:-1], boundaries[:-1] + boundaries[1:])
    used, first_owned = np.unique(owners, return_index=True)
    end_owned = np.append(first_owned[1:], num_words)
    return Windows(starts[used], ends[used], first_words[used], end_words[used], first_owned, end_owned)


def find_owned_tokens(words: IntArray, sentences: IntArray) -> dict[int, IntArray]:
    """Locates the tokens of each sentence in a batch of windows, each token in the window that owns its word.

    Args:
        words: word of each owned token, `NO_WORD` elsewhere, shape (B, T).
        sentences: sentence of each row, shape (B,); the rows of a sentence are in order but need not be adjacent.

    Returns:
        By sentence, the positions of its tokens in the flattened batch, from left to right; sentences without words are
        left out.

    Raises:
        RuntimeError: if a word of a sentence is missing, repeated or out of order.
    """
    rows, columns = np.nonzero(words != NO_WORD)
    order = np.argsort(sentences[rows], kind="stable")
    positions = (rows * words.shape[1] + columns)[order]
    names, starts = np.unique(sentences[rows][order], return_index=True)
    tokens = dict(zip(names.tolist(), np.split(positions, starts)[1:], strict=True))
    for sentence, owned in tokens.items():
        found, row = words.reshape(-1)[owned], owned // words.shape[1]
        found = found[np.append(True, (found[1:] != found[:-1]) | (row[1:] != row[:-1]))]
        if not np.array_equal(found, np.arange(len(found))):
            raise RuntimeError(f"sentence {sentence} of the split: its windows own the words {found.tolist()}")
    return tokens


def add_context(
    sentences: Sequence[IntArray], document_of_sentence: IntArray, num_tokens: int, size: int
) -> tuple[IntArray, IntArray]:
    """Extends each sentence by neighbouring words of its document.

    Both sides get equal context where the document allows, the left one the odd token; what one side lacks goes to the
    other. A sentence of `size` tokens or more gets none.

    Args:
        sentences: the `word_of_token` of each sentence, in text order.
        document_of_sentence: document number of each sentence, equal for neighbours in one document, shape (S,).
        num_tokens: most tokens of context, both sides together, >= 0.
        size: most tokens of a sentence and its context, >= 1.

    Returns:
        Start and end of each sentence with its context in the concatenated tokens, both of shape (S,).
    """
    if num_tokens < 0 or size < 1:
        raise InputError(f"context needs at least 0 tokens and a size of at least 1, got {num_tokens} and {size}")
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    is_first = np.append(True, document_of_sentence[1:] != document_of_sentence[:-1])[: len(lengths)]
    document = np.cumsum(is_first) - 1
    document_starts = starts[is_first]
    num_left = starts - document_starts[document]
    num_right = np.append(document_starts[1:], lengths.sum())[document] - ends
    budget = np.clip(size - lengths, 0, num_tokens)
    left = np.minimum(num_left, np.maximum(budget - budget // 2, budget - num_right))
    right = np.minimum(num_right, budget - left)
    boundaries = np.concatenate(
        [find_first_tokens(s) + start for s, start in zip(sentences, starts, strict=True)] + [ends]
    )
    boundaries = np.unique(np.append(boundaries, 0))
    context_starts = boundaries[np.searchsorted(boundaries, starts - left)]
    context_ends = boundaries[np.searchsorted(boundaries, ends + right, side="right") - 1]
    return context_starts, context_ends


def _place_windows(boundaries: IntArray, size: int, stride: int) -> tuple[IntArray, IntArray]:
    """Returns first and end words of windows, given word boundaries in tokens."""
    num_words, total = len(boundaries) - 1, int(boundaries[-1])
    first_words, end_words = [0], [int(np.searchsorted(boundaries, size, side="right")) - 1]
    while (end := end_words[-1]) < num_words:
        # Late enough for the next word to fit; the last window reaches back to its full size.
        start = min(max(boundaries[end] - stride, boundaries[end + 1] - size), total - size)
        first_words.append(int(np.searchsorted(boundaries, start)))
        end_words.append(int(np.searchsorted(boundaries, boundaries[first_words[-1]] + size, side="right")) - 1)
    return np.array(first_words), np.array(end_words)
