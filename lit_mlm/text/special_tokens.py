"""The special tokens of a sequence, and sequences as padded rows.

Shapes: B sequences, T tokens.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from lit_mlm.text.arrays import IntArray


@dataclass(frozen=True)
class SpecialTokens:
    """The ids that a tokenizer adds to a sequence.

    Attributes:
        prefix: ids before the text, such as that of ``[CLS]``.
        suffix: ids after the text, such as that of ``[SEP]``.
    """

    prefix: list[int]
    suffix: list[int]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


def find_special_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """Finds the special tokens of a tokenizer by encoding a text with and without them."""
    bare: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    full: list[int] = tokenizer("a")["input_ids"]
    num_added = len(full) - len(bare)
    num_before = next(i for i in range(num_added + 1) if full[i : i + len(bare)] == bare)
    return SpecialTokens(full[:num_before], full[num_before + len(bare) :])


def find_separator(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Finds the special tokens between the two texts of a pair, by encoding one."""
    bare: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    full: list[int] = tokenizer("a", "a")["input_ids"]
    special = find_special_tokens(tokenizer)
    return full[len(special.prefix) + len(bare) : len(full) - len(special.suffix) - len(bare)]


def find_second_type(tokenizer: PreTrainedTokenizerBase) -> int:
    """Finds the token type of the second text of a pair; 0 for a tokenizer that does not give types."""
    if "token_type_ids" not in tokenizer.model_input_names:
        return 0
    return int(tokenizer("a", "a", return_token_type_ids=True)["token_type_ids"][-1])


def find_pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns an id for padding: the pad, eos or mask token, or 0. The model never reads it."""
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id, 0)
    return next(int(token_id) for token_id in ids if token_id is not None)


class Rows(NamedTuple):
    """Slices of a stream as padded rows.

    Attributes:
        ids: token ids, arbitrary on padding, shape (B, T) int64.
        is_token: False on padding, shape (B, T).
        is_text: False on padding and special tokens, shape (B, T).
        places: where each token of text is in the stream, arbitrary elsewhere but within it, shape (B, T).
    """

    ids: IntArray
    is_token: npt.NDArray[np.bool_]
    is_text: npt.NDArray[np.bool_]
    places: IntArray


def lay_out(
    stream: npt.NDArray[np.integer[Any]], starts: IntArray, ends: IntArray, special_tokens: SpecialTokens
) -> Rows:
    """Reads slices of a stream as rows with special tokens, padded on the right to the longest.

    Args:
        stream: token ids, shape (num_tokens,).
        starts: where each slice starts, shape (B,).
        ends: one past where each slice ends, shape (B,).
        special_tokens: put around each slice.

    Examples:
        >>> rows = lay_out(np.arange(9), np.array([0, 4]), np.array([3, 5]), SpecialTokens([101], [102]))
        >>> np.where(rows.is_token, rows.ids, 0).tolist()
        [[101, 0, 1, 2, 102], [101, 4, 102, 0, 0]]
    """
    lengths, num_before = ends - starts, len(special_tokens.prefix)
    columns = np.arange(int(lengths.max(initial=0)) + len(special_tokens)) - num_before
    is_text = columns < lengths[:, None]
    places = np.clip(starts[:, None] + columns, 0, len(stream) - 1)
    ids = stream.take(places).astype(np.int64)
    if not len(special_tokens):
        return Rows(ids, is_text, is_text, places)
    is_text &= columns >= 0
    ids[:, :num_before] = special_tokens.prefix
    for i, token_id in enumerate(special_tokens.suffix):
        ids[np.arange(len(ids)), num_before + lengths + i] = token_id
    return Rows(ids, columns < (lengths + len(special_tokens.suffix))[:, None], is_text, places)
