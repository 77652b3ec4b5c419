"""Documents cut into blocks, which are sampled, masked, mixed and packed."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from datasets import Dataset

from lit_mlm.data.base import require_at_least
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.masks import MaskedDataModule
from lit_mlm.data.masked.mixture import Mixture, find_sources
from lit_mlm.data.masked.samples import sample_apart, sample_blocks
from lit_mlm.data.packed import find_pack_length, pack_examples
from lit_mlm.data.reading.documents import count_documents, map_sources
from lit_mlm.data.reading.text_cache import TEXTS, store_lines
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import BlockTable, DropTail, IntArray, cut_blocks, join_tables
from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id, find_special_tokens

BlockPolicy = Literal["concatenate", "document", "line"]


class CutDocumentsDataModule(MaskedDataModule):
    """Cuts documents into blocks; how results tell of them `BlocksDataModule` says.

    Args:
        block_size: tokens in a block, special tokens included; by default the longest that the model takes.
        block_policy: ``concatenate`` joins all documents and cuts the whole; ``document`` cuts each by itself; ``line``
            each line of each document, empty ones left out.
        map_batch_size: has ``stream`` cut each this many documents by themselves, as recipes do that cut within
            `Dataset.map`, in batches of 1,000.
        drop_tail: leaves out blocks that are not full; ``unless_alone`` keeps one that is the only one of what is cut
            by itself.
        truncate: keeps only the first block of each document or line.
        num_train_blocks: trains on a random sample of this many blocks.
        num_val_blocks: validates on a random sample of this many blocks.
        num_test_blocks: tests on a random sample of this many blocks.
        val_source: what validation blocks are of: ``documents`` of their own, or ``train_blocks``, the blocks of the
            training text that are not trained on, as in the Hugging Face course: parts of the same documents then
            stand on both sides.
        pack_length: packs blocks into rows of this many tokens, in which each attends to itself alone; `batch_size`
            counts rows. It needs the policy ``document`` or ``line``.
    """

    source_weights: Mapping[str, float] = {}
    """The weight in training of each source of the training text, by its name, where documents have the column
    `lit_mlm.data.reading.documents.SOURCE`."""

    def __init__(
        self,
        block_size: int | None = None,
        block_policy: BlockPolicy = "concatenate",
        map_batch_size: int | None = None,
        drop_tail: DropTail = False,
        truncate: bool = False,
        num_train_blocks: int | None = None,
        num_val_blocks: int | None = None,
        num_test_blocks: int | None = None,
        val_source: Literal["documents", "train_blocks"] = "documents",
        pack_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, block_size=block_size, map_batch_size=map_batch_size, pack_length=pack_length)
        if map_batch_size is not None and block_policy != "concatenate":
            raise InputError(f"data.map_batch_size {map_batch_size} has no effect on data.block_policy {block_policy}")
        if truncate and block_policy == "concatenate":
            raise InputError("data.truncate needs data.block_policy document or line: else there is no block to keep")
        if val_source == "train_blocks" and block_policy == "line":
            raise InputError("data.val_source train_blocks needs data.block_policy concatenate or document, not line")
        if val_source == "train_blocks" and num_val_blocks is None:
            raise InputError("data.val_source train_blocks needs data.num_val_blocks: how many not to train on")
        if pack_length is not None and block_policy == "concatenate":
            raise InputError(
                f"data.pack_length {pack_length} needs data.block_policy document or line: the blocks of "
                "concatenated documents are full, so there is nothing to pack"
            )
        self.save_hyperparameters(logger=False)
        self._num_documents: dict[str, list[int]] = {}

    def _load_tokenizer(self, iterate_train_texts: Callable[[], Iterator[str]], text_hash: str) -> None:
        """Checks the tokenizer and the block size before hours of text are tokenised for them."""
        super()._load_tokenizer(iterate_train_texts, text_hash)
        if self.tokenizer.mask_token_id is None:
            raise InputError(
                f"the tokenizer {self.tokenizer.name_or_path} has no mask token, which masks are made of; take the "
                "tokenizer of a masked language model, or have one trained with data.vocab_size"
            )
        self._find_room()
        find_pack_length(self.hparams, self._model)

    def _make_splits(self, stage: str) -> None:
        splits = self._find_splits(stage)
        tables = {source: self._cut(source) for source in map(self._get_source, splits)}
        self.examples |= {split: self._make_examples(split, tables[self._get_source(split)]) for split in splits}
        sources = self._find_sources() if self.source_weights and "train" in splits else None
        if self.pack_length is not None:
            for split in splits:
                groups = sources if split == "train" else None
                self.packed[split] = pack_examples(
                    self.examples[split], self.pack_length, ("block", "data.block_size"), groups
                )
            sources = None if sources is None else sources[self.packed["train"].find_firsts()]
        if sources is not None:
            self.mixture = Mixture(self.source_weights, sources, "block" if self.pack_length is None else "row")

    def _find_sources(self) -> IntArray:
        """The source of each training example."""
        examples, lengths = self.examples["train"], self._streams["train"].document_lengths
        return find_sources(examples.table.starts, lengths, self._num_documents["train"])[examples.chosen]

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens."""
        return max(examples.sequence_length for examples in self.examples.values())

    @property
    def pack_length(self) -> int | None:
        """Tokens of the rows that blocks are packed into; None if they aren't."""
        return find_pack_length(self.hparams, self._model)

    @property
    def order_options(self) -> dict[str, Any]:
        """Adds the length of packed rows, as these are what batches are made of."""
        return super().order_options | {"pack_length": self.hparams["pack_length"]}

    def _read_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        documents = super()._read_documents(splits)
        if self.hparams["block_policy"] == "line":
            store = partial(store_lines, folder=self._cache_dir / TEXTS)
            documents = {split: map_sources(store, texts) for split, texts in documents.items()}
        self._num_documents |= {split: count_documents(texts) for split, texts in documents.items()}
        return documents

    def _cut(self, split: str) -> BlockTable:
        options, stream, size = self.hparams, self._streams[split], self._find_room()
        group_size = options["map_batch_size"] if options["block_policy"] == "concatenate" else 1
        parts = np.split(stream.document_lengths, np.cumsum(self._num_documents[split])[:-1])
        cut = partial(cut_blocks, drop_tail=options["drop_tail"], truncate=options["truncate"])
        table = join_tables([cut(lengths, size, group_size) for lengths in parts])
        if len(table) == 0:
            raise InputError(
                f"the {split} split has no blocks: {len(stream.document_lengths)} documents, {len(stream.ids)} tokens, "
                f"data.block_size {self._block_size}, data.drop_tail {options['drop_tail']}; give more text or a "
                "smaller block size"
            )
        return table

    def _find_room(self) -> int:
        """Tokens of text in a block."""
        size = self._block_size - len(self._around)
        if size < 1:
            raise InputError(
                f"data.block_size {self._block_size} leaves no room beside {len(self._around)} special tokens"
            )
        return size

    def _make_examples(self, split: str, table: BlockTable) -> MaskedBlocks:
        stream = self._streams[self._get_source(split)]
        return MaskedBlocks(
            stream=stream.ids,
            table=table,
            chosen=self._choose_blocks(split, len(table)),
            around=self._around,
            masking=self._make_masking(),
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")) if split == "train" else self.hparams["eval_seed"],
            pad_id=find_pad_id(self.tokenizer),
            word_starts=stream.word_starts,
            schedule=self.schedule if split == "train" else None,
        )

    def _choose_blocks(self, split: str, num_blocks: int) -> IntArray:
        wanted, seed = self.hparams[f"num_{split}_blocks"], self.hparams["split_seed"]
        if self.hparams["val_source"] == "documents" or split == "test":
            return sample_blocks(num_blocks, split, wanted, seed)
        return sample_apart(num_blocks, split, self.hparams["num_train_blocks"], self.hparams["num_val_blocks"], seed)

    def _get_source(self, split: str) -> str:
        return "train" if split == "val" and self.hparams["val_source"] == "train_blocks" else split

    @property
    def _around(self) -> SpecialTokens:
        around = find_special_tokens(self.tokenizer)
        return around if self.hparams["special_tokens"] == "block" else SpecialTokens([], [])

    @property
    def _block_size(self) -> int:
        limit = self._model.max_length if self._model else None
        typed: int | None = self.hparams["block_size"]
        if typed is None and limit is None:
            raise InputError("data.block_size must be given: the model sets no limit of its own")
        if typed is not None and limit is not None and typed > limit:
            raise InputError(f"data.block_size is {typed}, but the model takes at most {limit} tokens")
        return limit if typed is None else typed  # type: ignore[return-value]
