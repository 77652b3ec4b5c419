"""Encodes texts of any length with a tokenizer.

A long text is encoded in overlapping parts, as an encoding takes about 100 times the memory of its text. Two neighbours
are joined in the middle of a stretch of their overlap in which they have the same tokens, so the tokens are those of
the whole text: what a tokenizer does at the ends of a text (prefix spaces, stripping, special tokens) or at a word or
added token that a part cuts stays outside that stretch. Where there is no such stretch, as within a run of white space
or a word without end, overlap and parts grow.

Shapes: B texts, N tokens in all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import NO_WORD
from lit_mlm.data.reading.flat_arrays import Arrays
from lit_mlm.text.masking.word_starts import Segmenter, find_word_starts
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.upstream import is_plain

INPUT_IDS, WORD_STARTS, LENGTHS, OFFSETS = "input_ids", "word_starts", "document_lengths", "offsets"

PART_CHARACTERS, OVERLAP_CHARACTERS = 2**18, 2**11
"""Texts of more characters are encoded in parts of that many, with that overlap at first."""

MIN_STRETCH = 8
"""Tokens that neighbours must share at least."""


@dataclass(frozen=True)
class Encoder:
    """Encodes texts without truncation or padding.

    Attributes:
        tokenizer: a fast one, if anything but ids is wanted.
        add_special_tokens: to each text.
        finds_words: gives `WORD_STARTS`.
        segmenter: as in `find_word_starts`.
        gives_offsets: gives `OFFSETS`.
    """

    tokenizer: PreTrainedTokenizerBase
    add_special_tokens: bool
    finds_words: bool = False
    segmenter: Segmenter | None = None
    gives_offsets: bool = False

    def __call__(self, texts: Sequence[str]) -> Arrays:
        """Encodes texts.

        Returns:
            `INPUT_IDS`, shape (N,) int32; `LENGTHS`, the tokens of each text, shape (B,); and if wanted `WORD_STARTS`,
            shape (N,) bool, and `OFFSETS`, start and end of each token in its text in characters, shape (N, 2).
        """
        parts: list[Arrays] = []
        for is_long, group in groupby(texts, lambda text: len(text) > PART_CHARACTERS and self.tokenizer.is_fast):
            alike = list(group)
            parts += [self._encode_long(text) for text in alike] if is_long else [self._encode(alike)]
        return parts[0] if len(parts) == 1 else join_arrays(parts or [self._encode([])])

    def _encode_long(self, text: str) -> Arrays:
        """Encodes a text in parts."""
        bare = replace(self, add_special_tokens=False, gives_offsets=True)
        arrays = encode_in_parts(text, lambda part: bare._encode([part]), () if self.gives_offsets else (OFFSETS,))
        if self.add_special_tokens:
            added, short = find_special_tokens(self.tokenizer), self._encode(["a"])
            ends = {
                name: np.split(short[name], [len(added.prefix), len(short[name]) - len(added.suffix)])
                for name in arrays
            }
            arrays = {name: np.concatenate([ends[name][0], array, ends[name][2]]) for name, array in arrays.items()}
        return arrays | {LENGTHS: np.array([len(arrays[INPUT_IDS])])}

    def _encode(self, texts: list[str]) -> Arrays:
        """Encodes texts as wholes."""
        encodings = self._call_tokenizer(texts)
        num_tokens = np.fromiter(map(len, encodings), np.int64, len(texts))
        total = int(num_tokens.sum())
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, total)
        arrays: Arrays = {INPUT_IDS: ids, LENGTHS: num_tokens}
        if self.gives_offsets or (self.finds_words and self._words_need_offsets):
            places = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
            arrays[OFFSETS] = np.fromiter(places, np.int64, 2 * total).reshape(-1, 2)
        if self.finds_words:
            words = chain.from_iterable(encoding.word_ids for encoding in encodings)
            word_ids = np.fromiter((NO_WORD if word is None else word for word in words), np.int64, total)
            offsets = arrays.get(OFFSETS) if self._words_need_offsets else None
            arrays[WORD_STARTS] = find_word_starts(texts, num_tokens, word_ids, offsets, self.segmenter)
        if not self.gives_offsets:
            arrays.pop(OFFSETS, None)
        return arrays

    @property
    def _words_need_offsets(self) -> bool:
        return self.segmenter is not None or not splits_punctuation(self.tokenizer)

    def _call_tokenizer(self, texts: list[str]) -> Sequence[Any]:
        """Calls the backend where possible, since the tokenizer's copies into lists cost a tenth of the time."""
        options: dict[str, Any] = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        if not is_plain(self.tokenizer):
            encoded = self.tokenizer(texts, add_special_tokens=self.add_special_tokens, **options)
            return encoded.encodings or [_Ids(ids) for ids in encoded[INPUT_IDS]]
        self.tokenizer([""], **options)  # turns off truncation and padding of the tokenizer's file
        backend = self.tokenizer.backend_tokenizer
        without_offsets = not (self.finds_words or self.gives_offsets)
        encode = backend.encode_batch_fast if without_offsets else backend.encode_batch
        encodings: Sequence[Any] = encode(texts, add_special_tokens=self.add_special_tokens)
        return encodings


