"""The masking options of a data module."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.tokens.cached import hash_code
from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions, Rate, Seed, Share, describe_option, explain_call
from lit_mlm.text.masking.masking import Masking
from lit_mlm.text.masking.schedule import MaskSchedule, MaskScheduleName
from lit_mlm.text.masking.strategies import MaskingStrategy, TokenMasking
from lit_mlm.text.masking.word_starts import Segmenter


@dataclass(frozen=True)
class MaskOptions(DataOptions):
    """Options of `BlocksDataModule` that define the masks; all are part of the fingerprint."""

    masking: MaskingStrategy | None = None
    mask_prob: Rate = 0.15
    mask_token_prob: Share = 0.8
    random_token_prob: Share = 0.1
    mask_schedule: MaskScheduleName = "constant"
    train_mask_probs: list[float] | None = None
    num_mask_draws: Count = 1
    redraw_eval_masks: bool = False
    eval_seed: Seed = 42
    segmenter: Segmenter | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segmenter is not None and not self.strategy.needs_words:
            raise InputError(f"data.segmenter has no effect on {type(self.strategy).__name__}, which uses no words")
        if self.segmenter is not None and (wrong := explain_call(self.segmenter, ["text"])):
            raise InputError(f"data.segmenter {wrong}")
        self.schedule  # noqa: B018 (checks the rates)

    @property
    def strategy(self) -> MaskingStrategy:
        """Chooses the tokens to score."""
        return self.masking or TokenMasking()

    @property
    def schedule(self) -> MaskSchedule | None:
        """The schedule of the fraction of scored tokens in training; None if it is always `mask_prob`."""
        if self.train_mask_probs is None and self.mask_schedule == "constant":
            return None
        return MaskSchedule(self.mask_schedule, self.train_mask_probs or [])

    def make_masking(self, tokenizer: PreTrainedTokenizerBase) -> Masking:
        """Applies the options to a tokenizer, whose special tokens are neither masked nor random replacements."""
        if tokenizer.mask_token_id is None:
            raise InputError(
                f"the tokenizer {tokenizer.name_or_path} has no mask token; use the tokenizer of a masked language "
                "model, or train one with data.vocab_size"
            )
        vocabulary = tokenizer.get_vocab()
        ids = list(vocabulary.values())
        is_ordinary = np.zeros(max(ids) + 1, dtype=np.bool_)
        is_ordinary[ids] = True
        is_ordinary[tokenizer.all_special_ids] = False
        is_ordinary[[i for i, token in tokenizer.added_tokens_decoder.items() if token.special]] = False
        shares = self.mask_prob, self.mask_token_prob, self.random_token_prob
        try:
            return Masking(tokenizer.mask_token_id, is_ordinary, *shares, self.strategy.with_vocabulary(vocabulary))
        except InputError as error:
            raise InputError(f"data.{error}") from error

    def describe_split(self) -> dict[str, int | str]:
        """The seed, strategy and rates of the masks of an evaluation."""
        rates = f"{self.mask_prob:g}/{self.mask_token_prob:g}/{self.random_token_prob:g}"
        return {"eval_seed": self.eval_seed, "masking": str(self.strategy), "mask_rates": rates}

    def list_draws(self, num_steps: int) -> range:
        """The mask draws of an evaluation after `num_steps` optimizer steps."""
        first = num_steps * self.num_mask_draws if self.redraw_eval_masks else 0
        return range(first, first + self.num_mask_draws)

    def count_epochs(self, trainer: Any, num_batches: int) -> float:
        """The epochs of a training with a mask schedule, possibly fractional; `num_batches` per epoch on all ranks."""
        if trainer is None:
            raise InputError(f"data.mask_schedule {self.mask_schedule} needs a trainer, which sets its end")
        ends = [float(trainer.max_epochs)] if (trainer.max_epochs or -1) > 0 else []
        if trainer.max_steps > 0:
            num_batches = -(-num_batches // trainer.world_size)
            ends.append(trainer.max_steps / -(-num_batches // trainer.accumulate_grad_batches))
        if not ends:
            raise InputError("data.mask_schedule needs an end: give trainer.max_epochs or trainer.max_steps")
        return min(ends)

    def list_notes(self) -> list[str]:
        """Notes on unusual masking for the first line of a run."""
        schedule = self.schedule
        notes = [f"masked by {type(self.strategy).__name__}"] if self.strategy.needs_words else []
        return notes if schedule is None else [*notes, f"mask_prob in training {schedule}"]

    def describe(self) -> dict[str, Any]:
        """The options as plain data, for the fingerprint; a segmenter is represented by a hash of its code."""
        return {name: describe_option(value) for name, value in vars(self).items()} | {
            "masking": self.strategy.describe(),
            "segmenter": hash_code(self.segmenter),
        }
