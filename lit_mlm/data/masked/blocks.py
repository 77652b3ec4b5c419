"""Documents cut into blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.options import Count
from lit_mlm.text.blocks import BlockTable, DropTail, IntArray, cut_blocks, join_tables
from lit_mlm.text.special_tokens import SpecialTokens, find_special_tokens

BlockPolicy = Literal["concatenate", "document", "line"]


@dataclass(frozen=True)
class BlockOptions:
    """The options of `BlocksDataModule` that say where blocks begin and end; those of the same names.

    Each field is part of the data's fingerprint.
    """

    block_size: Count | None = None
    block_policy: BlockPolicy = "concatenate"
    map_batch_size: Count | None = None
    drop_tail: DropTail = False
    truncate: bool = False
    special_tokens: Literal["document", "block"] = "document"

    def __post_init__(self) -> None:
        """Refuses options that don't fit together."""
        if self.block_policy != "concatenate":
            if self.map_batch_size is not None:
                raise InputError(
                    f"data.map_batch_size {self.map_batch_size} has no effect on data.block_policy {self.block_policy}"
                )
        elif self.truncate:
            raise InputError("data.truncate needs data.block_policy document or line: else there is no block to keep")

    def fit(self, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> "BlockCutter":
        """What cuts blocks for a model.

        Args:
            tokenizer: of the model.
            max_length: tokens that the model takes, the block size by default; None without a limit.

        Raises:
            InputError: if the model takes fewer tokens, or there is no room for text beside the special tokens.
        """
        size = self.block_size
        if size is None and max_length is None:
            raise InputError("data.block_size must be given: the model sets no limit of its own")
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
    """Cuts blocks for a model.

    Attributes:
        options: with a block size.
        special_tokens: put around each block.
    """

    options: BlockOptions
    special_tokens: SpecialTokens

    @property
    def block_size(self) -> int:
        """Tokens in a full block, special tokens included."""
        return self.options.block_size or 0

    @property
    def num_text_tokens(self) -> int:
        """Tokens of text in a full block."""
        return self.block_size - len(self.special_tokens)

    @property
    def per_document(self) -> bool:
        """Whether the tokenizer puts special tokens around each document."""
        return self.options.special_tokens == "document"

    def cut(self, document_lengths: IntArray, num_documents: Sequence[int]) -> BlockTable:
        """The blocks of documents.

        Args:
            document_lengths: tokens of each, source after source, shape (num_documents,).
            num_documents: how many of them each source has: no block holds text of two.
        """
        options = self.options
        group_size = options.map_batch_size if options.block_policy == "concatenate" else 1
        parts = np.split(document_lengths, np.cumsum(num_documents)[:-1])
        return join_tables(
            [cut_blocks(part, self.num_text_tokens, group_size, options.drop_tail, options.truncate) for part in parts]
        )
