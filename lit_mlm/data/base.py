"""The base of all data modules: the tokenizer, the data loaders, and what is asked of the Lightning module."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import TokenModel
from lit_mlm.data.batches import EpochDraw, LazyDataLoader, ShuffleSampler, wait_for_second_signal
from lit_mlm.data.reading.files import BadRecordError
from lit_mlm.data.tokens.tokenizer import TokenizerOptions
from lit_mlm.data.tokens.training import Algorithm
from lit_mlm.errors import InputError
from lit_mlm.options import Count, Size, check_options, describe_option

SPLITS_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
STAGE_OF_SPLIT = {"train": "fit", "val": "fit", "test": "test"}


class TextDataModule(LightningDataModule, ABC):
    """Owns the tokenizer and builds the data loaders; subclasses define an example.

    Args:
        tokenizer: name on the Hub, or folder; by default the model's own.
        tokenizer_revision: of a tokenizer on the Hub.
        vocab_size: trains a tokenizer of this size on the training text, in place of `tokenizer`.
        tokenizer_algorithm: of a trained tokenizer: ``wordpiece`` as BERT's (the default), ``bpe`` on bytes as
            RoBERTa's. Chinese characters are words to ``wordpiece``, so it makes one token of each.
        lowercase: whether a trained WordPiece tokenizer lower-cases text, which it does by default.
        batch_size: sequences a device in a training step.
        eval_batch_size: the same in validation and test; by default `batch_size`.
        num_workers: processes that make batches for a device; 0 makes them in the main process. By default 0 on a CPU,
            whose cores the training needs, and on GPUs as many as there are cores for, at most 4.
        num_proc: processes that tokenise; by default the tokenizer's own threads do.
        cache_dir: where text as it was read, tokenised text and trained tokenizers are kept.
    """

    tokenizer: PreTrainedTokenizerBase

    predict_split: str = "test"
    """The split that `Trainer.predict` goes through: train, val or test."""

    bad_records: dict[str, list[BadRecordError]] | None = None
    """What can't be read, by source, where it is reported (`audit`) in place of an error at the first."""

    def __init__(
        self,
        tokenizer: str | None = None,
        tokenizer_revision: str | None = None,
        vocab_size: int | None = None,
        tokenizer_algorithm: Algorithm | None = None,
        lowercase: bool | None = None,
        batch_size: Count = 32,
        eval_batch_size: Count | None = None,
        num_workers: Size | None = None,
        num_proc: Count | None = None,
        cache_dir: str = "~/.cache/lit_mlm",
    ) -> None:
        super().__init__()
        # Lightning collects the arguments of subclasses too. A run's config.yaml has them; a key of the module's would
        # clash in a logger.
        self.save_hyperparameters(logger=False)
        check_options("data", type(self), self.hparams)
        self.tokenizer_options = TokenizerOptions(
            tokenizer, tokenizer_revision, vocab_size, tokenizer_algorithm, lowercase
        )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.cache_dir, self.num_proc, self._num_workers = Path(cache_dir).expanduser(), num_proc, num_workers
        self._attached: TokenModel | None = None
        self._prepared_stage: str | None = None

    @property
    def hparams(self) -> Any:
        """The options as plain data, so that a checkpoint can be read without running code."""
        options = super().hparams
        options.update({name: describe_option(value) for name, value in options.items()})
        return options

    @abstractmethod
    def _load(self, stage: str) -> None:
        """Reads the text of the splits that a stage uses, and loads the tokenizer."""

    @abstractmethod
    def _make_splits(self, stage: str) -> None:
        """Makes the examples of the splits that a stage uses, of what `_load` has read."""

    def prepare_data(self) -> None:
        """Downloads and tokenises, once a node, so that `setup` finds it in the cache."""
        self._prepared_stage = self.trainer.state.fn.value if self.trainer and self.trainer.state.fn else "fit"
        try:
            self._load(self._prepared_stage)
        except InputError:  # `setup` meets it again, on every rank: none is left waiting for this one
            self._prepared_stage = None

    def setup(self, stage: str) -> None:
        """Makes the examples of the splits that `stage` (fit, validate, test or predict) uses.

        Raises:
            InputError: if the text, the tokenizer and the options don't fit together; the message names them.
        """
        if self._prepared_stage != stage:
            self._load(stage)
        self._prepared_stage = None
        self._make_splits(stage)

    @abstractmethod
    def train_dataloader(self) -> DataLoader[Any]:
        """Training examples, in a new order each epoch."""

    def _load_split(self, split: str) -> Any:
        """Batches of a split in evaluation, in an order that never changes; a loader, or several."""
        raise NotImplementedError(f"{type(self).__name__} has no batches of the {split} split: define _load_split")

    def val_dataloader(self) -> Any:
        """Batches of the validation split, in an order that never changes."""
        return self._load_split("val")

    def test_dataloader(self) -> Any:
        """Batches of the test split, in an order that never changes."""
        return self._load_split("test")

    def predict_dataloader(self) -> Any:
        """Batches of `predict_split`, in the order of an evaluation."""
        return self._load_split(self.predict_split)

    def attach(self, model: TokenModel) -> None:
        """Has the data made for a model without a trainer: with its tokenizer, no longer than it takes.

        Args:
            model: a Lightning module of lit-mlm.
        """
        self._attached = model

    def _find_splits(self, stage: str) -> tuple[str, ...]:
        """The splits that a stage uses.

        Raises:
            InputError: in prediction, which only data of tagged words has something for.
        """
        if stage == "predict":
            raise InputError(
                f"{type(self).__name__} has nothing to predict: predict tags words, as those of CoNLLDataModule; to "
                "fill the masks of texts use fill"
            )
        return SPLITS_OF_STAGE[stage]

    @property
    def _model(self) -> TokenModel | None:
        return self._attached if self.trainer is None else cast(TokenModel, self.trainer.lightning_module)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the model takes, in tokens; None without a limit."""
        return self._model.max_length if self._model else None

    @property
    def num_workers(self) -> int:
        """The processes that make batches for this device."""
        if self._num_workers is not None:
            return self._num_workers
        if self.trainer is None or self.trainer.strategy.root_device.type == "cpu":
            return 0
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(4, max(0, num_cores // self.trainer.num_devices - 1))

    @property
    def train_seed(self) -> int:
        """What order and masks of training depend on: ``--seed_everything``, or 0."""
        return int(os.environ.get("PL_GLOBAL_SEED", "0"))

    def load_examples(
        self,
        examples: Dataset[dict[str, Tensor]],
        num_examples: int,
        order_seed: int | None = None,
        get_draw: Callable[[], int] = int,
        draw_epoch: EpochDraw | None = None,
    ) -> DataLoader[Any]:
        """A loader in a new order each epoch, or, without `order_seed`, in that of the data, for evaluation."""
        size = self.eval_batch_size if order_seed is None else self.batch_size
        get_start = int if order_seed is None else self.count_seen_batches
        order = ShuffleSampler(num_examples, size, *self.rank, order_seed, get_draw, get_start, draw_epoch)
        return self.make_loader(examples, order)

    def _describe_small(self, num_examples: int) -> list[str]:
        """A note on training examples that are too few for one step: it is still one, of those that there are."""
        size, num_ranks = self.batch_size, self.rank[1]
        step = f"a batch of {size}" + (f" on each of {num_ranks} devices" if num_ranks > 1 else "")
        return [f"{num_examples:,} for training are fewer than {step}"] if num_examples < size * num_ranks else []

    @property
    def rank(self) -> tuple[int, int]:
        """The number of this process, from 0, and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def count_seen_batches(self) -> int:
        """The batches of this epoch that the run has seen: 0, unless it resumes within the epoch."""
        trainer = self.trainer
        return trainer.fit_loop.epoch_loop.batch_progress.current.ready if trainer and trainer.training else 0

    def make_loader(
        self, examples: Dataset[Any], order: DistributedSampler[Any], loader: type[LazyDataLoader] = LazyDataLoader
    ) -> DataLoader[Any]:
        """A loader that makes the batches whose keys a sampler gives."""
        trainer, workers = self.trainer, self.num_workers
        return loader(
            examples,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            persistent_workers=workers > 0 and order.shuffle,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            generator=torch.Generator(),
            worker_init_fn=wait_for_second_signal,
        )
