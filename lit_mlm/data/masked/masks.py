"""The base of data modules that mask what they make of documents: which options there are, and their loaders."""

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

from lit_mlm.data.base import require_at_least
from lit_mlm.data.masked.code_options import hash_code
from lit_mlm.data.masked.dataset import MaskedBlocks, make_masking
from lit_mlm.data.masked.documents import DocumentsDataModule
from lit_mlm.data.masked.mixture import Mixture
from lit_mlm.data.packed import PackedExamples
from lit_mlm.errors import InputError
from lit_mlm.text.masking.masking import Masking
from lit_mlm.text.masking.schedule import MaskSchedule, MaskScheduleName
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking

PROBABILITIES = ("mask_prob", "mask_token_prob", "random_token_prob")

MASKING_OPTIONS = (
    *(*PROBABILITIES, "mask_schedule", "train_mask_probs"),
    *("num_mask_draws", "redraw_eval_masks", "eval_seed"),
)
"""The options that decide which masks there are, beside the strategy and the segmenter, which are code."""


class MaskedDataModule(DocumentsDataModule):
    """Masks examples; how documents become examples its subclasses say.

    Args:
        masking: chooses what is scored: ``TokenMasking`` (the default), ``WordMasking``, ``SpanMasking``, or a class of
            your own.
        mask_prob: share of the tokens to be scored: the probability of a token, word or span, or a budget.
        mask_token_prob: share of scored tokens that the mask token replaces.
        random_token_prob: share of scored tokens that a random token replaces; the rest stay as they are.
        mask_schedule: how the share of scored tokens changes over training, where evaluation keeps `mask_prob`:
            ``constant``, ``linear`` from rate to rate, or in ``steps`` of equal length.
        train_mask_probs: the rates of training, in their order; by default `mask_prob` all the time.
        num_mask_draws: scores the text of an evaluation under this many independent draws of its masks.
        redraw_eval_masks: draws the masks of an evaluation anew, by the number of optimizer steps before it.
        eval_seed: of the masks in validation and test.
    """

    def __init__(
        self,
        masking: MaskingStrategy | None = None,
        mask_prob: float = 0.15,
        mask_token_prob: float = 0.8,
        random_token_prob: float = 0.1,
        mask_schedule: MaskScheduleName = "constant",
        train_mask_probs: list[float] | None = None,
        num_mask_draws: int = 1,
        redraw_eval_masks: bool = False,
        eval_seed: int = 42,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, num_mask_draws=num_mask_draws)
        self.masking = masking or TokenMasking()
        self.finds_words = self.masking.needs_words
        if self.segmenter is not None and not self.finds_words:
            raise InputError(f"data.segmenter has no effect on {type(self.masking).__name__}, which asks for no words")
        self.schedule = None
        if train_mask_probs is not None or mask_schedule != "constant":
            self.schedule = MaskSchedule(mask_schedule, train_mask_probs or [])
        self.save_hyperparameters(logger=False)
        self.examples: dict[str, MaskedBlocks] = {}
        self.packed: dict[str, PackedExamples] = {}
        self.mixture: Mixture | None = None
        self.compared: list[MaskingStrategy] = []

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training blocks, in a new order and with new masks each epoch."""
        examples = self.examples["train"]
        if self.schedule is not None and self.schedule.changes:
            examples = replace(examples, num_epochs=self._count_epochs())
        dealt = self._get_dealt("train", examples)
        draw_epoch = None if self.mixture is None else partial(self.mixture.draw_epoch, examples.seed)
        return self._make_loader(dealt, len(dealt), examples.seed, draw_epoch=draw_epoch)

    def val_dataloader(self) -> Any:
        """Batches of validation blocks, in an order that never changes; with several mask draws a loader for each."""
        return self._make_eval_loaders("val")

    def test_dataloader(self) -> Any:
        """Batches of test blocks, in an order that never changes; with several mask draws a loader for each."""
        return self._make_eval_loaders("test")

    @property
    @abstractmethod
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens."""

    @property
    def order_options(self) -> dict[str, Any]:
        """The length of a training whose masks follow a schedule: it decides how far along that a batch stands."""
        changes = self.schedule is not None and self.schedule.changes
        return {"mask_schedule over so many epochs:": self._count_epochs()} if changes else {}

    def compare_maskings(self) -> None:
        """Has `lit_mlm.data.show` show what each kind of strategy masks; before the data is set up."""
        strategies = {type(strategy): strategy for strategy in (TokenMasking(), WordMasking(), SpanMasking())}
        self.compared = list((strategies | {type(self.masking): self.masking}).values())
        self.finds_words = True

    def _get_dealt(self, split: str, examples: MaskedBlocks) -> MaskedBlocks | PackedExamples:
        """What batches are made of: the examples of a split, or the rows that they are packed into."""
        return replace(self.packed[split], examples=examples) if split in self.packed else examples

    def _make_masking(self) -> Masking:
        mask_prob, mask_token_prob, random_token_prob = (self.hparams[name] for name in PROBABILITIES)
        return make_masking(self.tokenizer, mask_prob, mask_token_prob, random_token_prob, self.masking)

    def _list_masking_options(self) -> dict[str, Any]:
        """All that decides which masks there are, as plain data."""
        options = {name: self.hparams[name] for name in MASKING_OPTIONS}
        return options | {"masking": self.masking.describe(), "segmenter": hash_code(self.segmenter)}

    def _count_epochs(self) -> float:
        """The epochs of a training, the last one perhaps in part."""
        trainer = self.trainer
        if trainer is None:
            raise InputError(f"data.mask_schedule {self.hparams['mask_schedule']} needs a trainer, which knows its end")
        ends = [float(trainer.max_epochs)] if (trainer.max_epochs or -1) > 0 else []  # type: ignore[arg-type]
        if trainer.max_steps > 0:
            num_dealt = len(self._get_dealt("train", self.examples["train"]))
            num_batches = -(-num_dealt // (self.hparams["batch_size"] * trainer.world_size))
            ends.append(trainer.max_steps / -(-num_batches // trainer.accumulate_grad_batches))
        if not ends:
            raise InputError("data.mask_schedule needs an end: give trainer.max_epochs or trainer.max_steps")
        return min(ends)

    def _make_eval_loaders(self, split: str) -> Any:
        examples = self._get_dealt(split, self.examples[split])
        loaders = [
            self._make_loader(examples, len(examples), get_draw=partial(self._get_draw, number))
            for number in range(self.hparams["num_mask_draws"])
        ]
        return loaders if len(loaders) > 1 else loaders[0]

    def _get_draw(self, number: int) -> int:
        return self._get_draws()[number]

    def _get_draws(self) -> range:
        """The numbers of the mask draws of an evaluation that starts now."""
        num_draws = self.hparams["num_mask_draws"]
        num_steps = self._model.num_steps if self.hparams["redraw_eval_masks"] and self._model else 0
        return range(num_steps * num_draws, (num_steps + 1) * num_draws)
