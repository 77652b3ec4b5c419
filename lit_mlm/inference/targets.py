"""Scores given words in place of masks, words of several tokens by their exact chain.

Shapes: N scored positions of a batch, V vocabulary.
"""

import string
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict, get_args

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError, refuse_text
from lit_mlm.inference.filled_texts import CONTINUATION, WORD_MARKS, Speller
from lit_mlm.inference.masked_rows import MaskedRow, compute_log_normalizer, iterate_logits
from lit_mlm.inference.masked_texts import MaskedText, Span, TextEncoder, Window, map_texts
from lit_mlm.text.arrays import FloatArray
from lit_mlm.text.surrogates import replace_surrogates

Normalize = Literal["none", "tokens", "candidates"]
"""The score of a target: its probability, the geometric mean of its tokens', or its share among the targets."""


TOKENS_AT_A_TIME = 2**14
"""Tokens of targets whose rows exist at once; those of a place always do."""


class ScoredTarget(TypedDict):
    """A target in place of a mask.

    `score` is a probability, normalised as asked, `target` the word as given, `tokens` and `token_strs` the ids and
    texts of its tokens; `sequence` and `text` are those of a `Candidate`.
    """

    score: float
    target: str
    tokens: list[int]
    token_strs: list[str]
    sequence: str
    text: str


class _Place(NamedTuple):
    """A mask of a text: its number, its window and its position there, and the tokens of each target in its place."""

    text: MaskedText
    mask: int
    window: Window
    position: int
    targets: list[list[int]]

    def make_row(self, ids: list[int], num_filled: int) -> MaskedRow:
        """A row with as many masks as a target has tokens, of which the first are filled; scores the next one."""
        before, after = self.window.ids[: self.position], self.window.ids[self.position + 1 :]
        masks = range(self.position + num_filled, self.position + len(ids))
        return MaskedRow(np.concatenate([before, ids, after]), masks[:1], masks)


class TargetEncoder:
    """Encodes words as they are tokenised at the place of a mask, each once for each kind of place."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, targets: Sequence[str], max_tokens: int) -> None:
        refuse_text("targets", targets)
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self.targets = list(dict.fromkeys(targets))
        if not self.targets:
            raise InputError("targets must have at least one word, got none")
        vocabulary = tokenizer.get_vocab()
        self.marked = {
            target: vocabulary[target]
            for target in self.targets
            if target in vocabulary and target.startswith((CONTINUATION, *WORD_MARKS))
        }
        """Targets that are tokens of the vocabulary with their mark, such as ``##ing``."""
        self._known: dict[str, list[list[int]]] = {}

    def encode(self, text: str, span: Span) -> list[list[int]]:
        """Returns the tokens of each target in place of the mask at `span`."""
        before = text[: span[0]][-1:]  # what decides about the first token
        kind = " " if before.isspace() else before
        if kind not in self._known:
            self._known[kind] = [self._encode_behind(kind, target) for target in self.targets]
        return self._known[kind]

    def _encode_behind(self, before: str, target: str) -> list[int]:
        if target in self.marked:
            return [self.marked[target]]
        ids = self._continue(before, target)
        if not ids or (self.tokenizer.unk_token_id in ids and target != self.tokenizer.unk_token):
            raise InputError(f"the tokenizer has no tokens for the target {target!r}")
        if self.tokenizer.mask_token_id in ids:
            raise InputError(f"the target {target!r:.80} has a mask; give words as targets, and texts apart from them")
        if len(ids) > self.max_tokens:
            raise InputError(f"the target {target!r:.80} has {len(ids)} tokens, but a window has {self.max_tokens}")
        return ids

    def _continue(self, before: str, target: str) -> list[int]:
        """Returns the tokens that a word adds to what is before it: a space, another character, or nothing."""
        # A letter stands for the word before a space, and for a character that makes one token with the target.
        anchors = string.ascii_lowercase if before == " " else before + string.ascii_lowercase
        for anchor in anchors if before else ():
            context = self._tokenize(anchor)
            ids = self._tokenize(f"{anchor}{' ' if before == ' ' else ''}{target}")
            if context and ids[: len(context)] == context:
                return ids[len(context) :]
        return self._tokenize(target)

    def _tokenize(self, text: str) -> list[int]:
        return list(self.tokenizer(replace_surrogates(text), add_special_tokens=False, verbose=False)["input_ids"])


