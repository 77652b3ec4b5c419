"""Fills all masks of a text together: each is filled in sight of those filled before.

The conditionals of a masked language model need not be those of one joint distribution (Wang and Cho 2019, "BERT has a
Mouth, and It Must Speak"), so a joint probability depends on the order in which the masks were filled.

Shapes: M masks of a text, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict, get_args

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.inference.fill import check_top_k
from lit_mlm.inference.filled_texts import Speller
from lit_mlm.inference.masked_rows import MaskedRow, find_top_tokens
from lit_mlm.inference.masked_texts import MaskedText, TextEncoder, Window, map_texts
from lit_mlm.text.arrays import Float32Array, IntArray

Method = Literal["beam", "confident"]
"""The order in which masks are filled: from left to right, or always the most confident one."""


class Filling(TypedDict):
    """Tokens for all masks of a text.

    Attributes:
        score: joint log-probability, in nats: the sum of the log-probability of each token where the masks that were
            filled before it are filled, and the others are masks. The order is that of the method.
        tokens: ids, in the order of the text, shape (M,).
        token_strs: their texts.
        text: the original text with all masks filled.
        sequence: the same decoded; of a long text the window that the net read.
    """

    score: float
    tokens: list[int]
    token_strs: list[str]
    text: str
    sequence: str


class _Beam(NamedTuple):
    """A partly filled text: its log-probability, and the token of each mask that is filled."""

    score: float
    tokens: dict[int, int]

    def list_empty(self, window: Window, method: Method) -> list[int]:
        """The masks that may be filled next."""
        empty = [mask for mask in window.masks if mask not in self.tokens]
        return empty[:1] if method == "beam" else empty

    def make_row(self, window: Window, method: Method) -> MaskedRow:
        """A row that scores these masks."""
        ids = window.ids.copy()
        for mask, token_id in self.tokens.items():
            ids[window.positions[mask]] = token_id
        return MaskedRow(ids, [window.positions[mask] for mask in self.list_empty(window, method)])


def fill_jointly(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    top_k: int = 5,
    method: Method = "beam",
    beam_size: int = 10,
) -> list[list[Filling]]:
    """Returns the best fillings of each text, the most probable first.

    ``beam`` is a beam search from left to right: log p(x_1) + log p(x_2 | x_1) + ..., later masks being masks. With a
    `beam_size` of V it is exact for two masks. ``confident`` fills in each step, and in each beam, the mask whose best
    token is the most probable: the easy-first order (Goldberg and Elhadad 2010) with the confidence of mask-predict
    (Ghazvininejad et al. 2019, section 3), but one mask a step, and no token is masked again. Its beams may fill the
    masks in different orders.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer.
        texts: as in `fill_masks`; the masks of a text must be in one window of the net.
        top_k: fillings per text, in [1, V].
        method: the order of the masks.
        beam_size: fillings that are kept after each step but the last, in [1, V]; 1 is a greedy search. Memory grows
            with its square.
    """
    check_top_k(top_k, net)
    check_top_k(beam_size, net, "beam_size")
    if method not in get_args(Method):
        raise InputError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    encoder = TextEncoder(net, tokenizer)
    masked = map_texts(lambda text: encoder.encode(text, jointly=True), texts)
    beams = [[_Beam(0.0, {})] for _ in masked]
    for step in range(max((len(text.spans) for text in masked), default=0)):
        active = [i for i, text in enumerate(masked) if step < len(text.spans)]
        rows = [beam.make_row(masked[i].windows[0], method) for i in active for beam in beams[i]]
        found = zip(*find_top_tokens(net, tokenizer, rows, max(top_k, beam_size)), strict=True)
        for i in active:
            size = top_k if step + 1 == len(masked[i].spans) else beam_size
            beams[i] = _extend(beams[i], masked[i].windows[0], method, found, size)
    speller = Speller(tokenizer)
    return [[_make_filling(text, beam, speller) for beam in found] for text, found in zip(masked, beams, strict=True)]


def _extend(
    beams: list[_Beam],
    window: Window,
    method: Method,
    found: Iterator[tuple[Float32Array, IntArray]],
    size: int,
) -> list[_Beam]:
    """Fills one more mask of each beam, with the top tokens that `found` has for its empty masks; keeps the best."""
    extended: list[tuple[float, _Beam, int, int]] = []
    for beam in beams:
        scored = [(mask, *next(found)) for mask in beam.list_empty(window, method)]
        mask, log_probs, token_ids = max(scored, key=lambda one: one[1][0])
        scores = (beam.score + log_probs[:size].astype(np.float64)).tolist()
        extended += ((score, beam, mask, i) for score, i in zip(scores, token_ids[:size].tolist(), strict=True))
    kept: dict[frozenset[tuple[int, int]], _Beam] = {}  # the same tokens may be reached in several orders
    for score, beam, mask, token_id in sorted(extended, key=lambda one: -one[0]):
        tokens = beam.tokens | {mask: token_id}
        kept.setdefault(frozenset(tokens.items()), _Beam(score, tokens))
        if len(kept) == size:
            break
    return list(kept.values())


def _make_filling(text: MaskedText, beam: _Beam, speller: Speller) -> Filling:
    (window,) = text.windows
    tokens = [beam.tokens[mask] for mask in window.masks]
    ids, filled = window.ids.tolist(), text.text
    for position, span, token_id in reversed(list(zip(window.positions, text.spans, tokens, strict=True))):
        ids[position] = token_id
        filled = speller.fill_span(filled, span, token_id)
    return Filling(
        score=beam.score,
        tokens=tokens,
        token_strs=[speller.spell(token_id) for token_id in tokens],
        text=filled,
        sequence=speller.decode(ids),
    )
