"""Words and their pieces: what a tokenizer makes of a sentence that is given as words, and whose label a piece gets.

A sentence of pieces is two arrays of shape (T,): the pieces' ids and, for each piece, the index of its word. Pieces
stand in the order of their words, and every word has one at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray

NO_WORD = -1
"""The word index of special tokens and padding."""

_OPENING_OR_CLOSING = ("B-", "E-", "S-", "L-", "U-")


@dataclass(frozen=True)
class EncodedWords:
    """The pieces of a sentence, without special tokens.

    Attributes:
        ids: of the pieces, shape (T,).
        word_of_piece: the word that each piece belongs to, from 0, shape (T,), never decreasing, no word left out.
    """

    ids: IntArray
    word_of_piece: IntArray


def encode_words(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], max_pieces_per_word: int
) -> list[EncodedWords]:
    """Pieces of the words of sentences.

    Each word is encoded by itself, as in ``tokenizer(words, is_split_into_words=True)``, but each distinct word only
    once, and behind a space where the tokenizer sets the words of a text apart by one (`needs_space`), so that a
    byte-level tokenizer with ``add_prefix_space=False`` works like any other. A word that leaves no piece (white space,
    control characters, whatever the tokenizer's normalisation removes) is one piece, the tokenizer's unknown token, or
    its mask or padding token where it has none. Lone surrogates, which are no text, are read as U+FFFD.

    Args:
        tokenizer: of any kind.
        sentences: the words of each.
        max_pieces_per_word: a longer word keeps its first ones, >= 1.

    Raises:
        InputError: if `max_pieces_per_word` is below 1, or a word leaves no piece and no token can stand for it.
    """
    if max_pieces_per_word < 1:
        raise InputError(f"max_pieces_per_word must be at least 1, got {max_pieces_per_word}")
    places: dict[str, int] = {}
    indices = [[places.setdefault(word, len(places)) for word in sentence] for sentence in sentences]
    pieces = [ids[:max_pieces_per_word] for ids in _encode_each(tokenizer, list(places))]
    lengths = np.array([len(ids) for ids in pieces], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    flat = np.fromiter((i for ids in pieces for i in ids), np.int64, count=int(lengths.sum()))
    encoded = []
    for sentence in indices:
        words = np.array(sentence, dtype=np.int64)
        counts = lengths[words]
        word_of_piece = np.repeat(np.arange(len(words)), counts)
        offsets = np.arange(len(word_of_piece)) - np.repeat(np.cumsum(counts) - counts - starts[words], counts)
        encoded.append(EncodedWords(flat[offsets], word_of_piece))
    return encoded


def needs_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word must be encoded behind a space to get the pieces that it has within a text.

    Asked of the tokenizer itself: the second word of "a a" has the pieces of " a", and these are not those of "a".
    """
    bare, spaced, text = _encode_plain(tokenizer, ["a", " a", "a a"])
    return text != bare + bare and text == bare + spaced


def find_first_pieces(word_of_piece: IntArray) -> IntArray:
    """Where the first token of each word is.

    Args:
        word_of_piece: word of each token, `NO_WORD` on special tokens and padding, shape (T,) or (B, T).

    Returns:
        Places in the flattened array, ascending, shape (num_words,).
    """
    is_first = word_of_piece != NO_WORD
    is_first[..., 1:] &= word_of_piece[..., 1:] != word_of_piece[..., :-1]
    return np.flatnonzero(is_first)


def align_labels(word_of_piece: IntArray, word_labels: IntArray, inside_of: IntArray | None = None) -> IntArray:
    """Labels of pieces from labels of words: a word's first piece has its label.

    Args:
        word_of_piece: word of each piece, `NO_WORD` on special tokens and padding, shape (T,).
        word_labels: label of each word of the sentence, `IGNORE_INDEX` where it is not scored, shape (num_words,).
        inside_of: for each label the one of the later pieces of its word (`make_inside_table`), shape (L,); without it
            later pieces are not scored.

    Returns:
        Labels, shape (T,), `IGNORE_INDEX` where nothing is scored.
    """
    labels = np.full(len(word_of_piece), IGNORE_INDEX, dtype=np.int64)
    if inside_of is not None:
        is_scored = word_labels != IGNORE_INDEX
        later = np.where(is_scored, inside_of[np.where(is_scored, word_labels, 0)], IGNORE_INDEX)
        labels[word_of_piece != NO_WORD] = later[word_of_piece[word_of_piece != NO_WORD]]
    first = find_first_pieces(word_of_piece)
    labels[first] = word_labels[word_of_piece[first]]
    return labels


def make_inside_table(labels: Sequence[str]) -> IntArray:
    """For each label the one that the later pieces of its word get.

    These are inside of whatever entity the word is in, so I-X stands for each of B-X, E-X and S-X of BIOES and L-X and
    U-X of BILOU, and any label stays as it is where the set has no such I-X: O, I-X, part-of-speech tags. It goes by
    name, where the published recipe adds one to odd ids, which holds for one order of one label set.

    Args:
        labels: names, by id.

    Returns:
        Ids, shape (L,).
    """
    ids = {label: i for i, label in enumerate(labels)}
    return np.array(
        [
            ids.get(f"I-{label[2:]}", i) if label.startswith(_OPENING_OR_CLOSING) else i
            for i, label in enumerate(labels)
        ],
        dtype=np.int64,
    )


def _encode_each(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[list[int]]:
    """The pieces of words, at least one of each."""
    if not words:
        return []
    space = " " if needs_space(tokenizer) else ""
    pieces = _encode_plain(
        tokenizer, [space + word.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for word in words]
    )
    if all(pieces):
        return pieces
    candidates = (tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.pad_token_id)
    stand_in = next((i for i in candidates if i is not None), None)
    if stand_in is None:
        word = words[pieces.index([])]
        raise InputError(
            f"the tokenizer leaves nothing of the word {word!r} and has no unknown, mask or padding token to stand for "
            "it; name one in its tokenizer_config.json, or take the word out"
        )
    return [ids or [stand_in] for ids in pieces]


def _encode_plain(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return list(encoded["input_ids"])
