"""The base of tasks: a `transformers` net that is built late, trained on a summed loss and scored exactly."""

import logging
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm import __version__, pretrained
from lit_mlm.checkpointing import RECORD
from lit_mlm.metrics import MeanLoss
from lit_mlm.optim import Schedule, group_parameters, make_optimizer, make_schedule, rescale_gradients

log = logging.getLogger(__name__)

LOSS_UNIT = 1024.0
"""Summed losses are divided by this before the backward pass, so that gradients are about as large as those of a mean
and fit fp16. It is the same for every batch, and a power of two, so the division is exact; the step multiplies it back.
"""

NET_OPTIONS = ("model", "revision", "config")
"""The options that decide what the net is; a checkpoint that is loaded has decided them already."""

FREE_OPTIONS = ("attn_implementation", "gradient_checkpointing")
"""The options that may change when a run goes on: what is typed holds."""


class TransformerModule(LightningModule, ABC):
    """Wraps a `transformers` net. A new task is a subclass with an Auto class, metrics and a loss.

    The net is built when a trainer is attached, by `load_from_checkpoint`, or by `build`.

    Args:
        model: name on the Hub, or folder, of a pretrained model.
        revision: of a model on the Hub.
        config: fields of a `transformers` config, `model_type` among them, of a net built from scratch; its vocabulary
            is the tokenizer's unless `vocab_size` is given.
        attn_implementation: for example ``eager`` or ``sdpa``; by default what `transformers` chooses.
        gradient_checkpointing: recomputes activations in the backward pass: slower, and much less memory.
        lr: peak learning rate.
        weight_decay: of matrices and embeddings; biases and norms never decay.
        betas: decay rates of AdamW's moments.
        eps: added to AdamW's denominator.
        schedule: of the learning rate after the warm-up, down to 0.
        num_warmup_steps: optimizer steps of linear warm-up.
    """

    auto_class: ClassVar[Any]
    """The `transformers` class that loads and builds the net."""
    monitor: ClassVar[str]
    """The figure that says which checkpoint is the best."""
    monitor_mode: ClassVar[Literal["min", "max"]]
    headline: ClassVar[tuple[str, ...]]
    """The figures that stand in a line on the terminal."""
    next_command: ClassVar[str]
    """What to run on the exported model, with ``{model}`` in its place."""

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        config: dict[str, Any] | None = None,
        attn_implementation: str | None = None,
        gradient_checkpointing: bool = False,
        lr: float = 5e-5,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        schedule: Schedule = "linear",
        num_warmup_steps: int = 0,
    ) -> None:
        super().__init__()
        if (model is None) == (config is None):
            raise ValueError(
                "give either model.model, a pretrained model, or model.config, the config of a net from scratch; "
                f"got model.model {model!r} and model.config {config!r}"
            )
        self.save_hyperparameters()
        self.net: PreTrainedModel | None = None
        self.new_weights: list[str] = []
        self.train_loss = MeanLoss()
        self.metrics = nn.ModuleDict({split: self.make_metrics() for split in ("val", "test")})
        self.results: dict[str, dict[str, Any]] = {}
        self._record: dict[str, Any] | None = None
        self._max_length: int | None = None
        self._num_scored: Tensor | int = 0

    @abstractmethod
    def make_metrics(self) -> Metric:
        """New metrics for one split; what `compute` returns is logged under the split's name."""

    @abstractmethod
    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The summed loss of a training batch, a scalar in nats, and the number of tokens that it is the loss of."""

    @abstractmethod
    def update_metrics(self, metrics: Metric, batch: dict[str, Tensor]) -> None:
        """Adds a batch to the metrics of its split."""

    def compute_figures(self, split: str) -> dict[str, Any]:
        """The figures of a whole split, by the last part of their key."""
        figures: dict[str, Any] = self.metrics[split].compute()  # type: ignore[operator]
        return figures

    def forward(self, **batch: Tensor) -> Any:
        """What the net itself returns: with labels its loss, and dense logits."""
        self.build()
        return self._net(**batch)

    # What the data module asks (`lit_mlm.text.TokenModel`)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the net takes, in tokens; None if it has no limit."""
        if self._max_length is None:
            self._max_length = pretrained.find_max_length(self.auto_class, self._make_config())
        return self._max_length

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The checkpoint's tokenizer, else the pretrained model's; None for a net from scratch."""
        if self._record is not None:
            return pretrained.unpack_tokenizer(self._record["tokenizer"])
        if self.hparams["model"] is None:
            return None
        return pretrained.load_tokenizer(self.hparams["model"], self.hparams["revision"])

    # The net

    def build(self, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Builds the net, unless it is there: from a checkpoint's record, a pretrained model or a config.

        Args:
            tokenizer: gives a net from scratch its vocabulary size and special ids.
        """
        if self.net is not None:
            return
        options = self.hparams
        attention = (
            {} if options["attn_implementation"] is None else {"attn_implementation": options["attn_implementation"]}
        )
        if self._record is None and options["model"] is not None:
            name = options["model"]
            self.net, self.new_weights = pretrained.load_net(self.auto_class, name, options["revision"], **attention)
            self._report_new_weights()
        else:
            self.net = pretrained.build_net(self.auto_class, self._make_config(tokenizer), **attention)
        if options["gradient_checkpointing"]:
            self.net.activation_checkpointing_enable({"use_reentrant": False})
        self.net.train()  # a pretrained net arrives in eval mode, and Lightning leaves it there: no dropout

    def restore_from(self, record: dict[str, Any]) -> None:
        """Takes the net's config and tokenizer from a checkpoint's record; the weights follow by Lightning's load."""
        self._record = record

    def configure_model(self) -> None:
        """Builds the net for the trainer and checks that it fits the data."""
        if self._trainer is None:
            return  # load_from_checkpoint: `on_load_checkpoint` builds the net
        self.build(getattr(self._data_module, "tokenizer", None))
        self._check_data()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what it takes to restore the net alone, and the figures of its last validation."""
        tokenizer = getattr(self._data_module, "tokenizer", None)
        checkpoint[RECORD] = {
            "version": __version__,
            "auto_class": self.auto_class.__name__,
            "config": self._net.config.to_dict(),
            "options": dict(self.hparams),  # Lightning's own copy takes what load_from_checkpoint is given
            "tokenizer": {} if tokenizer is None else pretrained.pack_tokenizer(tokenizer),
            "tokenizer_sha256": None if tokenizer is None else pretrained.hash_tokenizer(tokenizer),
            "results": self.results,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the net that a checkpoint describes; refuses options that the checkpoint would silently replace."""
        is_resumed = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        saved = checkpoint[RECORD]["options"]
        names = [name for name in self.hparams if name not in FREE_OPTIONS] if is_resumed else NET_OPTIONS
        for name in names:
            if name in saved and _plain(self.hparams[name]) != _plain(saved[name]):
                raise ValueError(
                    f"model.{name} is {self.hparams[name]!r}, but the checkpoint was made with {saved[name]!r}, "
                    "which would take its place; give the checkpoint's value, or start from its hf folder instead"
                )
        self._record = checkpoint[RECORD]
        self.results = dict(self._record["results"])
        self.build()
        if self._trainer is not None:
            self._check_data()

    # Training

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The summed loss in units of `LOSS_UNIT`; `configure_gradient_clipping` makes the mean of it."""
        nats, num_scored = self.sum_loss(batch)
        self.train_loss.update(nats, num_scored)
        self._num_scored = self._num_scored + num_scored
        self.log("train/loss_step", nats.detach() / num_scored.clamp(min=1), prog_bar=True)
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return nats / LOSS_UNIT

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Divides the gradients by the scored tokens of the whole step, over accumulation and ranks, then clips them.

        Clipping is torch's own: Lightning's refuses a fused optimizer under mixed precision (Lightning #21435), which
        is right for fp16 only, where `configure_optimizers` takes another one.
        """
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        num_scored = self.trainer.strategy.reduce(
            torch.as_tensor(self._num_scored, dtype=torch.float64, device=self.device), reduce_op="sum"
        )
        self._num_scored = 0
        # Lightning has divided by the accumulated batches, and the ranks' gradients are averaged.
        factor = LOSS_UNIT * self.trainer.accumulate_grad_batches * self.trainer.world_size
        rescale_gradients(parameters, (factor / num_scored.clamp(min=1)).float())
        if not gradient_clip_val:
            return
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        else:
            self.log("train/grad_norm", nn.utils.clip_grad_norm_(parameters, gradient_clip_val))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with decay groups, and a schedule over all optimizer steps of the training."""
        options = self.hparams
        optimizer = make_optimizer(
            group_parameters(self.named_parameters(), options["weight_decay"]),
            options["lr"],
            tuple(options["betas"]),
            options["eps"],
            scaled=getattr(self.trainer.precision_plugin, "scaler", None) is not None,
        )
        num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = make_schedule(optimizer, options["schedule"], options["num_warmup_steps"], num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """The training loss beside a validation is the mean since here."""
        self.train_loss.reset()

    # Evaluation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Adds a batch to the validation's sums."""
        self.update_metrics(self.metrics["val"], batch)  # type: ignore[arg-type]

    def on_validation_epoch_end(self) -> None:
        """Logs the figures of the whole split; those of the sanity check, if it was whole, are the start's."""
        if not self.trainer.sanity_checking:
            self._finish("val", "val")
        elif self.trainer.num_sanity_val_steps == float("inf"):
            self._finish("val", "start/val")
        else:
            self.metrics["val"].reset()  # type: ignore[operator]

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Adds a batch to the test's sums."""
        self.update_metrics(self.metrics["test"], batch)  # type: ignore[arg-type]

    def on_test_epoch_end(self) -> None:
        """Logs the figures of the whole split."""
        self._finish("test", "test")

    def _finish(self, split: str, prefix: str) -> None:
        figures = self.compute_figures(split)
        self.metrics[split].reset()  # type: ignore[operator]
        self.results[prefix] = figures
        logged = {f"{split}/{name}": float(value) for name, value in figures.items() if isinstance(value, float)}
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            logged["train/loss"] = float(self.train_loss.compute())
            self.results["train"] = {"loss": logged["train/loss"]}
        self.log_dict(logged, sync_dist=True)

    # Private

    @property
    def _net(self) -> PreTrainedModel:
        if self.net is None:
            raise RuntimeError("the net is not built yet: attach a trainer or call build()")
        return self.net

    @property
    def _data_module(self) -> Any:
        return None if self._trainer is None else getattr(self.trainer, "datamodule", None)

    def _make_config(self, tokenizer: PreTrainedTokenizerBase | None = None) -> Any:
        if self._record is not None:
            return pretrained.restore_config(self._record["config"])
        if self.hparams["model"] is not None:
            return pretrained.load_config(self.hparams["model"], self.hparams["revision"])
        fields = dict(self.hparams["config"])
        if tokenizer is not None:
            fields = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id} | fields
        return pretrained.make_config(fields)

    def _report_new_weights(self) -> None:
        if not self.new_weights or self.global_rank != 0:
            return
        is_evaluated = self._trainer is not None and self.trainer.state.fn != TrainerFn.FITTING
        log.log(
            logging.WARNING if is_evaluated else logging.INFO,
            "%d weights are not in %s and start at random: %s",
            len(self.new_weights),
            self.hparams["model"],
            ", ".join(self.new_weights),
        )

    def _check_data(self) -> None:
        """Raises ValueError where the tokenizer or the longest sequence doesn't fit the net."""
        tokenizer = getattr(self._data_module, "tokenizer", None)
        if tokenizer is None:
            return
        num_ids = max(tokenizer.get_vocab().values()) + 1
        num_rows = len(cast(Tensor, self._net.get_input_embeddings().weight))
        if num_ids > num_rows:
            raise ValueError(f"the tokenizer has {num_ids} tokens, but the net's vocabulary only {num_rows}")
        expected = None if self._record is None else self._record["tokenizer_sha256"]
        found = pretrained.hash_tokenizer(tokenizer)
        if expected not in (None, found):
            raise ValueError(f"the checkpoint was made with the tokenizer of SHA-256 {expected}, the data with {found}")
        length, limit = self._data_module.sequence_length, self.max_length
        if limit is not None and length > limit:
            raise ValueError(f"the data has sequences of {length} tokens, but the net takes at most {limit}")


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a value equals what a checkpoint or a YAML made of it."""
    return list(value) if isinstance(value, tuple) else value
