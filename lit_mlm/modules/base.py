"""The base of tasks: trains a `transformers` net on a summed loss and evaluates it exactly."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Muon, Optimizer

from lit_mlm.batch import get_eval_sets
from lit_mlm.errors import InputError
from lit_mlm.metrics.details import compute_details
from lit_mlm.metrics.sums import TINY, MeanLoss, SumMetric, add_up
from lit_mlm.modules.finite import refuse_non_finite
from lit_mlm.modules.net import NetModule, check_start
from lit_mlm.modules.optim import (
    Schedule,
    check_schedule,
    count_steps,
    decay_lr,
    find_hidden,
    group_parameters,
    make_schedule,
    replace_schedule,
    rescale_gradients,
)
from lit_mlm.modules.optimizers import OptimizerFactory, find_class, make_optimizer, refuse_unused
from lit_mlm.modules.units import collect_units
from lit_mlm.nets.lora import Lora
from lit_mlm.nets.sharding import gather
from lit_mlm.options import Amount, Part, Rate, Share, Size, check_options
from lit_mlm.upstream import set_logged_step

LOSS_UNIT = 1024.0
"""Divisor of summed losses before the backward pass, so that gradients fit fp16. A constant power of two, so that the
division is exact; `configure_gradient_clipping` multiplies it back."""


class TransformerModule(NetModule, ABC):
    """Wraps a `transformers` net. A new task defines an Auto class, metrics and a loss.

    The net is built when a trainer is attached, by `load_from_checkpoint`, or by `build`.

    Args:
        model: name on the Hub, or folder, of a pretrained model.
        revision: of a model on the Hub.
        allow_pickle: reads pickled weights, as data only, if there are no safetensors.
        trust_remote_code: runs the custom code of a model, from a folder or from the commit in `revision`.
        config: fields of a `transformers` config, with `model_type`, of a net from scratch; its vocabulary is the
            tokenizer's unless `vocab_size` is given.
        attn_implementation: for example ``eager`` or ``sdpa``; by default chosen by `transformers`.
        gradient_checkpointing: recomputes activations in the backward pass: slower, but much less memory.
        compile: compiles the layers by `torch.compile`, which takes a minute and pays off in long runs on a GPU.
        freeze_embeddings: freezes everything below the layers, and what is tied to it, such as a head's matrix.
        freeze_layers: number of lowest layers to freeze.
        lora: trains small matrices beside those of the layers, by low-rank adaptation, and the head.
        lr: peak learning rate.
        layer_decay: factor on the learning rate from each layer to the one below it, in (0, 1]: the head has `lr`, the
            last layer `lr` x `layer_decay`, and so on down to the embeddings.
        weight_decay: of matrices and embeddings; biases and norms do not decay.
        decay_all: applies weight decay to biases and norms too.
        betas: decay rates of AdamW's moments.
        eps: added to AdamW's denominator.
        optimizer: class of another optimizer and its own options, in Python a function of parameter groups; `lr`,
            `weight_decay` and the schedule apply to all. ``torch.optim.Muon`` trains the matrices of the layers, AdamW
            the rest.
        schedule: of the learning rate after warm-up: ``linear`` and ``cosine`` decay to 0 at the end of training,
            ``warmup_stable_decay`` only in its last steps, ``constant`` not at all.
        num_warmup_steps: optimizer steps of linear warm-up.
        warmup_fraction: the same as a fraction of all optimizer steps, rounded up; excludes `num_warmup_steps`.
        decay_fraction: fraction of the steps, rounded up, in which ``warmup_stable_decay`` decays, by default 0.1.
    """

    headline: ClassVar[tuple[str, ...]] = ("loss",)
    """Metrics that are printed, if present, the most important one first."""
    next_command: ClassVar[str | None] = None
    """A command to try on the exported model; ``{model}`` is replaced by its path, quoted for a shell."""

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        config: dict[str, Any] | None = None,
        attn_implementation: str | None = None,
        gradient_checkpointing: bool = False,
        lr: Amount = 5e-5,
        weight_decay: Amount = 0.01,
        betas: tuple[Part, Part] = (0.9, 0.999),
        eps: Amount = 1e-8,
        schedule: Schedule = "linear",
        num_warmup_steps: Size = 0,
        warmup_fraction: Share | None = None,
        decay_fraction: Rate | None = None,
        layer_decay: Rate = 1.0,
        decay_all: bool = False,
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        optimizer: OptimizerFactory | None = None,
        compile: bool = False,  # noqa: A002
        freeze_embeddings: bool = False,
        freeze_layers: Size = 0,
        lora: Lora | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(type(self), "auto_class"):
            raise TypeError(f"{type(self).__name__} must define auto_class")
        self.save_hyperparameters()
        check_start(self.hparams)
        check_options("model", type(self), self.hparams)
        check_schedule(schedule, num_warmup_steps, warmup_fraction, decay_fraction)
        # Of a checkpoint it is a description, as loading one must not import anything.
        self._optimizer = None if isinstance(optimizer, Mapping) else optimizer
        refuse_unused(self._optimizer, betas, eps)
        self.train_loss = MeanLoss()
        # By split: one metric per loader, each a mask draw of a set. Created late, as they depend on the data's labels.
        self.metrics = nn.ModuleDict({split: nn.ModuleList() for split in ("val", "test")})
        self._has_old_gradients = False
        self._sums = torch.zeros(3, dtype=torch.float64)  # of the current step: scored tokens, nats, tokens

    @property
    @abstractmethod
    def monitor(self) -> str:
        """The metric that selects the best checkpoint; read once the data module is set up."""

    @property
    @abstractmethod
    def monitor_mode(self) -> Literal["min", "max"]:
        """Whether lower or higher is better."""

    @abstractmethod
    def make_metrics(self) -> SumMetric:
        """Creates the metrics of a split; `compute` must return a dict.

        Floats are logged. Names with a slash, which are of one class (``f1/PER``), are logged only if the part before
        it is first in `headline`. All values go to ``metrics.json``.
        """

    @abstractmethod
    def sum_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the summed loss of a batch, a scalar in nats, and its number of tokens or sum of weights."""

    @abstractmethod
    def update_metrics(self, metrics: SumMetric, batch: dict[str, Tensor]) -> Any:
        """Adds a batch to the metrics of its split; what it returns are the outputs of the step, for callbacks."""

    def compute_metrics(self, split: str) -> dict[str, Any]:
        """Returns the metrics of a whole split, or of a set such as ``val/news``, by the last part of their key."""
        metrics = add_up(self._get_metrics(split)).compute()
        if not isinstance(metrics, dict):
            raise TypeError(f"compute() of the metrics must return a dict by name, got {type(metrics)}")
        return metrics

    def describe_results(self, metrics: dict[str, Any]) -> list[str]:
        """Formats lines for the terminal, such as a table, from the result of `compute_metrics`."""
        return []

    # Training

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Returns the summed loss / `LOSS_UNIT`; `configure_gradient_clipping` turns it into a mean.

        Frees the gradients of the last step, which Lightning keeps until the end of the forward pass.
        """
        if self._has_old_gradients:
            self.optimizers(use_pl_optimizer=False).zero_grad()  # type: ignore[union-attr]
            self._has_old_gradients = False
        nats, num_scored = self.sum_loss(batch)
        self.train_loss.update(nats, num_scored)
        sums = num_scored, nats.detach(), batch["attention_mask"].sum()
        self._sums = self._sums.to(self.device) + torch.stack([part.double() for part in sums])
        self.log("train/loss_step", nats.detach() / num_scored.clamp(min=TINY), prog_bar=True)
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return nats / LOSS_UNIT

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Divides gradients by the scored tokens of the whole step, over accumulation and ranks, and clips them.

        Clips by torch, as Lightning refuses fused optimizers under mixed precision (`lit_mlm.upstream.FAULTS`). That is
        right only for fp16, where `configure_optimizers` does not fuse.
        """
        self._has_old_gradients = True
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        num_scored, nats, num_tokens = self.trainer.strategy.reduce(self._sums.to(self.device), reduce_op="sum")
        self._sums, self.num_tokens = torch.zeros(3, dtype=torch.float64), self.num_tokens.to(self.device) + num_tokens
        # Lightning has divided by the accumulated batches, and the ranks' gradients are averaged.
        factor = LOSS_UNIT * self.trainer.accumulate_grad_batches * self.trainer.world_size
        rescale_gradients(parameters, (factor / num_scored.clamp(min=TINY)).float())
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        refuse_non_finite(self.trainer, nats, whole_norm := gather(norm))
        self.log("train/grad_norm", whole_norm)
        if gradient_clip_val and gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        elif gradient_clip_val:
            nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Returns the optimizer with decay groups, and a schedule over all optimizer steps."""
        options, optimizer = self.hparams, self._make_optimizer()
        num_steps = self.trainer.estimated_stepping_batches
        if num_steps == float("inf"):
            raise InputError("a schedule needs an end: give trainer.max_epochs or trainer.max_steps")
        num_steps, fraction = int(num_steps), options["warmup_fraction"]
        num_warmup_steps = options["num_warmup_steps"] if fraction is None else count_steps(fraction, num_steps)
        schedule = make_schedule(optimizer, options["schedule"], num_warmup_steps, num_steps, options["decay_fraction"])
        self._groups = [{key: group[key] for key in ("initial_lr", "weight_decay")} for group in optimizer.param_groups]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _make_optimizer(self) -> Optimizer:
        options, lrs, factory, encoder = self.hparams, None, self._optimizer, self._net.base_model
        if factory is None and options["optimizer"] is not None:
            raise InputError(f"the checkpoint was made with {options['optimizer']}: give it as optimizer, to train on")
        if options["layer_decay"] != 1:
            lrs = decay_lr(self, encoder, options["lr"], options["layer_decay"])
        groups = group_parameters(self.named_parameters(), options["weight_decay"], options["decay_all"], lrs)
        return make_optimizer(
            [{"lr": options["lr"]} | group for group in groups],
            {"betas": tuple(options["betas"]), "eps": options["eps"]},
            getattr(self.trainer.precision_plugin, "scaler", None) is not None,
            factory,
            find_hidden(self, encoder) if factory and issubclass(find_class(factory), Muon) else (),
        )

    def on_train_start(self) -> None:
        """Replaces the learning rates and weight decay of the checkpoint if the resumed run has others."""
        if self.has_new_schedule:
            replace_schedule(self.optimizers(use_pl_optimizer=False), self.lr_schedulers(), self._groups)

    def on_train_epoch_start(self) -> None:
        """Resets the training loss."""
        self.train_loss.reset()

    def on_train_epoch_end(self) -> None:
        """Logs the training loss if no validation does."""
        if not self.trainer.enable_validation:
            self._log_train_loss()

    # Evaluation

    def on_validation_epoch_start(self) -> None:
        """Resets the metrics."""
        self._reset_metrics("val")

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Adds a batch to the metrics, and returns what `update_metrics` does."""
        return self._update_metrics("val", batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics; those of a full sanity check become the start's, unless the run was resumed."""
        if not self.trainer.sanity_checking:
            self._finish("val", "val")
        elif self.trainer.num_sanity_val_steps == float("inf") and "start/val" not in self.results:
            self._finish("val", "start/val")
        else:
            self._reset_metrics("val")

    def on_test_epoch_start(self) -> None:
        """Resets the metrics."""
        self._reset_metrics("test")

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Adds a batch to the metrics, and returns what `update_metrics` does."""
        return self._update_metrics("test", batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics of the split."""
        self._finish("test", "test")

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Any:
        """Returns what `predict` writes for a batch; refused by tasks that do not override it."""
        raise InputError(
            f"{type(self).__name__} can't predict: use TokenClassification to tag words, TextClassification to label "
            "texts, or the command fill to fill masks"
        )

    def collect_units(self, split: str) -> tuple[str, dict[str, Any]]:
        """Collects the units of a split before its metrics are reset, see `lit_mlm.modules.units`; none of a part."""
        names = [f"{split}/{name}" for name in get_eval_sets(self._data_module, split)] or [split]
        metrics = {} if self._scores_part(split) else {name: add_up(self._get_metrics(name)) for name in names}
        return collect_units(metrics, self._data_module)

    def _scores_part(self, split: str) -> bool:
        """Whether the Trainer limits the evaluation to a part of the split."""
        limit = getattr(self.trainer, f"limit_{split.partition('/')[0]}_batches")
        return isinstance(limit, int) or limit < 1.0

    def _update_metrics(self, split: str, batch: dict[str, Tensor], draw: int) -> Any:
        metrics = cast(nn.ModuleList, self.metrics[split])
        while len(metrics) <= draw:
            metrics.append(self.make_metrics().to(self.device))
        return self.update_metrics(cast(SumMetric, metrics[draw]), batch)

    def _get_metrics(self, split: str) -> list[SumMetric]:
        """The metrics of each mask draw of a split or set; those of a split are the sums of its sets."""
        split, _, name = split.partition("/")
        metrics = [cast(SumMetric, metric) for metric in cast(nn.ModuleList, self.metrics[split])]
        if not (names := get_eval_sets(self._data_module, split)):
            return metrics
        num_draws = len(metrics) // len(names)
        by_set = {each: metrics[i * num_draws : (i + 1) * num_draws] for i, each in enumerate(names)}
        return by_set[name] if name else [add_up(draws) for draws in zip(*by_set.values(), strict=True)]

    def _reset_metrics(self, split: str) -> None:
        """Starts with one metric; further loaders add theirs on their first batch."""
        self.metrics[split] = nn.ModuleList([self.make_metrics().to(self.device)])

    def _finish(self, split: str, prefix: str) -> None:
        found = {"": self.compute_metrics(split)}
        for name in get_eval_sets(self._data_module, split):
            if any(metric.partition("/")[0] == name for metric in found[""]):
                raise InputError(f"data.{split}_files: rename the set {name}, which is the name of a metric")
            found[f"{name}/"] = self.compute_metrics(f"{split}/{name}")
        if self.keeps_details:
            self.details[prefix] = compute_details(self._get_metrics(split))
        self._reset_metrics(split)
        self.results[prefix] = {part + name: metrics[name] for part, metrics in found.items() for name in metrics}
        logged = {
            f"{split}/{part}{name}": metrics[name]
            for part, metrics in found.items()
            for name in self._choose_logged(metrics)
        }
        if self.trainer.sanity_checking:  # Lightning would not log these
            for logger in self.trainer.loggers:
                logger.log_metrics(logged | {"epoch": 0}, step=0)
            return
        if self.trainer.state.fn != TrainerFn.FITTING:
            set_logged_step(self.trainer, max(self.num_steps, self.trainer.global_step))
            self.log("epoch", float(max(self.num_epochs, self.trainer.current_epoch)), sync_dist=True)
        self.log_dict(logged, sync_dist=True)
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._log_train_loss()

    def _choose_logged(self, metrics: dict[str, Any]) -> list[str]:
        """The names of the metrics for loggers: floats; those of one class only if that of all classes leads."""
        whole = {name for name in self.headline[:1] if name in metrics}
        floats = [name for name, value in metrics.items() if isinstance(value, float)]
        return [name for name in floats if "/" not in name or name.partition("/")[0] in whole]

    def _log_train_loss(self) -> None:
        self.results["train"] = {"loss": float(self.train_loss.compute()), "num_tokens": int(self.num_tokens)}
        self.log("train/loss", self.results["train"]["loss"], sync_dist=True)