@dataclass(frozen=True)
class _Ids:
    """Stands for an `Encoding` with a slow tokenizer."""

    ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


def splits_punctuation(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer itself makes each punctuation mark a word, so that offsets add nothing to its words."""
    return type(tokenizer.backend_tokenizer.pre_tokenizer).__name__ == "BertPreTokenizer"


def join_arrays(parts: Sequence[Arrays]) -> Arrays:
    """Concatenates the arrays of each name."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def encode_in_parts(text: str, encode: Callable[[str], Arrays], dropped: Sequence[str] = ()) -> Arrays:
    """Encodes a text in parts and returns the tokens of the whole.

    Args:
        text: not empty.
        encode: returns one array per name, with a row for each token; `OFFSETS` among them.
        dropped: names of arrays to leave out.
    """
    parts: list[Arrays] = []

    def encode_slice(start: int, end: int) -> Arrays:
        found = encode(text[start:end])
        return {name: array for name, array in found.items() if name != LENGTHS} | {OFFSETS: found[OFFSETS] + start}

    def keep(tokens: Arrays, first: int, last: int | None = None) -> None:
        parts.append({name: array[first:last].copy() for name, array in tokens.items() if name not in dropped})

    start, end, first, overlap = 0, min(PART_CHARACTERS, len(text)), 0, OVERLAP_CHARACTERS
    tokens = encode_slice(start, end)  # of the last part, of which those before `first` are kept already
    while end < len(text):
        if overlap < end - start:
            begin, stop = end - overlap, min(end + PART_CHARACTERS, len(text))
            following = encode_slice(begin, stop)
            joint = find_joint(tokens, following, begin, end)
            overlap *= 4
            if joint is not None:
                keep(tokens, first, joint[0])
                start, end, tokens, first, overlap = begin, stop, following, joint[1], OVERLAP_CHARACTERS
            continue
        end = min(2 * end - start, len(text))
        longer = encode_slice(start, end)
        if any(not np.array_equal(longer[name][:first], array[:first]) for name, array in tokens.items()):
            return {name: array for name, array in encode_slice(0, len(text)).items() if name not in dropped}
        tokens, overlap = longer, OVERLAP_CHARACTERS
    keep(tokens, first)
    return join_arrays(parts)


def find_joint(left: Arrays, right: Arrays, begin: int, end: int) -> tuple[int, int] | None:
    """Finds where tokens of a part continue in those of the next one: in the middle of their shared stretch.

    Args:
        left: tokens of a part that ends at the character `end`.
        right: tokens of a part that begins at the character `begin`.
        begin: of the overlap.
        end: of the overlap.

    Returns:
        The index of the same token in `left` and in `right`; None unless all tokens that begin in the middle half of
        the overlap are the same, and at least `MIN_STRETCH`.
    """
    stretches = []
    for tokens in (left, right):
        starts, margin = tokens[OFFSETS][:, 0], (end - begin) // 4
        inside = np.flatnonzero((starts >= begin + margin) & (starts < end - margin))
        if len(inside) < MIN_STRETCH:
            return None
        stretches.append(slice(inside[0], inside[-1] + 1))
    one, other = stretches
    if any(not np.array_equal(left[name][one], right[name][other]) for name in left):
        return None
    middle = (one.stop - one.start) // 2
    return int(one.start + middle), int(other.start + middle)
