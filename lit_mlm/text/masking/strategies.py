"""Masking strategies: single tokens, whole words or spans, with a probability or to an exact budget.

A choice is a pure function of the example and (seed, epoch, example id, rate), so it is the same in any batch.

Shapes: B sequences, T tokens.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.options import Count, Rate, check_options, name_class
from lit_mlm.text.arrays import BoolArray, FloatArray, IntArray
from lit_mlm.text.masking.counter_hash import LENGTH, SELECT, draw_uniform, hash_examples
from lit_mlm.text.masking.units import MaskBudget, choose_units, draw_at, find_budgets, find_units

Unit = Literal["token", "word", "span"]


class MaskingStrategy(ABC):
    """Selects the positions to score. A new strategy implements `choose`.

    Its attributes must be plain YAML values; they are part of the data fingerprint. A dataclass has its options
    checked. `vocabulary` has the tokenizer's tokens.
    """

    needs_words: ClassVar[bool] = True
    """Whether `choose` reads `word_starts`; if not, words are not searched for in the text."""

    replace_per: Unit = "token"
    """The unit that one replacement (mask token, random token or the original) is drawn for; a span is a run of chosen
    tokens."""

    _vocabulary: ClassVar[Mapping[str, int] | None] = None

    def __post_init__(self) -> None:
        check_options("data.masking", type(self), vars(self))

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """The id of each token of the tokenizer; known in `choose`."""
        if self._vocabulary is None:
            raise RuntimeError(f"{type(self).__name__} has no vocabulary yet: see with_vocabulary")
        return self._vocabulary

    def with_vocabulary(self, vocabulary: Mapping[str, int]) -> Self:
        """Returns the same strategy for a tokenizer."""
        strategy = copy(self)
        object.__setattr__(strategy, "_vocabulary", vocabulary)  # of a frozen dataclass, too
        return strategy

    @abstractmethod
    def choose(
        self,
        ids: IntArray,
        is_maskable: BoolArray,
        word_starts: BoolArray,
        example_ids: IntArray,
        seed: int,
        epoch: int | IntArray,
        rate: FloatArray,
    ) -> BoolArray:
        """Chooses tokens of a batch; must be pure and independent of the other examples of the batch.

        Args:
            ids: token ids, shape (B, T), padded on the right with arbitrary ids.
            is_maskable: False on padding and special tokens, shape (B, T).
            word_starts: True at the first token of each word and of the block, and at and after special tokens, shape
                (B, T); True everywhere unless `needs_words`.
            example_ids: unique within the data set, shape (B,).
            seed: counter of the hash, as is `epoch` (`lit_mlm.text.masking.counter_hash`).
            epoch: >= 0, one for all examples or one each, shape (B,).
            rate: fraction of the maskable tokens to choose, shape (B,), each in (0, 1].

        Returns:
            The chosen positions, shape (B, T); those that are not maskable are ignored.
        """

    def describe(self) -> dict[str, Any]:
        """Returns the class and its attributes as plain YAML values."""
        cls, options = type(self), {name: value for name, value in vars(self).items() if not name.startswith("_")}
        description = {"class_path": name_class(f"{cls.__module__}.{cls.__qualname__}"), "init_args": options}
        try:
            plain: dict[str, Any] = json.loads(json.dumps(description))
        except TypeError as error:
            raise InputError(f"data.masking: attributes of {cls.__name__} must be of YAML's types: {error}") from error
        return plain


@dataclass(frozen=True)
class TokenMasking(MaskingStrategy):
    """Masks single tokens (Devlin et al. 2019, "BERT", NAACL, section 3.1).

    Args:
        mask_budget: ``expected`` chooses each token with probability `data.mask_prob`; ``exact`` chooses exactly this
            fraction of a block's tokens, rounded.
    """

    needs_words = False
    mask_budget: MaskBudget = "expected"

    def choose(
        self,
        ids: IntArray,
        is_maskable: BoolArray,
        word_starts: BoolArray,
        example_ids: IntArray,
        seed: int,
        epoch: int | IntArray,
        rate: FloatArray,
    ) -> BoolArray:
        """Chooses tokens."""
        uniform = draw_uniform(hash_examples(seed, epoch, example_ids)[:, None], np.arange(ids.shape[1]), SELECT)
        if self.mask_budget == "expected":
            return is_maskable & (uniform < rate[:, None])
        order = np.argsort(np.where(is_maskable, uniform, 1), axis=1, kind="stable")
        is_chosen = np.empty_like(is_maskable)
        np.put_along_axis(is_chosen, order, np.arange(ids.shape[1]) < find_budgets(is_maskable, rate), axis=1)
        return is_chosen


@dataclass(frozen=True)
class WordMasking(MaskingStrategy):
    """Masks whole words, as found by `lit_mlm.text.masking.word_starts`.

    Args:
        mask_budget: ``expected`` chooses each word with probability `data.mask_prob`; ``exact`` chooses random words
            whose tokens add up to about this fraction of a block's: less than the longest word away from it, and equal
            on average. Both choose all words with the same probability, unlike BERT's `create_pretraining_data.py`,
            which takes words in random order while they fit and so favours short ones.
        replace_per: the unit that a replacement is drawn for, ``word`` or ``token``.
    """

    mask_budget: MaskBudget = "expected"
    replace_per: Literal["token", "word"] = "word"

    def choose(
        self,
        ids: IntArray,
        is_maskable: BoolArray,
        word_starts: BoolArray,
        example_ids: IntArray,
        seed: int,
        epoch: int | IntArray,
        rate: FloatArray,
    ) -> BoolArray:
        """Chooses words."""
        keys = hash_examples(seed, epoch, example_ids)
        return choose_units(word_starts, is_maskable, draw_at(word_starts, keys), rate, self.mask_budget)


@dataclass(frozen=True)
class SpanMasking(MaskingStrategy):
    """Masks spans of whole words with geometric lengths (Joshi et al. 2020, "SpanBERT", TACL, section 3.1).

    A block is partitioned into consecutive spans, and some are chosen. SpanBERT instead draws positions and rejects
    overlaps; the lengths have the same distribution, and here all words are equally likely. Special tokens end a span.

    Args:
        mask_budget: as for `WordMasking`, with spans.
        replace_per: the unit that a replacement is drawn for: ``span`` (adjacent spans count as one), ``word`` or
            ``token``.
        length_prob: parameter of the geometric distribution, in (0, 1]: the probability that a span ends after a word.
        max_length: longest span in words, >= 1; the distribution is truncated there and renormalised, as in SpanBERT.
    """

    mask_budget: MaskBudget = "expected"
    replace_per: Unit = "span"
    length_prob: Rate = 0.2
    max_length: Count = 10

    def choose(
        self,
        ids: IntArray,
        is_maskable: BoolArray,
        word_starts: BoolArray,
        example_ids: IntArray,
        seed: int,
        epoch: int | IntArray,
        rate: FloatArray,
    ) -> BoolArray:
        """Chooses spans."""
        keys = hash_examples(seed, epoch, example_ids)
        lengths = self.draw_lengths(draw_uniform(keys[:, None], np.arange(ids.shape[1]), LENGTH))
        starts = find_span_starts(word_starts, is_maskable, lengths)
        return choose_units(starts, is_maskable, draw_at(starts, keys), rate, self.mask_budget)

    def draw_lengths(self, uniform: FloatArray) -> IntArray:
        """Maps uniform numbers in [0, 1) to span lengths in words by the inverse distribution function."""
        shares = (1 - self.length_prob) ** np.arange(self.max_length)
        boundaries = np.cumsum(shares / shares.sum())[:-1]
        return np.searchsorted(boundaries, uniform, side="right") + 1


def find_span_starts(word_starts: BoolArray, is_maskable: BoolArray, lengths: IntArray) -> BoolArray:
    """Partitions blocks into spans of given lengths and returns where they begin, shape (B, T).

    Args:
        word_starts: shape (B, T), True at the first token.
        is_maskable: shape (B, T); a token that is not maskable is a span by itself.
        lengths: of the first span in words, the second one, ..., shape (B, T).

    Examples:
        >>> word_starts = np.array([[True, True, False, True, True]])
        >>> find_span_starts(word_starts, np.ones((1, 5), dtype=bool), np.array([[2, 1, 1, 1, 1]])).astype(int)
        array([[1, 0, 0, 1, 1]])
    """
    ends = np.cumsum(lengths, axis=1)
    begins = np.zeros_like(word_starts)  # by word: whether it is the first of a span
    rows, columns = np.nonzero(ends < word_starts.shape[1])
    begins[rows, ends[rows, columns]] = True
    begins[:, :1] = True
    is_cut = ~is_maskable
    is_cut[:, 1:] |= ~is_maskable[:, :-1]
    return word_starts & (np.take_along_axis(begins, find_units(word_starts), axis=1) | is_cut)
