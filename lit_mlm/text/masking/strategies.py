"""Which tokens are masked: single ones, whole words or spans of words, with a probability or to an exact budget.

A strategy parts a block into units (tokens, words, spans) and draws among them. Its choice for an example is a pure
function of the example and (seed, epoch, example id, rate), so it is the same in any batch and beside any padding.

Shapes: B sequences, T tokens.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.options import Count, Rate, check_options, name_class
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.counter_hash import LENGTH, SELECT, FloatArray, draw_uniform, hash_examples
from lit_mlm.text.masking.units import BoolArray, MaskBudget, choose_units, draw_at, find_units

Unit = Literal["token", "word", "span"]


class MaskingStrategy(ABC):
    """Chooses the positions that are scored; a new strategy is a subclass with one method, `choose`.

    Its attributes, of YAML's types, are part of the data's fingerprint.
    """

    needs_words: ClassVar[bool] = True
    """Whether it asks for the starts of words; where it doesn't, they are not looked for in the text."""

    replace_per: Unit = "token"
    """What the mask token, a random token or the token itself is drawn for: each token, all tokens of a word, or all
    tokens of a run of chosen ones."""

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
        """Chooses among the tokens of a batch; a pure function, which gives an example the same in any batch.

        Args:
            ids: token ids, shape (B, T), arbitrary on padding, which is on the right.
            is_maskable: False on padding and special tokens, shape (B, T).
            word_starts: where words begin, shape (B, T): at special tokens, behind them and at the block's start too;
                True everywhere unless `needs_words`.
            example_ids: a number of each example that is its own in the data set, shape (B,).
            seed: as `epoch` part of what random numbers are the hash of (`lit_mlm.text.masking.counter_hash`).
            epoch: at least 0, of all examples or, of shape (B,), of each.
            rate: share of the maskable tokens to choose, shape (B,), each above 0 and at most 1.

        Returns:
            The chosen positions, shape (B, T); those that are not maskable don't count.
        """

    def describe(self) -> dict[str, Any]:
        """The class and its attributes, as YAML has them.

        Raises:
            InputError: if an attribute is of another type than YAML's.
        """
        cls = type(self)
        description = {"class_path": name_class(f"{cls.__module__}.{cls.__qualname__}"), "init_args": vars(self)}
        try:
            plain: dict[str, Any] = json.loads(json.dumps(description))
        except TypeError as error:
            raise InputError(f"data.masking: attributes of {cls.__name__} must be of YAML's types: {error}") from error
        return plain


@dataclass(frozen=True)
class TokenMasking(MaskingStrategy):
    """Single tokens (Devlin et al. 2019, "BERT", NAACL, section 3.1).

    Args:
        mask_budget: ``expected`` chooses each token with the probability `data.mask_prob`; ``exact`` this share of a
            block's tokens, rounded, at random.
    """

    needs_words = False
    mask_budget: MaskBudget = "expected"

    def __post_init__(self) -> None:
        """Refuses a budget that there isn't."""
        check_options("data.masking", type(self), vars(self))

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
        return choose_units(np.ones_like(is_maskable), is_maskable, uniform.ravel(), rate, "exact")


@dataclass(frozen=True)
class WordMasking(MaskingStrategy):
    """Whole words, as `lit_mlm.text.masking.word_starts` finds them.

    Args:
        mask_budget: ``expected`` chooses each word with the probability `data.mask_prob`; ``exact`` takes words in
            random order, each one that this share of a block's tokens, rounded, still has room for, as BERT's
            `create_pretraining_data.py` does.
        replace_per: what the kind of replacement is drawn for, ``word`` or ``token``.
    """

    mask_budget: MaskBudget = "expected"
    replace_per: Literal["token", "word"] = "word"

    def __post_init__(self) -> None:
        """Refuses choices that there aren't."""
        check_options("data.masking", type(self), vars(self))

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
    """Spans of whole words with geometric lengths (Joshi et al. 2020, "SpanBERT", TACL, section 3.1).

    A block is parted into spans, one after the other, and some of these are chosen; SpanBERT draws a place for each
    span, and draws again where it meets another. The lengths have the same distribution, and no word is more likely
    to be chosen than another. A special token ends a span, as the block's end does.

    Args:
        mask_budget: as of `WordMasking`, with spans.
        replace_per: what the kind of replacement is drawn for: a ``span`` (of spans that touch once), ``word`` or
            ``token``.
        length_prob: of the geometric distribution, above 0 and at most 1: a span goes on behind a word with 1 less it.
        max_length: of a span in words, at least 1; the distribution is cut off there and scaled, as SpanBERT's is.
    """

    mask_budget: MaskBudget = "expected"
    replace_per: Unit = "span"
    length_prob: Rate = 0.2
    max_length: Count = 10

    def __post_init__(self) -> None:
        """Refuses what is out of range."""
        check_options("data.masking", type(self), vars(self))

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
        """Lengths of spans in words from numbers in [0, 1), by the inverse of the distribution function."""
        shares = (1 - self.length_prob) ** np.arange(self.max_length)
        boundaries = np.cumsum(shares / shares.sum())[:-1]
        return np.searchsorted(boundaries, uniform, side="right") + 1


def find_span_starts(word_starts: BoolArray, is_maskable: BoolArray, lengths: IntArray) -> BoolArray:
    """Where spans begin that a block is parted into.

    Args:
        word_starts: shape (B, T), the first tokens among them.
        is_maskable: shape (B, T); tokens that are not end the span before them, and a new one begins behind them.
        lengths: of the first span in words, the second one, ..., shape (B, T).

    Returns:
        Starts of spans, each of them a start of a word, shape (B, T).
    """
    words = find_units(word_starts)
    ends = np.cumsum(lengths, axis=1)
    begins = np.zeros_like(word_starts)
    rows, places = np.nonzero(ends < word_starts.shape[1])
    begins[rows, ends[rows, places]] = True
    begins[:, :1] = True
    is_cut = ~is_maskable
    is_cut[:, 1:] |= ~is_maskable[:, :-1]
    return word_starts & (np.take_along_axis(begins, words, axis=1) | is_cut)