def score_targets(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    targets: Sequence[str],
    top_k: int | None = None,
    normalize: Normalize = "none",
) -> list[list[list[ScoredTarget]]]:
    """Scores targets in place of each mask of each text, best first; the arguments are those of `fill_masks`."""
    if normalize not in get_args(Normalize):
        raise InputError(f"normalize must be one of {', '.join(get_args(Normalize))}, got {normalize!r}")
    encoder = TextEncoder(net, tokenizer)
    words = TargetEncoder(tokenizer, targets, encoder.size)

    def encode(text: str) -> list[_Place]:
        tokens = [words.encode(text, span) for span in encoder.find_masks(text)]
        longest = max(len(ids) for found in tokens for ids in found)
        masked = encoder.encode(text, num_reserved=longest - 1)
        return [
            _Place(masked, mask, window, position, tokens[mask])
            for window in masked.windows
            for mask, position in zip(window.masks, window.positions, strict=True)
        ]

    places = map_texts(encode, texts)
    sums = _iterate_sums(net, tokenizer, [place for found in places for place in found])
    speller = Speller(tokenizer)
    return [[_rank(place, next(sums), words, normalize, speller, top_k) for place in found] for found in places]


def _iterate_sums(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, places: Sequence[_Place]
) -> Iterator[FloatArray]:
    """Yields the sums of each place, with the rows of only some places in memory."""
    first = num_tokens = 0
    for number, place in enumerate(places):
        more = sum(map(len, place.targets))
        if number > first and num_tokens + more > TOKENS_AT_A_TIME:
            yield from sum_log_probs(net, tokenizer, places[first:number])
            first, num_tokens = number, 0
        num_tokens += more
    yield from sum_log_probs(net, tokenizer, places[first:])


def sum_log_probs(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, places: Sequence[_Place]) -> FloatArray:
    """Returns the log-probability of each target at each place, summed over its tokens, shape (places, targets).

    The place has as many masks as the target has tokens; a token is scored in sight of those before it, while those
    after it in the word are masks (Kauf and Ivanova 2023, "A Better Way to Do Masked Language Model Scoring", the
    within-word left-to-right score). Targets of equal lengths share the rows of equal beginnings.
    """
    rows: list[MaskedRow] = []
    steps: list[list[tuple[int, int, int]]] = []  # of each row: token, place and target
    for p, place in enumerate(places):
        known: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
        for t, ids in enumerate(place.targets):
            for i, token_id in enumerate(ids):
                key = (len(ids), *ids[:i])
                if key not in known:
                    rows.append(place.make_row(ids, i))
                    steps.append(known.setdefault(key, []))
                known[key].append((token_id, p, t))
    sums = np.zeros((len(places), max((len(place.targets) for place in places), default=0)))
    for numbers, logits in iterate_logits(net, tokenizer, rows):
        normalizer = compute_log_normalizer(logits)
        found = np.array([(i, *step) for i, row in enumerate(numbers.tolist()) for step in steps[row]])
        scored, token_ids = torch.from_numpy(found[:, :2]).T
        log_probs = (logits[scored, token_ids] - normalizer[scored]).double().cpu().numpy()
        np.add.at(sums, (found[:, 2], found[:, 3]), log_probs)
    return sums


def _rank(
    place: _Place, sums: FloatArray, words: TargetEncoder, normalize: Normalize, speller: Speller, top_k: int | None
) -> list[ScoredTarget]:
    """Ranks the targets of a place by their normalised probabilities, and returns the best."""
    text, span = place.text.text, place.text.spans[place.mask]
    if normalize == "tokens":
        sums = sums / [len(ids) for ids in place.targets]
    if normalize == "candidates":  # words of the same tokens, as in upper case, are one
        sums = sums - np.logaddexp.reduce([*dict(zip(map(tuple, place.targets), sums, strict=True)).values()])
    scores = np.exp(sums)
    return [
        ScoredTarget(
            score=float(scores[i]),
            target=words.targets[i],
            tokens=place.targets[i],
            token_strs=[speller.spell(token_id) for token_id in place.targets[i]],
            sequence=speller.decode_filled(place.window, place.position, place.targets[i]),
            text=(
                speller.fill_span(text, span, place.targets[i][0])
                if words.targets[i] in words.marked
                else text[: span[0]] + words.targets[i] + text[span[1] :]
            ),
        )
        for i in np.argsort(-scores, kind="stable")[:top_k]
    ]
