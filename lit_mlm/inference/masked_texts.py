"""Texts with masks as token ids: whole, or in windows around their masks if they are longer than a net takes.

Shapes: T tokens of a window, M masks of a text.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError, refuse_text
from lit_mlm.nets import pretrained
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.text.surrogates import replace_surrogates

MASK_NOTATION = re.compile(r"\[MASK\]|<mask>", re.IGNORECASE)
"""Masks that a user may type, beside the tokenizer's own."""

CHARACTERS_PER_TOKEN = 16
"""A text with more characters per token of a window is tokenised near its masks only."""

Span = tuple[int, int]
"""Characters of a text, from the first up to but not including the second."""

Out = TypeVar("Out")


class BadTextError(InputError):
    """A text that can't be filled; `index` is its number in the list of texts."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class Window(NamedTuple):
    """Tokens of a text that a net takes at once.

    Attributes:
        ids: with special tokens, shape (T,).
        masks: numbers of the masks to fill among those of the text.
        positions: of these masks in `ids`.
    """

    ids: IntArray
    masks: Sequence[int]
    positions: list[int]


class MaskedText(NamedTuple):
    """A text, its M masks as spans, and the windows in which they are filled, in their order."""

    text: str
    spans: list[Span]
    windows: list[Window]


class TextEncoder:
    """Encodes texts with masks for a net.

    A text that the net takes whole is one window. Otherwise each mask has its own window, with as many tokens on both
    sides where the text has them; masks that are filled jointly share one.
    """

    def __init__(self, net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.notation = re.compile(f"{MASK_NOTATION.pattern}|{re.escape(tokenizer.mask_token)}", re.IGNORECASE)
        self.special = find_special_tokens(tokenizer)
        limit = pretrained.get_max_length(net)
        self.size = sys.maxsize if limit is None else limit - len(self.special)
        """Tokens of a window without the special ones."""

    def find_masks(self, text: str) -> list[Span]:
        """Finds the masks of a text, of which there must be one."""
        spans = [match.span() for match in self.notation.finditer(text)]
        if not spans:
            raise InputError(f"the text has no mask; write [MASK] or <mask> where a word is missing: {text!r:.80}")
        return spans

    def encode(self, text: str, jointly: bool = False, num_reserved: int = 0) -> MaskedText:
        """Encodes a text; `num_reserved` tokens of each window are left free."""
        spans, size = self.find_masks(text), self.size - num_reserved
        groups = [range(len(spans))] if jointly else [range(i, i + 1) for i in range(len(spans))]
        if len(text) > CHARACTERS_PER_TOKEN * size:
            windows = [self._cut(*self._encode_near(text, spans, group, size), group, size) for group in groups]
            return MaskedText(text, spans, windows)
        ids, positions = self._encode_slice(text)
        if len(ids) <= size:
            groups = [range(len(spans))]
        return MaskedText(text, spans, [self._cut(ids, [positions[i] for i in group], group, size) for group in groups])

    def _encode_slice(self, text: str) -> tuple[IntArray, list[int]]:
        """Returns the tokens of a text without special tokens, shape (T,), and the positions of its masks."""
        masked, number = self.notation.subn(lambda _: str(self.tokenizer.mask_token), replace_surrogates(text))
        ids = np.array(self.tokenizer(masked, verbose=False)["input_ids"], np.int64)
        ids = ids[len(self.special.prefix) : len(ids) - len(self.special.suffix)]
        positions = np.flatnonzero(ids == self.tokenizer.mask_token_id).tolist()
        if len(positions) != number:  # some tokenizers read a mask within a word as letters
            raise InputError(
                f"the tokenizer reads {len(positions)} masks where the text has {number}; put spaces around them: "
                f"{text!r:.80}"
            )
        return ids, positions

    def _encode_near(self, text: str, spans: list[Span], group: range, size: int) -> tuple[IntArray, list[int]]:
        """Encodes a slice of a long text with more than `size` tokens on both sides of masks, if it has them."""
        margin = CHARACTERS_PER_TOKEN * size // 2
        while True:
            start = _find_space(text, spans[group[0]][0] - margin, -1)
            end = _find_space(text, spans[group[-1]][1] + margin, 1)
            ids, positions = self._encode_slice(text[start:end])
            first = sum(start <= span[0] for span in spans[: group[0]])
            positions = positions[first : first + len(group)]
            is_short = (start > 0 and positions[0] <= size) or (end < len(text) and len(ids) - positions[-1] <= size)
            if not is_short:
                return ids, positions
            margin *= 2

    def _cut(self, ids: IntArray, positions: list[int], group: range, size: int) -> Window:
        """Cuts a window of `size` tokens around masks."""
        first, width = positions[0], positions[-1] + 1 - positions[0]
        if width > size:
            raise InputError(
                f"masks {group[0] + 1} to {group[-1] + 1} span {width} tokens, but a window has {size}; masks that are "
                "filled jointly must be in one window"
            )
        start = max(0, min(first - (size - width) // 2, len(ids) - size))
        window = np.concatenate([self.special.prefix, ids[start : start + size], self.special.suffix]).astype(np.int64)
        offset = len(self.special.prefix) - start
        return Window(window, group, [position + offset for position in positions])


def _find_space(text: str, place: int, step: int) -> int:
    """Returns a place in a text where it can be cut: a space within 100 characters outwards, or else `place`."""
    near = range(place, place + 100 * step, step)
    found = next((i for i in near if not 0 < i < len(text) or text[i].isspace()), place)
    return max(0, min(found, len(text)))


def map_texts(function: Callable[[str], Out], texts: Iterable[str]) -> list[Out]:
    """Applies a function to each text; an `InputError` becomes a `BadTextError` that knows the text's index."""
    refuse_text("texts", texts)
    results = []
    for index, text in enumerate(texts):
        try:
            results.append(function(text))
        except InputError as error:
            raise BadTextError(str(error), index) from error
    return results
