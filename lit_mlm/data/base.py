"""The base of data modules for masked language modelling: documents in, masked blocks out."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from datasets import Dataset
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.documents import hash_texts
from lit_mlm.data.masked_blocks import MaskedBlocks, find_pad_id, make_masking
from lit_mlm.data.order import BatchOrder
from lit_mlm.data.stream import SpecialTokens, TokenStream, find_special_tokens, iterate_texts, tokenize_documents
from lit_mlm.data.tokenizer_training import Algorithm, load_or_train_tokenizer
from lit_mlm.errors import InputError
from lit_mlm.pretrained import hash_tokenizer, load_tokenizer
from lit_mlm.text import TokenModel
from lit_mlm.text.blocks import Policy, cut_blocks

MASKING_OPTIONS = ("mask_prob", "mask_token_prob", "random_token_prob")

SHAPING_OPTIONS = (
    *("block_policy", "drop_tail", "special_tokens", "num_train_blocks", "num_val_blocks", "num_test_blocks"),
    *(*MASKING_OPTIONS, "eval_seed", "split_seed"),
)
"""The options, beside texts, tokenizer and block size, that decide what the examples are."""

SPLITS_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class BlocksDataModule(LightningDataModule, ABC):
    """Reads documents, tokenises them, cuts them into blocks and masks these.

    A new data set is a subclass with one method, `load_documents`.

    Args:
        tokenizer: name on the Hub, or folder; by default the model's own.
        tokenizer_revision: of a tokenizer on the Hub.
        vocab_size: trains a tokenizer of this size on the training text, in place of `tokenizer`.
        tokenizer_algorithm: of a trained tokenizer: ``wordpiece`` as BERT's (the default), ``bpe`` on bytes as
            RoBERTa's.
        lowercase: whether a trained WordPiece tokenizer lower-cases text, which it does by default.
        block_size: tokens in a block, special tokens included; by default the longest that the model takes.
        block_policy: ``stream`` joins all documents and cuts the whole; ``document`` cuts each by itself.
        drop_tail: leaves out blocks that are not full.
        special_tokens: put around each ``document`` before the cut, or around each ``block``.
        num_train_blocks: trains on a random sample of this many blocks.
        num_val_blocks: validates on a random sample of this many blocks.
        num_test_blocks: tests on a random sample of this many blocks.
        mask_prob: probability of a token to be scored.
        mask_token_prob: share of scored tokens that the mask token replaces.
        random_token_prob: share of scored tokens that a random token replaces; the rest stay as they are.
        eval_seed: of the masks in validation and test.
        split_seed: of splits by document and samples of blocks.
        batch_size: blocks a device in a training step.
        eval_batch_size: the same in validation and test; by default `batch_size`.
        num_workers: processes that make batches; 0 makes them in the main process.
        num_proc: processes that tokenise; by default the tokenizer's own threads do.
        cache_dir: where tokenised text and trained tokenizers are kept.
    """

    def __init__(
        self,
        tokenizer: str | None = None,
        tokenizer_revision: str | None = None,
        vocab_size: int | None = None,
        tokenizer_algorithm: Algorithm | None = None,
        lowercase: bool | None = None,
        block_size: int | None = None,
        block_policy: Policy = "stream",
        drop_tail: bool = False,
        special_tokens: Literal["document", "block"] = "document",
        num_train_blocks: int | None = None,
        num_val_blocks: int | None = None,
        num_test_blocks: int | None = None,
        mask_prob: float = 0.15,
        mask_token_prob: float = 0.8,
        random_token_prob: float = 0.1,
        eval_seed: int = 42,
        split_seed: int = 42,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        num_proc: int | None = None,
        cache_dir: str = "~/.cache/lit_mlm",
    ) -> None:
        super().__init__()
        if tokenizer is not None and vocab_size is not None:
            raise InputError(
                f"data.tokenizer ({tokenizer}) and data.vocab_size ({vocab_size}) exclude each other: "
                "the first loads a tokenizer, the second trains one"
            )
        refuse_without("data.tokenizer", tokenizer, tokenizer_revision=tokenizer_revision)
        refuse_without("data.vocab_size", vocab_size, tokenizer_algorithm=tokenizer_algorithm, lowercase=lowercase)
        if tokenizer_algorithm == "bpe" and lowercase is not None:
            raise InputError(f"data.lowercase {lowercase} has no effect on data.tokenizer_algorithm bpe: leave it out")
        sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "block_size": block_size}
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise InputError(f"data.{name} must be at least 1, got {value}")
        self.save_hyperparameters(logger=False)  # a run's config.yaml has them; a key of the module's would clash
        self.tokenizer: PreTrainedTokenizerBase
        self.examples: dict[str, MaskedBlocks] = {}
        self._streams: dict[str, TokenStream] = {}
        self._text_hashes: dict[str, str] = {}
        self._prepared_stage: str | None = None

    @abstractmethod
    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Loads documents by split.

        Args:
            splits: which of ``"train"``, ``"val"`` and ``"test"`` are needed; more may be returned.

        Returns:
            For each split a data set with the column ``text``, one document a row. No document is in two splits.
        """

    def prepare_data(self) -> None:
        """Downloads and tokenises, once a node, so that `setup` finds it in the cache."""
        self._prepared_stage = self.trainer.state.fn.value if self.trainer and self.trainer.state.fn else "fit"
        self._load(self._prepared_stage)

    def setup(self, stage: str) -> None:
        """Makes the examples of the splits that `stage` (fit, validate or test) uses.

        Raises:
            InputError: if the text, the tokenizer and the options don't fit together; the message names them.
        """
        if self._prepared_stage != stage:
            self._load(stage)
        self._prepared_stage = None
        around = find_special_tokens(self.tokenizer)
        per_block = self.hparams["special_tokens"] == "block"
        for split in SPLITS_OF_STAGE[stage]:
            self.examples[split] = self._make_examples(split, around if per_block else SpecialTokens([], []))

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training blocks, in a new order and with new masks each epoch."""
        return self._make_loader("train", self.hparams["batch_size"])

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of validation blocks; order and masks never change."""
        return self._make_loader("val", self.hparams["eval_batch_size"] or self.hparams["batch_size"])

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of test blocks; order and masks never change."""
        return self._make_loader("test", self.hparams["eval_batch_size"] or self.hparams["batch_size"])

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens."""
        return max(examples.sequence_length for examples in self.examples.values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and every option that shapes the examples."""
        options = {name: self.hparams[name] for name in SHAPING_OPTIONS} | {"block_size": self._block_size}
        parts = [self._text_hashes, hash_tokenizer(self.tokenizer), options]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def describe(self) -> str:
        """The number of blocks of each split and how they were cut."""
        counts = " / ".join(f"{len(examples):,} {split}" for split, examples in self.examples.items())
        return f"{counts} blocks of {self._block_size} ({self.hparams['block_policy']})"

    def facts(self, split: str) -> dict[str, float | int | str]:
        """What belongs to the results of a split: its masks, blocks and tokens a byte of text."""
        examples, stream = self.examples[split], self._streams[split]
        return {
            "mask_fingerprint": examples.mask_fingerprint,
            "num_blocks": len(examples),
            "num_dropped_tokens": examples.table.num_dropped_tokens,
            "block_size": self._block_size,
            "block_policy": self.hparams["block_policy"],
            "tokens_per_byte": stream.num_text_tokens / max(1, stream.num_bytes),
        }

    def _load(self, stage: str) -> None:
        trains_tokenizer = self.hparams["vocab_size"] is not None
        splits = SPLITS_OF_STAGE[stage]
        documents = self.load_documents({*splits, "train"} if trains_tokenizer else set(splits))
        self._text_hashes = {name: hash_texts(iterate_texts(texts)) for name, texts in sorted(documents.items())}
        self.tokenizer = self._load_tokenizer(documents)
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"the tokenizer {self.tokenizer.name_or_path} has no mask token: it can't be used here")
        self._streams = {split: self._tokenize(split, documents[split]) for split in splits}

    def _load_tokenizer(self, documents: dict[str, Dataset]) -> PreTrainedTokenizerBase:
        options = self.hparams
        if options["vocab_size"] is not None:
            algorithm: Algorithm = options["tokenizer_algorithm"] or "wordpiece"
            kind = algorithm, options["vocab_size"], options["lowercase"] in (None, True)
            key = hashlib.sha256(json.dumps([self._text_hashes["train"], kind]).encode()).hexdigest()[:32]
            folder = self._cache_dir / "tokenizers" / key
            return load_or_train_tokenizer(iterate_texts(documents["train"]), *kind, folder)
        if options["tokenizer"] is not None:
            return load_tokenizer(options["tokenizer"], options["tokenizer_revision"])
        tokenizer = self._model.load_tokenizer() if self._model else None
        if tokenizer is None:
            raise InputError(
                "no tokenizer: the model is built from scratch, so name one with data.tokenizer, "
                "or have one trained with data.vocab_size"
            )
        return cast(PreTrainedTokenizerBase, tokenizer)

    def _tokenize(self, split: str, documents: Dataset) -> TokenStream:
        per_document = self.hparams["special_tokens"] == "document"
        parts = [self._text_hashes[split], hash_tokenizer(self.tokenizer), per_document]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        cache_file = self._cache_dir / "tokens" / f"{key}.arrow"
        num_proc = self.hparams["num_proc"]
        return tokenize_documents(documents, self.tokenizer, per_document, cache_file, num_proc, f"tokenising {split}")

    def _make_examples(self, split: str, around: SpecialTokens) -> MaskedBlocks:
        options, stream = self.hparams, self._streams[split]
        size = self._block_size - len(around)
        if size < 1:
            raise InputError(f"data.block_size {self._block_size} leaves no room beside {len(around)} special tokens")
        table = cut_blocks(stream.document_lengths, size, options["block_policy"], options["drop_tail"])
        if len(table) == 0:
            raise InputError(
                f"the {split} split has no blocks: {len(stream.document_lengths)} documents, {len(stream.ids)} tokens, "
                f"data.block_size {self._block_size}, data.drop_tail {options['drop_tail']}"
            )
        return MaskedBlocks(
            stream=stream.ids,
            table=table,
            chosen=self._choose_blocks(split, len(table)),
            around=around,
            masking=make_masking(self.tokenizer, *(options[name] for name in MASKING_OPTIONS)),
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")) if split == "train" else options["eval_seed"],
            pad_id=find_pad_id(self.tokenizer),
        )

    def _choose_blocks(self, split: str, num_blocks: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        wanted = self.hparams[f"num_{split}_blocks"]
        if wanted is None:
            return np.arange(num_blocks)
        if not 1 <= wanted <= num_blocks:
            raise InputError(f"data.num_{split}_blocks is {wanted}, but the {split} split has {num_blocks} blocks")
        return np.sort(np.random.default_rng(self.hparams["split_seed"]).permutation(num_blocks)[:wanted])

    def _make_loader(self, split: str, batch_size: int) -> DataLoader[Any]:
        trainer, workers = self.trainer, self.hparams["num_workers"]
        is_train = split == "train"
        order = BatchOrder(
            num_examples=len(self.examples[split]),
            batch_size=batch_size,
            rank=trainer.global_rank if trainer else 0,
            num_ranks=trainer.world_size if trainer else 1,
            seed=self.examples[split].seed,
            shuffled=is_train,
        )
        return DataLoader(
            self.examples[split],
            batch_size=None,
            sampler=order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            generator=torch.Generator(),
        )

    @property
    def _block_size(self) -> int:
        limit = self._model.max_length if self._model else None
        typed: int | None = self.hparams["block_size"]
        if typed is None and limit is None:
            raise InputError("data.block_size must be given: the model sets no limit of its own")
        if typed is not None and limit is not None and typed > limit:
            raise InputError(f"data.block_size is {typed}, but the model takes at most {limit} tokens")
        return cast(int, limit if typed is None else typed)

    @property
    def _model(self) -> TokenModel | None:
        return None if self.trainer is None else cast(TokenModel, self.trainer.lightning_module)

    @property
    def _cache_dir(self) -> Path:
        return Path(self.hparams["cache_dir"]).expanduser()


def refuse_without(master: str, value: object, **dependents: object) -> None:
    """Refuses options that have no effect because the one that they belong to is not given.

    Raises:
        InputError: naming both.
    """
    for name, dependent in dependents.items():
        if value is None and dependent is not None:
            raise InputError(f"data.{name} ({dependent}) has no effect without {master}")
