"""The base of data modules for masked language modelling: documents in, masked blocks out."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from datasets import Dataset

from lit_mlm.data.base import require_at_least
from lit_mlm.data.document_inspection import LEGEND, describe_document
from lit_mlm.data.documents import TEXT
from lit_mlm.data.joined_documents import count_documents, map_sources
from lit_mlm.data.masked import MaskedDataModule
from lit_mlm.data.masked_blocks import MaskedBlocks
from lit_mlm.data.mixture import Mixture, find_sources
from lit_mlm.data.packed import describe_packing, find_pack_length, find_padding, pack_examples
from lit_mlm.data.samples import sample_apart, sample_blocks
from lit_mlm.data.shown import choose_examples
from lit_mlm.data.text_cache import TEXTS, store_lines
from lit_mlm.errors import InputError
from lit_mlm.pretrained import hash_tokenizer
from lit_mlm.text.blocks import BlockTable, DropTail, IntArray, cut_blocks, find_shared_documents, join_tables
from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id, find_special_tokens

BlockPolicy = Literal["stream", "document", "line"]

SHAPING_OPTIONS = (
    *("block_policy", "map_batch_size", "drop_tail", "truncate", "special_tokens"),
    *("num_train_blocks", "num_val_blocks", "num_test_blocks", "val_source"),
    "split_seed",
)
"""The options, beside texts, tokenizer, block size and those of masks, that decide what the examples are."""


class BlocksDataModule(MaskedDataModule):
    """Cuts documents into blocks and masks these.

    A new data set is a subclass with one method, `load_documents`.

    Args:
        block_size: tokens in a block, special tokens included; by default the longest that the model takes.
        block_policy: ``stream`` joins all documents and cuts the whole; ``document`` cuts each by itself; ``line``
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
    `lit_mlm.data.joined_documents.SOURCE`."""

    def __init__(
        self,
        block_size: int | None = None,
        block_policy: BlockPolicy = "stream",
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
        if map_batch_size is not None and block_policy != "stream":
            raise InputError(f"data.map_batch_size {map_batch_size} has no effect on data.block_policy {block_policy}")
        if truncate and block_policy == "stream":
            raise InputError("data.truncate needs data.block_policy document or line: a stream is not to be truncated")
        if val_source == "train_blocks" and block_policy == "line":
            raise InputError("data.val_source train_blocks needs data.block_policy stream or document, not line")
        if val_source == "train_blocks" and num_val_blocks is None:
            raise InputError("data.val_source train_blocks needs data.num_val_blocks: how many not to train on")
        if pack_length is not None and block_policy == "stream":
            raise InputError(
                f"data.pack_length {pack_length} needs data.block_policy document or line: the blocks of a stream are "
                "full, so there is nothing to pack"
            )
        self.save_hyperparameters(logger=False)
        self._mask_fingerprints: dict[tuple[str, range], str] = {}
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

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and every option that shapes the examples, of all splits in use."""
        return self._fingerprint(sorted(self.examples))

    def _fingerprint(self, splits: Collection[str]) -> str:
        options = {name: self.hparams[name] for name in SHAPING_OPTIONS} | {"block_size": self._block_size}
        options |= self._list_masking_options()
        hashes = {split: self._text_hashes[self._get_source(split)] for split in splits}
        parts: list[Any] = [hashes, hash_tokenizer(self.tokenizer), options]
        counts = {split: self._num_documents[self._get_source(split)] for split in splits}
        mixed = {split: num_documents for split, num_documents in counts.items() if len(num_documents) > 1}
        parts += [mixed] if mixed else []  # where blocks end
        parts += [list(self.source_weights.items())] if self.source_weights and "train" in splits else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def describe(self) -> str:
        """The number of blocks of each split, how they were cut, and what a recipe's policies cost."""
        counts = " / ".join(f"{len(examples):,} {split}" for split, examples in self.examples.items())
        parts = [f"{counts} blocks of {self._block_size} ({self.hparams['block_policy']})"]
        for split, examples in self.examples.items():
            if examples.table.num_dropped_tokens and self._get_source(split) == split:
                parts.append(f"{examples.table.num_dropped_tokens:,} tokens of {split} dropped")
        parts += [str(self.mixture)] if self.mixture is not None and "train" in self.examples else []
        for split, packed in list(self.packed.items())[:1]:
            unpacked = find_padding(packed.examples.lengths, self._get_batch_size(split == "train"))
            parts.append(describe_packing(packed.rows, unpacked))
        if "train" in self.examples:
            parts += self._describe_small(len(self._get_dealt("train", self.examples["train"])))
        num_shared = self._count_shared("val") if "val" in self.examples else 0
        if num_shared:
            parts.append(f"{num_shared:,} val blocks share a document with training")
        if self.masking.needs_words:
            parts.append(f"masked by {type(self.masking).__name__}")
        if self.schedule is not None:
            parts.append(f"mask_prob in training {self.schedule}")
        if self.vocabulary.get("facts"):
            parts.append(self.describe_vocabulary())
        return ", ".join(parts)

    def describe_examples(
        self,
        split: str,
        indices: Sequence[int] | None = None,
        num_examples: int | None = None,
        num_blocks: int | None = None,
    ) -> Iterator[str]:
        """Documents, their lengths, the borders of their blocks, and these as the first epoch or evaluation masks them.

        Raises:
            InputError: if there are no such documents, or `num_blocks` is negative.
        """
        if num_blocks is not None and num_blocks < 0:
            raise InputError(f"--num_blocks must be at least 0, got {num_blocks}")
        lengths, documents = self.get_document_lengths(split), self.read_documents(split)
        chosen = choose_examples(split, "documents", len(documents), indices, num_examples)
        yield f"{split}: {len(documents):,} documents, {int(lengths.sum()):,} tokens; {self.describe()}"
        yield LEGEND
        for number, text in zip(chosen, documents.select(chosen)[TEXT], strict=True):
            yield ""
            place = (self.examples[split], lengths, number)
            num = 2 if num_blocks is None else num_blocks
            yield from describe_document(self.tokenizer, *place, text, num, self.compared)

    def facts(self, split: str) -> dict[str, float | int | str]:
        """Adds the masks and the blocks of a split."""
        examples, draws = self.examples[split], self._get_draws()
        if (split, draws) not in self._mask_fingerprints:
            self._mask_fingerprints[split, draws] = examples.fingerprint_masks(draws)
        rows = self.packed[split].rows if split in self.packed else None
        packing = {} if rows is None else {"num_rows": len(rows), "padding_fraction": rows.padding_fraction}
        return super().facts(split) | {
            "data_fingerprint": self._fingerprint([split]),
            "mask_fingerprint": self._mask_fingerprints[split, draws],
            "masking": str(self.masking),
            "num_blocks": len(examples),
            "num_blocks_shared_with_train": self._count_shared(split),
            "num_dropped_tokens": examples.table.num_dropped_tokens,
            "block_size": self._block_size,
            "block_policy": self.hparams["block_policy"],
            **packing,
        }

    def _read_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        documents = super()._read_documents(splits)
        if self.hparams["block_policy"] == "line":
            store = partial(store_lines, folder=self._cache_dir / TEXTS)
            documents = {split: map_sources(store, texts) for split, texts in documents.items()}
        self._num_documents |= {split: count_documents(texts) for split, texts in documents.items()}
        return documents

    def _cut(self, split: str) -> BlockTable:
        options, stream, size = self.hparams, self._streams[split], self._find_room()
        group_size = options["map_batch_size"] if options["block_policy"] == "stream" else 1
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

    def _count_shared(self, split: str) -> int:
        """How many examples of a split share a document with training: none, unless they are blocks of its text."""
        if split != "val" or self.hparams["val_source"] == "documents":
            return 0
        table, lengths = self.examples["val"].table, self._streams["train"].document_lengths
        trained_on = self._choose_blocks("train", len(table))
        return len(find_shared_documents(lengths, table, self.examples["val"].chosen, trained_on))

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
