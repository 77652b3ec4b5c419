"""Writes tokens in place of masks: in the text as it was typed, and in the decoded one."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_mlm.inference.masked_texts import Span, Window

WORD_MARKS = ("\u0120", "\u2581")
"""How tokens begin that open a word in byte-level BPE and SentencePiece."""

CONTINUATION = "##"
"""How tokens begin that continue a word in WordPiece."""


class _Token(NamedTuple):
    """How a token is written: `text` as decoded, whether it follows a space, or whether it joins the word before it."""

    text: str
    opens_word: bool
    joins: bool


class Speller:
    """Spells tokens and filled texts; each token is decoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._tokens: dict[int, _Token] = {}
        self._mask_id, self._pad_id = tokenizer.mask_token_id, tokenizer.pad_token_id
        # A mask token that strips the space before it replaces a token with a space.
        self._mask_takes_space = bool(tokenizer.added_tokens_decoder[self._mask_id].lstrip)

    def _look_up(self, token_id: int) -> _Token:
        if token_id not in self._tokens:
            token, text = str(self.tokenizer.convert_ids_to_tokens(token_id)), str(self.tokenizer.decode([token_id]))
            opens_word = token.startswith(WORD_MARKS) or text[:1].isspace()
            joins = token.startswith(CONTINUATION) or (self._mask_takes_space and not opens_word)
            self._tokens[token_id] = _Token(text, opens_word, joins)
        return self._tokens[token_id]

    def spell(self, token_id: int) -> str:
        """Returns the text of a token by itself."""
        return self._look_up(token_id).text

    def fill_span(self, text: str, span: Span, token_id: int) -> str:
        """Returns a text with a mask filled; a token that continues a word joins the one before it."""
        before, after = text[: span[0]], text[span[1] :]
        token = self._look_up(token_id)
        if token.joins:
            return before.rstrip() + token.text.removeprefix(CONTINUATION) + after
        space = " " if token.opens_word and before and not before[-1].isspace() else ""
        return before + space + token.text.strip() + after

    def decode_filled(self, window: Window, position: int, token_ids: Sequence[int]) -> str:
        """Decodes a window with tokens in place of its mask at `position`."""
        ids = window.ids.tolist()
        # As in the pipeline: skipping special tokens would drop the other masks.
        is_only = ids.count(self._mask_id) == 1
        ids[position : position + 1] = token_ids
        return self.decode(ids, skip_special_tokens=is_only)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Decodes a sequence without its padding tokens."""
        ids = [token_id for token_id in ids if token_id != self._pad_id]
        return str(self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))
