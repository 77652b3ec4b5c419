"""The base of data modules for masked language modelling: documents in, masked blocks out."""

import hashlib
import json
from collections.abc import Collection
from typing import Any

from datasets import Dataset

from lit_mlm.data.masked.cutting import CutDocumentsDataModule
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.packed import describe_packing, find_padding
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.text.blocks import IntArray, find_shared_documents

SHAPING_OPTIONS = (
    *("block_policy", "map_batch_size", "drop_tail", "truncate", "special_tokens"),
    *("num_train_blocks", "num_val_blocks", "num_test_blocks", "val_source"),
    "split_seed",
)
"""The options, beside texts, tokenizer, block size and those of masks, that decide what the examples are."""


class BlocksDataModule(CutDocumentsDataModule):
    """Cuts documents into blocks and masks these.

    A new data set is a subclass with one method, `load_documents`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._mask_fingerprints: dict[tuple[str, range], str] = {}

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and every option that shapes the examples, of all splits in use."""
        return self._fingerprint(sorted(self.examples))

    def _fingerprint(self, splits: Collection[str]) -> str:
        options = {name: self.hparams[name] for name in SHAPING_OPTIONS} | {"block_size": self._block_size}
        options |= self._list_masking_options()
        hashes = {split: self._text_hashes[self._get_source(split)] for split in splits}
        parts: list[Any] = [hashes, hash_tokenizer(self.tokenizer), options]
        counts = {split: self._num_documents.get(self._get_source(split), []) for split in splits}
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

    def find_shown(self, split: str) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
        """What `lit_mlm.data.show` describes of a split: its title, documents, the tokens of each, and the examples."""
        return split, self.read_documents(split), self.get_document_lengths(split), self.examples[split]

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

    def _count_shared(self, split: str) -> int:
        """How many examples of a split share a document with training: none, unless they are blocks of its text."""
        if split != "val" or self.hparams["val_source"] == "documents":
            return 0
        table, lengths = self.examples["val"].table, self._streams["train"].document_lengths
        trained_on = self._choose_blocks("train", len(table))
        return len(find_shared_documents(lengths, table, self.examples["val"].chosen, trained_on))
