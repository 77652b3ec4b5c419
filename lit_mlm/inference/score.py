"""Scores texts with a masked language model, by their pseudo-log-likelihood.

The score of a text is the sum of the log-probabilities of its tokens, in nats, each masked and predicted from the rest
of the text (Salazar et al. 2020, "Masked language model scoring", ACL). Special tokens are context only.

Where a word has several tokens, the later ones nearly give away the first. So the method ``within_word_l2r`` masks the
later tokens of a token's word along with it (Kauf and Ivanova 2023, "A better way to do masked language model scoring",
ACL, PLL-word-l2r), and the probability of the word is the product of those of its tokens. ``original`` masks each token
alone. The words are those of the tokenizer (``word_ids``), as in the paper.

A text that is longer than the net takes is scored in windows, one for each token, with as much context as fits and the
token in the middle where there is text on both sides. Shapes: T tokens of a text without special ones, N rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, tee
from typing import Literal, NamedTuple, TypedDict, get_args

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.batch import NO_WORD
from lit_mlm.errors import InputError, refuse_text
from lit_mlm.inference.masked_rows import MaskedRow, compute_log_normalizer, iterate_logits
from lit_mlm.metrics.intervals import estimate_ratio_interval
from lit_mlm.metrics.sums import exponential
from lit_mlm.nets import pretrained
from lit_mlm.text.arrays import FloatArray, IntArray
from lit_mlm.text.masking.word_starts import find_word_starts
from lit_mlm.text.special_tokens import SpecialTokens, find_special_tokens
from lit_mlm.text.surrogates import replace_surrogates
from lit_mlm.text.tagging.words import find_words

Method = Literal["within_word_l2r", "original"]

ROWS_AT_A_TIME = 1024
"""Rows that exist at once, whatever the number of texts and their lengths."""


class TokenScore(TypedDict):
    """A token: `text` is the slice of the text from character `start` up to but not including `end`."""

    text: str
    start: int
    end: int
    log_prob: float


class ScoredText(NamedTuple):
    """A text and the scores of its tokens.

    Attributes:
        text: as given.
        log_probs: of the tokens in nats, shape (T,).
        offsets: start and end of each token in the text, in characters, shape (T, 2).
        num_unknown: unknown tokens; the probability of one is that of any word that the tokenizer does not know.
        is_windowed: whether the text is longer than the net takes.
    """

    text: str
    log_probs: FloatArray
    offsets: IntArray
    num_unknown: int
    is_windowed: bool

    @property
    def score(self) -> float:
        """The pseudo-log-likelihood in nats; 0 for an empty text."""
        return float(self.log_probs.sum())

    @property
    def num_tokens(self) -> int:
        """Tokens of the text, without special ones."""
        return len(self.log_probs)

    @property
    def num_words(self) -> int:
        """Words of the text, by `lit_mlm.text.tagging.words.split_text`: the same for every tokenizer."""
        return sum(1 for _ in find_words(self.text))

    @property
    def tokens(self) -> list[TokenScore]:
        """The tokens from left to right."""
        found = zip(self.offsets.tolist(), self.log_probs.tolist(), strict=True)
        return [TokenScore(text=self.text[i:j], start=i, end=j, log_prob=value) for (i, j), value in found]


def score_texts(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    method: Method = "within_word_l2r",
) -> list[ScoredText]:
    """Scores texts of any length by their pseudo-log-likelihood; see `lit_mlm.inference.score`.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer, a fast one.
        texts: to score; an empty one has the score 0 and no token.
        method: ``within_word_l2r`` masks the later tokens of a token's word along with it, ``original`` does not.
    """
    refuse_text("texts", texts)
    return list(iterate_scores(net, tokenizer, texts, method))


def iterate_scores(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    method: Method = "within_word_l2r",
) -> Iterator[ScoredText]:
    """Yields what `score_texts` returns, in memory that does not grow with the number of texts or their lengths."""
    if method not in get_args(Method):
        raise InputError(f"method must be {' or '.join(get_args(Method))}, got {method!r}")
    special_tokens, limit = find_special_tokens(tokenizer), pretrained.get_max_length(net)
    size = None if limit is None else limit - len(special_tokens)
    encoded, waiting = tee(_encode(tokenizer, text, method) for text in texts)
    rows = chain.from_iterable(make_rows(text.ids, text.mask_ends, special_tokens, size) for text in encoded)
    log_probs = _iterate_log_probs(net, tokenizer, rows)
    for text in waiting:
        num_tokens = len(text.ids)
        found = np.fromiter(islice(log_probs, num_tokens), np.float64, num_tokens)
        num_unknown = int((text.ids == tokenizer.unk_token_id).sum())
        yield ScoredText(text.text, found, text.offsets, num_unknown, size is not None and num_tokens > size)


def summarise_scores(scored: Iterable[ScoredText]) -> dict[str, float | int]:
    """Returns the metrics of a corpus by name.

    ``pseudo_perplexity`` is exp(-score / tokens), of the sums over all texts (Salazar et al. 2020). It
    depends on the tokenizer, while ``score_per_word``, in nats, can be compared between tokenizers. ``_low`` and
    ``_high`` are the ends of their 95 % intervals, for texts that were drawn at random. What is undefined is missing:
    of no token, of no word, and the intervals of one text.
    """
    rows = [(text.score, text.num_tokens, text.num_words, text.num_unknown) for text in scored]
    units = np.array(rows, np.float64).reshape(-1, 4)
    scores, num_tokens, num_words, num_unknown = units[units[:, 1] > 0].T
    metrics: dict[str, float | int] = {
        "num_texts": len(units),
        "num_tokens": int(num_tokens.sum()),
        "num_words": int(num_words.sum()),
        "num_unknown": int(num_unknown.sum()),
        "score": float(scores.sum()),
    }
    if num_tokens.sum():
        losses = _estimate_ratio(-scores, num_tokens)
        metrics |= {f"pseudo_perplexity{end}": exponential(loss) for end, loss in losses.items()}
    if num_words.sum():
        metrics |= {f"score_per_word{end}": value for end, value in _estimate_ratio(scores, num_words).items()}
    return metrics


def _estimate_ratio(sums: FloatArray, sizes: FloatArray) -> dict[str, float]:
    """Returns a ratio and, of several units, the ends of its interval, by the end of their names."""
    interval = estimate_ratio_interval(sums, sizes) if len(sums) > 1 else ()
    return {"": float(sums.sum() / sizes.sum())} | dict(zip(("_low", "_high"), interval, strict=False))


class _EncodedText(NamedTuple):
    """The tokens of a text: ids and mask ends, shape (T,), and offsets, shape (T, 2)."""

    text: str
    ids: IntArray
    mask_ends: IntArray
    offsets: IntArray


def _encode(tokenizer: PreTrainedTokenizerBase, text: str, method: Method) -> _EncodedText:
    encoded = tokenizer(replace_surrogates(text), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    if tokenizer.mask_token_id in encoded["input_ids"]:
        raise InputError(f"the mask token {tokenizer.mask_token} has no score; fill it instead: {text!r:.80}")
    words = np.array([NO_WORD if word is None else word for word in encoded.word_ids()], np.int64)
    starts = np.arange(len(words))
    if method == "within_word_l2r":
        starts = np.flatnonzero(find_word_starts([text], np.array([len(words)]), words, offsets=None))
    ends = np.append(starts, len(words))
    ends = ends[np.searchsorted(ends, np.arange(len(words)), side="right")]
    offsets = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)
    return _EncodedText(text, np.array(encoded["input_ids"], np.int64), ends, offsets)


def make_rows(
    ids: IntArray, mask_ends: IntArray, special_tokens: SpecialTokens, size: int | None = None
) -> Iterator[MaskedRow]:
    """Yields a row for each token of a text, in which it is masked and scored.

    Args:
        ids: of the tokens, shape (T,).
        mask_ends: one past the last token that is masked along with each, shape (T,).
        special_tokens: put around each row.
        size: tokens of a row without special ones, at most; a longer text is cut around each token.
    """
    size = len(ids) if size is None else min(size, len(ids))
    start, row = -1, ids
    for i, mask_end in enumerate(mask_ends.tolist()):
        start_before, start = start, min(max(i - size // 2, 0), len(ids) - size)
        if start != start_before:  # rows of one window share its ids
            row = np.array([*special_tokens.prefix, *ids[start : start + size], *special_tokens.suffix])
        shift = len(special_tokens.prefix) - start
        yield MaskedRow(row, [i + shift], range(i + shift, min(mask_end, start + size) + shift))


def _iterate_log_probs(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Iterator[MaskedRow]
) -> Iterator[float]:
    """Yields the log-probability of the scored token of each row, in nats."""
    while chunk := list(islice(rows, ROWS_AT_A_TIME)):
        tokens = torch.tensor([row.input_ids[row.scored[0]] for row in chunk], device=net.device)
        log_probs = torch.zeros(len(chunk), dtype=torch.float64)
        for numbers, logits in iterate_logits(net, tokenizer, chunk):
            found = logits.gather(1, tokens[numbers, None])[:, 0] - compute_log_normalizer(logits)
            log_probs[numbers] = found.double().cpu()
        yield from log_probs.tolist()
