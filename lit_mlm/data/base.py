"""The base data module: owns the tokenizer and builds the data loaders."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import TokenModel
from lit_mlm.data.batches import (
    EpochDraw,
    FirstEpochSampler,
    LazyDataLoader,
    ShuffleSampler,
    wait_for_second_signal,
)
from lit_mlm.data.packed import PackedBatches
from lit_mlm.data.reading.files import SKIP_ADVICE, BadRecordError, OnBad
from lit_mlm.data.reading.provenance import Provenance
from lit_mlm.data.tokens.tokenizer import TokenizerOptions
from lit_mlm.data.tokens.training import Algorithm
from lit_mlm.errors import InputError
from lit_mlm.options import Count, Size, check_options, describe_options

SPLITS_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
STAGE_OF_SPLIT = {"train": "fit", "val": "fit", "test": "test"}

R = TypeVar("R")


class TextDataModule(LightningDataModule, ABC):
    """Owns the tokenizer and builds the data loaders; subclasses define an example.

    Args:
        tokenizer: name on the Hub, or folder; by default the model's own.
        tokenizer_revision: revision of a tokenizer on the Hub.
        vocab_size: trains a tokenizer of this size on the training text, in place of `tokenizer`.
        tokenizer_algorithm: algorithm of a trained tokenizer: ``wordpiece`` as in BERT (default) or byte-level ``bpe``
            as in RoBERTa. ``wordpiece`` makes one token of each Chinese character.
        lowercase: whether a trained WordPiece tokenizer lower-cases text; true by default.
        batch_size: sequences per device in a training step.
        eval_batch_size: sequences per device in validation and test; by default `batch_size`.
        pack_batches: computes the sequences of a batch in fewer, fuller rows, without attention between them; batches,
            gradients and metrics stay the same, up to rounding. For nets that would mix sequences, batches are padded.
        num_workers: data loader workers per device; 0 loads in the main process. By default 0 on a CPU, whose cores
            training needs, and up to 4 per GPU, as far as there are cores.
        num_proc: processes for tokenising; by default the threads of the tokenizer.
        cache_dir: folder for extracted text, tokens and trained tokenizers.
    """

    tokenizer: PreTrainedTokenizerBase

    eval_sets: Mapping[str, Sequence[str]] = {}
    """Names of the evaluation sets, by split; each is read, evaluated and described by itself, as ``val/news``."""

    validated: str = "val"
    """The split that `validate` evaluates, see `validate_train`."""

    predict_split: str = "test"
    """The split for `Trainer.predict`: train, val or test."""

    bad_records: dict[str, list[BadRecordError]] | None = None
    """Bad records by source, where they are collected for a report (`audit`) instead of raising at the first."""

    skip_bad: bool = False
    """Whether `collect_records` leaves bad records out."""

    def __init__(
        self,
        tokenizer: str | None = None,
        tokenizer_revision: str | None = None,
        vocab_size: int | None = None,
        tokenizer_algorithm: Algorithm | None = None,
        lowercase: bool | None = None,
        batch_size: Count = 32,
        eval_batch_size: Count | None = None,
        pack_batches: bool = True,
        num_workers: Size | None = None,
        num_proc: Count | None = None,
        cache_dir: str = "~/.cache/lit_mlm",
    ) -> None:
        super().__init__()
        # Collects the arguments of subclasses too. Not for loggers: keys would clash with the Lightning module's, and
        # config.yaml has them.
        self.save_hyperparameters(logger=False)
        check_options("data", type(self), self.hparams)
        self.tokenizer_options = TokenizerOptions(
            tokenizer, tokenizer_revision, vocab_size, tokenizer_algorithm, lowercase
        )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.pack_batches = pack_batches
        self.cache_dir, self.num_proc, self._num_workers = Path(cache_dir).expanduser(), num_proc, num_workers
        self._attached: TokenModel | None = None
        self._prepared_stage: str | None = None
        self._skipped: dict[str, list[BadRecordError]] = {}

    @property
    def hparams(self) -> Any:
        """The options as plain data."""
        return describe_options(super().hparams)

    def load_tokenizer(self, iterate_train: Callable[[], Iterator[str]] | None = None) -> PreTrainedTokenizerBase:
        """The tokenizer that the options ask for.

        Args:
            iterate_train: gives the texts to train a tokenizer on, as often as it is called; without it `vocab_size`
                is refused.
        """
        if iterate_train is None and self.tokenizer_options.vocab_size is not None:
            name = type(self).__name__
            raise InputError(
                f"data.vocab_size has no effect on {name}: give data.tokenizer (or have {name} call "
                "load_tokenizer(iterate_train), with a function that yields its training texts)"
            )
        return self.tokenizer_options.load(self._model, iterate_train or (lambda: iter(())), self.cache_dir)

    def collect_records(self, split: str, read: Callable[[OnBad], Iterable[R]]) -> list[R]:
        """The records of a split, in memory; `read` yields them and takes a handler of bad ones."""
        report = (self._skipped if self.bad_records is None else self.bad_records)[split] = list[BadRecordError]()

        def refuse_or_skip(record: BadRecordError) -> None:
            if self.bad_records is None and not self.skip_bad:
                raise InputError(f"{record}; {SKIP_ADVICE}") from record
            report.append(record)

        return list(read(refuse_or_skip))

    def choose_labels(self, stage: str, given: list[str] | None, find: Callable[[], list[str]]) -> list[str]:
        """The labels: in training those of the data, in the model's order if it has the same set; else the model's.

        Args:
            stage: fit, validate, test or predict.
            given: the option ``data.labels``.
            find: returns the labels of the training split.
        """
        names = self.label_names
        if names is not None and stage != "fit":
            if given is not None:
                require_same_labels(names, given)
            return list(names)
        found = given or find()
        return list(found if names is None or set(names) != set(found) else names)

    @property
    def label_names(self) -> list[str] | None:
        """The labels of the model by id; None if it takes those of the data."""
        return getattr(self._model, "label_names", None)

    @abstractmethod
    def load(self, stage: str) -> None:
        """Reads the text of the splits of a stage and loads the tokenizer."""

    @abstractmethod
    def make_splits(self, stage: str) -> None:
        """Makes the examples of the splits of a stage from what `load` has read."""

    def prepare_data(self) -> None:
        """Downloads and tokenises once per node, so that `setup` finds everything in the cache."""
        self._prepared_stage = self.trainer.state.fn.value if self.trainer and self.trainer.state.fn else "fit"
        try:
            self._refuse_metric_names()
            self.load(self._prepared_stage)
        except InputError:  # raised again in `setup` on every rank, so that no rank waits for this one
            self._prepared_stage = None

    def setup(self, stage: str) -> None:
        """Makes the examples of the splits of a stage: fit, validate, test or predict."""
        if self._prepared_stage != stage:
            self._refuse_metric_names()
            self.load(stage)
        self._prepared_stage = None
        self.make_splits(stage)

    @property
    @abstractmethod
    def sequence_length(self) -> int:
        """The longest sequence in any batch, in tokens."""

    def describe(self) -> str:
        """Describes the data in the first line of a run."""
        return type(self).__name__

    @property
    def provenance(self) -> list[Provenance]:
        """The corpora of the training text, for the model card."""
        return [Provenance(type(self).__name__.removesuffix("DataModule"))]

    @abstractmethod
    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, shuffled each epoch."""

    def load_set(self, name: str) -> list[DataLoader[Any]]:
        """Evaluation batches of a split or set in a fixed order: one loader, or one for each mask draw."""
        raise NotImplementedError(f"{type(self).__name__} has no batches of the {name} split: define load_set")

    def load_split(self, split: str) -> Any:
        """Evaluation batches of a split, set by set: one loader or a list of them."""
        loaders = list(chain.from_iterable(map(self.load_set, self.list_evaluated(split))))
        return loaders if len(loaders) > 1 else loaders[0]

    def val_dataloader(self) -> Any:
        """Validation batches in a fixed order."""
        return self.load_split("val")

    def test_dataloader(self) -> Any:
        """Test batches in a fixed order."""
        return self.load_split("test")

    def predict_dataloader(self) -> Any:
        """Batches of `predict_split` in a fixed order, whose sets are read as one."""
        return self.load_set(self.predict_split)[0]

    def attach(self, model: TokenModel) -> None:
        """Uses the tokenizer and maximum length of a Lightning module of lit-mlm without a trainer."""
        self._attached = model

    def list_sets(self, split: str) -> list[str]:
        """The evaluation sets of a split, such as ``val/news``; without any the split itself."""
        return [f"{split}/{name}" for name in self.eval_sets.get(split, ())] or [split]

    def list_evaluated(self, split: str) -> list[str]:
        """The sets that an evaluation of a split reads; after `validate_train` that of ``val`` reads ``train``."""
        return [self.validated] if split == "val" != self.validated else self.list_sets(split)

    def validate_train(self) -> None:
        """Has `validate` evaluate the training split, in the way of evaluations, in place of the validation split."""
        self.validated = "train"
        self.eval_sets = {split: names for split, names in self.eval_sets.items() if split != "val"}

    def _refuse_metric_names(self) -> None:
        """Rejects a set with the name of a metric: ``val/loss`` is a metric of the whole split."""
        for split, names in self.eval_sets.items():
            if clash := set(names) & set(getattr(self._model, "headline", ())):
                raise InputError(f"data.{split}_files: rename the set {min(clash)}, which is the name of a metric")

    def find_splits(self, stage: str) -> tuple[str, ...]:
        """The splits of a stage, or their sets."""
        if stage == "predict":
            raise InputError(
                f"{type(self).__name__} has nothing to predict: predict tags words, for example of CoNLLDataModule, or "
                "labels texts, as of IMDBSentimentDataModule; to fill masks in text use fill"
            )
        list_sets = self.list_sets if stage == "fit" else self.list_evaluated
        return tuple(chain.from_iterable(map(list_sets, SPLITS_OF_STAGE[stage])))

    @property
    def _model(self) -> TokenModel | None:
        return self._attached if self.trainer is None else cast(TokenModel, self.trainer.lightning_module)

    @property
    def max_length(self) -> int | None:
        """The maximum sequence length of the model, in tokens; None without a limit."""
        return self._model.max_length if self._model else None

    @property
    def packs(self) -> bool:
        """Whether batches are packed: if asked for, and once the model was shown to keep sequences apart."""
        return self.pack_batches and getattr(self._model, "is_isolated", False)

    @property
    def num_workers(self) -> int:
        """Data loader workers of this device."""
        if self._num_workers is not None:
            return self._num_workers
        if self.trainer is None or self.trainer.strategy.root_device.type == "cpu":
            return 0
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(4, max(0, num_cores // self.trainer.num_devices - 1))

    @property
    def train_seed(self) -> int:
        """The seed of shuffling and training masks: ``--seed_everything``, or 0."""
        return int(os.environ.get("PL_GLOBAL_SEED", "0"))

    def load_examples(
        self,
        examples: Dataset[dict[str, Tensor]],
        num_examples: int,
        order_seed: int | None = None,
        get_draw: Callable[[], int] = int,
        draw_epoch: EpochDraw | None = None,
    ) -> DataLoader[Any]:
        """Builds a loader that shuffles each epoch; without `order_seed` in the order of the data, for evaluation."""
        size = self.eval_batch_size if order_seed is None else self.batch_size
        get_start = int if order_seed is None else self.count_seen_batches
        order = ShuffleSampler(num_examples, size, *self.rank, order_seed, get_draw, get_start, draw_epoch)
        return self.make_loader(examples, order)

    def _describe_small(self, num_examples: int) -> list[str]:
        """A note if the training examples do not fill a single step, which is then smaller."""
        size, num_ranks = self.batch_size, self.rank[1]
        step = f"a batch of {size}" + (f" on each of {num_ranks} devices" if num_ranks > 1 else "")
        return [f"{num_examples:,} for training are fewer than {step}"] if num_examples < size * num_ranks else []

    @property
    def rank(self) -> tuple[int, int]:
        """The global rank of this process and the world size."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def count_seen_batches(self) -> int:
        """Batches of this epoch seen before a resume within the epoch; else 0."""
        trainer = self.trainer
        return trainer.fit_loop.epoch_loop.batch_progress.current.ready if trainer and trainer.training else 0

    def make_loader(
        self, examples: Dataset[Any], order: Any, loader: type[LazyDataLoader] = LazyDataLoader
    ) -> DataLoader[Any]:
        """Builds a loader of the batches whose keys the sampler yields."""
        trainer, workers = self.trainer, self.num_workers
        if self.packs and not getattr(examples, "packs", False):
            examples = PackedBatches(examples, self.max_length)
        repeats = getattr(trainer, "overfit_batches", 0) > 0
        return loader(
            examples,
            batch_size=None,
            sampler=FirstEpochSampler(order) if repeats else order,
            num_workers=workers,
            persistent_workers=workers > 0 and order.shuffle,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            generator=torch.Generator(),
            worker_init_fn=wait_for_second_signal,
        )


def require_same_labels(ours: Sequence[str], given: Sequence[str]) -> None:
    """Rejects given labels that differ from the model's in more than order."""
    if set(ours) != set(given):
        differing = [label for label in (*ours, *given) if (label in ours) != (label in given)]
        raise InputError(
            f"the model has the labels {', '.join(ours)}, but data.labels are {', '.join(given)}; they differ in "
            f"{', '.join(differing)}"
        )
