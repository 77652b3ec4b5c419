"""Fills masks, each by itself, with the most probable tokens of a masked language model.

Shapes: V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import TypedDict, overload

import numpy as np
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.inference.filled_texts import Speller
from lit_mlm.inference.loading import load_model
from lit_mlm.inference.masked_rows import MaskedRow, find_top_tokens
from lit_mlm.inference.masked_texts import MaskedText, TextEncoder, map_texts
from lit_mlm.inference.targets import Normalize, ScoredTarget, score_targets

DEFAULT_TOP_K = 5


class Candidate(TypedDict):
    """One candidate for a mask. The first four fields are those of the fill-mask pipeline of `transformers`.

    `score` is a probability, `token` an id, `token_str` its text, `sequence` the decoded text with this mask filled, of
    a long text the window that the net read. `text` is the original text with this mask filled; it keeps case, accents
    and white space.
    """

    score: float
    token: int
    token_str: str
    sequence: str
    text: str


def load_masked_lm(
    model: str,
    revision: str | None = None,
    allow_new_head: bool = False,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a masked language model and its tokenizer, by the arguments of `load_model`."""
    net, tokenizer = load_model(
        AutoModelForMaskedLM, "fill masks", model, revision, allow_pickle, trust_remote_code, allow_new_head
    )
    if tokenizer.mask_token_id is None:
        raise InputError(f"the tokenizer of {model} has no mask token, so it can't fill masks")
    return net, tokenizer


@overload
def fill_masks(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], top_k: int | None = None
) -> list[list[list[Candidate]]]: ...


@overload
def fill_masks(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    top_k: int | None = None,
    *,
    targets: Sequence[str],
    normalize: Normalize = "none",
) -> list[list[list[ScoredTarget]]]: ...


def fill_masks(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    top_k: int | None = None,
    *,
    targets: Sequence[str] | None = None,
    normalize: Normalize = "none",
) -> list[list[list[Candidate]]] | list[list[list[ScoredTarget]]]:
    """Returns the most probable candidates for each mask of each text; the other masks of a text stay masks.

    A text that is longer than the net takes is read in a window around each mask.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer.
        texts: each with at least one mask, written ``[MASK]``, ``<mask>`` or as the tokenizer's own.
        top_k: candidates per mask, in [1, V]; by default 5, or all targets.
        targets: words to score, tokenised as they would be in place of the mask; a word of several tokens is scored by
            its exact chain (`lit_mlm.inference.targets.sum_log_probs`).
        normalize: the score of a target: its probability (``none``), the geometric mean of the probabilities of its
            tokens (``tokens``), or its share of the probabilities of all targets (``candidates``), where those of
            the same tokens count once.
    """
    if top_k is not None:
        check_top_k(top_k, net)
    if targets is not None:
        return score_targets(net, tokenizer, texts, targets, top_k, normalize)
    masked = map_texts(TextEncoder(net, tokenizer).encode, texts)
    rows = [MaskedRow(window.ids, window.positions) for text in masked for window in text.windows]
    log_probs, token_ids = find_top_tokens(net, tokenizer, rows, DEFAULT_TOP_K if top_k is None else top_k)
    scores = iter(zip(np.exp(log_probs).tolist(), token_ids.tolist(), strict=True))
    speller = Speller(tokenizer)
    return [list(_make_candidates(text, scores, speller)) for text in masked]


def check_top_k(top_k: int, net: PreTrainedModel, name: str = "top_k") -> None:
    """Refuses a number of tokens that is not in [1, V]."""
    if not 1 <= top_k <= net.config.vocab_size:
        raise InputError(f"{name} must be between 1 and the vocabulary's {net.config.vocab_size}, got {top_k}")


def _make_candidates(
    text: MaskedText, found: Iterator[tuple[list[float], list[int]]], speller: Speller
) -> Iterator[list[Candidate]]:
    """Yields the candidates for each mask of a text, and takes their scores and ids from `found`."""
    for window in text.windows:
        for mask, position in zip(window.masks, window.positions, strict=True):
            yield [
                Candidate(
                    score=score,
                    token=token_id,
                    token_str=speller.spell(token_id),
                    sequence=speller.decode_filled(window, position, [token_id]),
                    text=speller.fill_span(text.text, text.spans[mask], token_id),
                )
                for score, token_id in zip(*next(found), strict=True)
            ]
