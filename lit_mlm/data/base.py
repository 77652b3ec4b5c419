"""The base of all data modules: the tokenizer, the loaders, and what is asked of the Lightning module."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import TokenModel
from lit_mlm.data.batches import BatchOrder, EpochDraw, LazyDataLoader, wait_for_second_signal
from lit_mlm.data.reading.files import Problem
from lit_mlm.data.tokens.training import Algorithm, load_or_train_tokenizer
from lit_mlm.data.tokens.vocabulary import require_same_vocabulary
from lit_mlm.errors import InputError, check_choices
from lit_mlm.nets.pretrained import load_tokenizer

SPLITS_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
STAGE_OF_SPLIT = {"train": "fit", "val": "fit", "test": "test"}


class TextDataModule(LightningDataModule, ABC):
    """Knows the tokenizer and makes the loaders; what an example is its subclasses say.

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

    problems: dict[str, list[Problem]] | None = None
    """What can't be read, by source, where it is to be reported (`audit`) and not to stop at the first."""

    def __init__(
        self,
        tokenizer: str | None = None,
        tokenizer_revision: str | None = None,
        vocab_size: int | None = None,
        tokenizer_algorithm: Algorithm | None = None,
        lowercase: bool | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int | None = None,
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
        require_at_least(1, batch_size=batch_size, eval_batch_size=eval_batch_size, num_proc=num_proc)
        require_at_least(0, num_workers=num_workers)
        self.save_hyperparameters(logger=False)  # a run's config.yaml has them; a key of the module's would clash
        check_choices("data", type(self), self.hparams)
        self._attached: TokenModel | None = None
        self._prepared_stage: str | None = None

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
    def num_workers(self) -> int:
        """The processes that make batches for this device."""
        typed: int | None = self.hparams["num_workers"]
        if typed is not None:
            return typed
        if self.trainer is None or self.trainer.strategy.root_device.type == "cpu":
            return 0
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(4, max(0, num_cores // self.trainer.num_devices - 1))

    @property
    def _cache_dir(self) -> Path:
        return Path(self.hparams["cache_dir"]).expanduser()

    def _load_tokenizer(self, iterate_train_texts: Callable[[], Iterator[str]], text_hash: str) -> None:
        """Loads the tokenizer, or trains it on texts, which `text_hash` stands for."""
        options = self.hparams
        if options["vocab_size"] is not None:
            algorithm: Algorithm = options["tokenizer_algorithm"] or "wordpiece"
            kind = algorithm, options["vocab_size"], options["lowercase"] in (None, True)
            key = hashlib.sha256(json.dumps([text_hash, kind]).encode()).hexdigest()[:32]
            self.tokenizer = load_or_train_tokenizer(iterate_train_texts(), *kind, self._cache_dir / "tokenizers" / key)
            self._check_vocabulary("data.vocab_size", options["vocab_size"])
            return
        if options["tokenizer"] is not None:
            self.tokenizer = load_tokenizer(options["tokenizer"], options["tokenizer_revision"])
            self._check_vocabulary("data.tokenizer", options["tokenizer"])
            return
        tokenizer = self._model.load_tokenizer() if self._model else None
        if tokenizer is None:
            raise InputError(
                "no tokenizer: the model is built from scratch, so name one with data.tokenizer, "
                "or have one trained with data.vocab_size"
            )
        self.tokenizer = cast(PreTrainedTokenizerBase, tokenizer)

    def _check_vocabulary(self, option: str, value: object) -> None:
        """Refuses a tokenizer whose ids mean something else to the weights that a model starts with.

        A checkpoint's is held against its hash, when the net is there.
        """
        own, model = None, self._model
        with suppress(InputError):  # a model that has no tokenizer of its own
            own = model.load_tokenizer() if model and not model.has_final_tokenizer else None
        if own is not None:
            require_same_vocabulary(self.tokenizer, cast(PreTrainedTokenizerBase, own), f"{option} {value}")

    def _make_loader(
        self,
        examples: Dataset[dict[str, Tensor]],
        num_examples: int,
        order_seed: int | None = None,
        get_draw: Callable[[], int] = int,
        draw_epoch: EpochDraw | None = None,
    ) -> DataLoader[Any]:
        """A loader in a new order each epoch, or, without `order_seed`, in that of the data, for evaluation."""
        size = self._get_batch_size(is_training=order_seed is not None)
        get_start = int if order_seed is None else self._count_seen_batches
        order = BatchOrder(num_examples, size, *self._find_rank(), order_seed, get_draw, get_start, draw_epoch)
        return self._load_in_order(examples, order)

    def _describe_small(self, num_examples: int) -> list[str]:
        """A note on training examples that are too few for one step: it is still one, of those that there are."""
        size, num_ranks = self._get_batch_size(is_training=True), self._find_rank()[1]
        step = f"a batch of {size}" + (f" on each of {num_ranks} devices" if num_ranks > 1 else "")
        return [f"{num_examples:,} for training are fewer than {step}"] if num_examples < size * num_ranks else []

    def _get_batch_size(self, is_training: bool) -> int:
        size: int = self.hparams["batch_size"]
        return size if is_training else self.hparams["eval_batch_size"] or size

    def _find_rank(self) -> tuple[int, int]:
        """The number of this process, from 0, and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _count_seen_batches(self) -> int:
        """The batches of this epoch that the run has seen: 0, unless it goes on from a checkpoint within the epoch."""
        trainer = self.trainer
        return trainer.fit_loop.epoch_loop.batch_progress.current.ready if trainer and trainer.training else 0

    def _load_in_order(
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


def refuse_without(master: str, value: object, **dependents: object) -> None:
    """Refuses options that have no effect because the one that they belong to is not given.

    Raises:
        InputError: naming both.
    """
    for name, dependent in dependents.items():
        if value is None and dependent is not None:
            raise InputError(f"data.{name} ({dependent}) has no effect without {master}")


def require_at_least(least: int, **options: int | None) -> None:
    """Refuses options below a number; those that are None are not looked at.

    Raises:
        InputError: naming the option.
    """
    for name, value in options.items():
        if value is not None and value < least:
            raise InputError(f"data.{name} must be at least {least}, got {value}")
