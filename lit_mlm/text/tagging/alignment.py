"""Aligns words with the tokens that a tokenizer splits them into.

Shapes: T tokens of a sentence, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.surrogates import replace_surrogates

_OPENING_OR_CLOSING = ("B-", "E-", "S-", "L-", "U-")


@dataclass(frozen=True)
class EncodedWords:
    """The tokens of a sentence, without special tokens.

    Attributes:
        ids: shape (T,).
        word_of_token: word index of each token, shape (T,), from 0, non-decreasing; every word has a token.
    """

    ids: IntArray
    word_of_token: IntArray


def encode_words(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], max_tokens_per_word: int
) -> list[EncodedWords]:
    """Tokenises the words of sentences; a word is truncated to `max_tokens_per_word` tokens, >= 1.

    Each distinct word is encoded once, by itself, as in ``tokenizer(words, is_split_into_words=True)``, and after a
    space where the tokenizer separates words by one (`needs_space`), so ``add_prefix_space=False`` needs no special
    handling. A word that leaves no token (white space, control characters) becomes the unknown token, or else the mask
    or padding token. Lone surrogates are read as U+FFFD.
    """
    if max_tokens_per_word < 1:
        raise InputError(f"max_tokens_per_word must be at least 1, got {max_tokens_per_word}")
    known: dict[str, int] = {}
    indices = [
        np.fromiter((known.setdefault(word, len(known)) for word in sentence), np.int64, len(sentence))
        for sentence in sentences
    ]
    tokens = [ids[:max_tokens_per_word] for ids in _encode_each(tokenizer, list(known))]
    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    flat = np.fromiter((i for ids in tokens for i in ids), np.int64, count=int(lengths.sum()))
    encoded = []
    for words in indices:
        counts = lengths[words]
        word_of_token = np.repeat(np.arange(len(words)), counts)
        offsets = np.arange(len(word_of_token)) - np.repeat(np.cumsum(counts) - counts - starts[words], counts)
        encoded.append(EncodedWords(flat[offsets], word_of_token))
    return encoded


def needs_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word must be encoded after a space to get the tokens that it has within a text.

    This holds if the second word of "a a" has the tokens of " a" and not those of "a".
    """
    bare, spaced, text = _encode_plain(tokenizer, ["a", " a", "a a"])
    return text != bare + bare and text == bare + spaced


def find_first_tokens(word_of_token: IntArray) -> IntArray:
    """Returns the positions of the first token of each word in the flattened array, shape (num_words,).

    Args:
        word_of_token: word of each token, `NO_WORD` on special tokens and padding, shape (T,) or (B, T).

    Examples:
        >>> find_first_tokens(np.array([NO_WORD, 0, 0, 1, NO_WORD]))
        array([1, 3])
    """
    is_first = word_of_token != NO_WORD
    is_first[..., 1:] &= word_of_token[..., 1:] != word_of_token[..., :-1]
    return np.flatnonzero(is_first)


def align_labels(word_of_token: IntArray, word_labels: IntArray, inside_of: IntArray | None = None) -> IntArray:
    """Maps labels of words to labels of tokens: the first token of a word has the word's label.

    Args:
        word_of_token: word of each token, `NO_WORD` on special tokens and padding, shape (T,).
        word_labels: label of each word, `IGNORE_INDEX` where it is not scored, shape (num_words,).
        inside_of: the label of later tokens for each label (`make_inside_table`), shape (L,); by default they are not
            scored.

    Returns:
        Labels, shape (T,), `IGNORE_INDEX` where nothing is scored.

    Examples:
        >>> align_labels(np.array([NO_WORD, 0, 0, 1, NO_WORD]), np.array([3, 0]))
        array([-100,    3, -100,    0, -100])
    """
    labels = np.full(len(word_of_token), IGNORE_INDEX, dtype=np.int64)
    if inside_of is not None:
        is_scored = word_labels != IGNORE_INDEX
        later = np.where(is_scored, inside_of[np.where(is_scored, word_labels, 0)], IGNORE_INDEX)
        labels[word_of_token != NO_WORD] = later[word_of_token[word_of_token != NO_WORD]]
    first = find_first_tokens(word_of_token)
    labels[first] = word_labels[word_of_token[first]]
    return labels


def make_inside_table(labels: Sequence[str]) -> IntArray:
    """Returns for each label id that of the later tokens of its word, shape (L,).

    B-X, E-X, S-X, L-X and U-X become I-X where the label set has it; any other label stays. The published recipe adds 1
    to odd ids instead, which is right for one order of one label set only.

    Examples:
        >>> make_inside_table(["O", "B-PER", "I-PER"])
        array([0, 2, 2])
    """
    ids = {label: i for i, label in enumerate(labels)}
    inside = [
        ids.get(f"I-{label[2:]}", i) if label.startswith(_OPENING_OR_CLOSING) else i for i, label in enumerate(labels)
    ]
    return np.array(inside, dtype=np.int64)


def _encode_each(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[list[int]]:
    if not words:
        return []
    space = " " if needs_space(tokenizer) else ""
    tokens = _encode_plain(tokenizer, [space + replace_surrogates(word) for word in words])
    if all(tokens):
        return tokens
    candidates = (tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.pad_token_id)
    stand_in = next((i for i in candidates if i is not None), None)
    if stand_in is None:
        word = words[tokens.index([])]
        raise InputError(
            f"the tokenizer leaves nothing of the word {word!r} and has no unknown, mask or padding token to replace "
            "it; set one in its tokenizer_config.json, or remove the word"
        )
    return [ids or [stand_in] for ids in tokens]


def _encode_plain(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    encoded = tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )
    return list(encoded["input_ids"])
