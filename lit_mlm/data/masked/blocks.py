"""Cuts documents into blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.blocks import BlockTable, DropTail, cut_blocks, join_tables
from lit_mlm.text.special_tokens import SpecialTokens, find_special_tokens

BlockPolicy = Literal["concatenate", "document", "line"]


@dataclass(frozen=True)
class BlockOptions(DataOptions):
    """Options of `BlocksDataModule` that define the blocks; all are part of the fingerprint."""

    block_size: Count | None = None
    block_policy: BlockPolicy = "concatenate"
    map_batch_size: Count | None = None
    drop_tail: DropTail = False
    truncate: bool = False
    special_tokens: Literal["document", "block"] = "document"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_policy != "concatenate":
            if self.map_batch_size is not None:
                raise InputError(
                    f"data.map_batch_size {self.map_batch_size} has no effect on data.block_policy {self.block_policy}"
                )
        elif self.truncate:
            raise InputError("data.truncate needs data.block_policy document or line: it keeps one block of each")

    def fit(self, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> "BlockCutter":
        """Checks the options against a model and builds its cutter.

        The default block size is `max_length`, the model's maximum in tokens; None is no limit.
        """
        size = self.block_size
        if size is None and max_length is None:
            raise InputError("data.block_size must be given: the model has no maximum length")
        if size is not None and max_length is not None and size > max_length:
            raise InputError(f"data.block_size is {size}, but the model takes at most {max_length} tokens")
        per_block = self.special_tokens == "block"
        special_tokens = find_special_tokens(tokenizer) if per_block else SpecialTokens([], [])
        cutter = BlockCutter(replace(self, block_size=max_length if size is None else size), special_tokens)
        if cutter.num_text_tokens < 1:
            raise InputError(
                f"data.block_size {cutter.block_size} leaves no room beside {len(special_tokens)} special tokens"
            )
        return cutter


@dataclass(frozen=True)
class BlockCutter:
    """Cuts blocks for a model; its options have a block size, and its special tokens are added to each block."""

    options: BlockOptions
    special_tokens: SpecialTokens

    @property
    def block_size(self) -> int:
        """Tokens of a full block, special tokens included."""
        return self.options.block_size or 0

    @property
    def num_text_tokens(self) -> int:
        """Text tokens of a full block."""
        return self.block_size - len(self.special_tokens)

    @property
    def per_document(self) -> bool:
        """Whether the tokenizer adds special tokens to each document."""
        return self.options.special_tokens == "document"

    def cut(self, document_lengths: IntArray, num_documents: Sequence[int]) -> BlockTable:
        """The blocks of documents; no block spans two sources.

        Args:
            document_lengths: tokens of each document, sorted by source, shape (num_documents,).
            num_documents: of each source.
        """
        options = self.options
        group_size = options.map_batch_size if options.block_policy == "concatenate" else 1
        parts = np.split(document_lengths, np.cumsum(num_documents)[:-1])
        return join_tables(
            [cut_blocks(part, self.num_text_tokens, group_size, options.drop_tail, options.truncate) for part in parts]
        )
