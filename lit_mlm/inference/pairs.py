"""Compares the two sentences of minimal pairs by their scores.

A net is right about a pair if it scores the good sentence above the bad one (Warstadt et al. 2020, "BLiMP: the
benchmark of linguistic minimal pairs for English", TACL 8). A tie is wrong, so a net that can't tell
sentences apart is never right. Sentences with the same tokens tie, such as those that differ in case alone where the
tokenizer lowers it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple, get_args

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.inference.score import Method, ScoredText, iterate_scores
from lit_mlm.metrics.intervals import estimate_share_interval

Normalize = Literal["none", "tokens", "words"]

ROUNDING, MOST_ROUNDING = 1e-5, 1e-2
"""Relative difference of scores, and the most in nats, that is none: batches of other shapes round otherwise."""


class ScoredPair(NamedTuple):
    """The scores of the good and the bad sentence of a minimal pair, in nats, per token or per word if normalised."""

    good: float
    bad: float

    @property
    def preferred(self) -> str:
        """Which sentence has the higher score: ``good``, ``bad`` or, if neither, ``tie``."""
        is_tie = abs(self.good - self.bad) <= min(ROUNDING * max(abs(self.good), abs(self.bad)), MOST_ROUNDING)
        return "tie" if is_tie else "good" if self.good > self.bad else "bad"


def score_pairs(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    method: Method = "within_word_l2r",
    normalize: Normalize = "none",
) -> list[ScoredPair]:
    """Scores minimal pairs; see `lit_mlm.inference.pairs`.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer, a fast one.
        pairs: good and bad sentences.
        method: as in `score_texts`.
        normalize: divides scores by the number of ``tokens`` or ``words`` of the sentence.
    """
    return list(iterate_pairs(net, tokenizer, pairs, method, normalize))


def iterate_pairs(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Iterable[tuple[str, str]],
    method: Method = "within_word_l2r",
    normalize: Normalize = "none",
) -> Iterator[ScoredPair]:
    """Yields what `score_pairs` returns."""
    if normalize not in get_args(Normalize):
        raise InputError(f"normalize must be none, tokens or words, got {normalize!r}")
    scored = iterate_scores(net, tokenizer, chain.from_iterable(pairs), method)
    scores = (text.score / _measure(text, normalize) for text in scored)
    return (ScoredPair(good, bad) for good, bad in zip(scores, scores, strict=True))


def _measure(text: ScoredText, normalize: Normalize) -> int:
    """The length that divides the score of a text, at least 1."""
    sizes = {"none": 1, "tokens": text.num_tokens, "words": text.num_words}
    return max(sizes[normalize], 1)


def measure_accuracy(preferred: Iterable[str]) -> dict[str, float | int]:
    """Returns the accuracy of at least one pair with Wilson's 95 % interval, and the numbers of pairs and of ties.

    Examples:
        >>> measure_accuracy(["good", "good", "bad", "tie"])["accuracy"]
        0.5
    """
    counts = Counter(preferred)
    low, high = estimate_share_interval(counts["good"], counts.total())
    return {
        "num_pairs": counts.total(),
        "num_ties": counts["tie"],
        "accuracy": counts["good"] / counts.total(),
        "accuracy_low": low,
        "accuracy_high": high,
    }
