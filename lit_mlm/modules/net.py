"""The life cycle of a net in a Lightning module: built late, checked against the data, kept in checkpoints."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from multiprocessing import parent_process
from typing import Any, ClassVar, Self, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.batch import TextSource, require_source
from lit_mlm.errors import InputError
from lit_mlm.metrics.details import Details
from lit_mlm.nets import pretrained
from lit_mlm.nets.compatibility import check_fit
from lit_mlm.nets.compilation import compile_layers
from lit_mlm.nets.depths import freeze
from lit_mlm.nets.embeddings import extend_vocabulary
from lit_mlm.nets.isolation import require_isolation
from lit_mlm.nets.lora import add_lora
from lit_mlm.nets.remote_code import load_code
from lit_mlm.nets.sharding import shard_net
from lit_mlm.options import describe_options
from lit_mlm.runs.changes import refuse_changes
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from lit_mlm.runs.hardware import reuse_memory
from lit_mlm.upstream import find_trainer

log = logging.getLogger(__name__)

NET_OPTIONS = ("model", "revision", "config", "lora")
"""The options that define the net; a loaded checkpoint has fixed them."""

NEWER_OPTIONS = {
    "warmup_fraction": None,
    "decay_fraction": None,
    "layer_decay": 1.0,
    "decay_all": False,
    "compile": False,
    "optimizer": None,
    "freeze_embeddings": False,
    "freeze_layers": 0,
    "lora": None,
}
"""The options that older checkpoints lack, with the values they were made with."""


def check_start(options: Mapping[str, Any]) -> None:
    """Refuses options of `TransformerModule` that don't say what the net is made from."""
    model, config = options["model"], options["config"]
    if (model is None) == (config is None):
        kind, advice = "neither", ""
        if config is not None:
            kind = f"model.model {model} and a model.config of {config.get('model_type')}"
            advice = "; where two configs give them, add --model.model null or --model.config null"
        raise InputError(
            "give either model.model, a pretrained model, or model.config, the config of a net from scratch; got "
            f"{kind}{advice}"
        )
    for name in ("revision", "trust_remote_code", "lora"):
        if options[name] and model is None:
            raise InputError(f"model.{name} ({options[name]}) has no effect without model.model")


class NetModule(LightningModule):
    """Builds a net from a pretrained model, a config or a checkpoint, by the options of `TransformerModule`."""

    auto_class: ClassVar[Any]
    """The `transformers` class that loads and builds the net."""

    def __init__(self) -> None:
        super().__init__()
        self.net: PreTrainedModel | None = None
        self.new_weights: list[str] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.keeps_details = False
        """Whether evaluations sum `details`, for loggers."""
        self.details: dict[str, Details | None] = {}
        """Those of the last evaluations, by the prefix of their results."""
        self._record: dict[str, Any] | None = None
        self._max_length: int | None = None
        self._new_words: dict[int, list[int]] = {}
        self.is_isolated = False
        """Whether the net was shown to keep the sequences of packed rows apart."""
        self.num_tokens = torch.zeros((), dtype=torch.float64)
        """Tokens that the net was trained on, without padding, up to the last optimizer step."""
        self.has_new_schedule = False
        """Whether a resumed run has other `SCHEDULE_OPTIONS` than its checkpoint."""

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Restores a module as Lightning does, but reads the file as data only.

        `trust_remote_code` and `allow_pickle` are taken from `kwargs`, never from the file.
        """
        read_checkpoint(checkpoint_path)
        asked: dict[str, Any] = {"trust_remote_code": False, "allow_pickle": False, "weights_only": True} | kwargs
        return super().load_from_checkpoint(checkpoint_path, *args, **asked)

    def forward(self, **batch: Tensor) -> Any:
        """Returns the output of the net itself: dense logits, and with labels its loss."""
        self.build()
        return self._net(**batch)

    @property
    def hparams(self) -> Any:
        """The options as plain data."""
        return describe_options(super().hparams)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the net takes, in tokens; None if unlimited."""
        if self._max_length is None:
            self._max_length = pretrained.find_max_length(self.auto_class, self._make_config())
        return self._max_length

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Loads the tokenizer of the checkpoint or of the pretrained model; None for a net from scratch."""
        if self._record is not None and self.has_final_tokenizer:
            return pretrained.unpack_tokenizer(self._record["tokenizer"])
        if self.hparams["model"] is None:
            return None
        return pretrained.load_tokenizer(self.hparams["model"], self.hparams["revision"])

    @property
    def has_final_tokenizer(self) -> bool:
        """Whether `load_tokenizer` returns the tokenizer of a checkpoint, new words included."""
        return self._record is not None and bool(self._record["tokenizer"])

    @property
    def vocabulary(self) -> dict[str, Any]:
        """What the checkpoint stores about words added to its tokenizer; empty without a checkpoint."""
        return {} if self._record is None else dict(self._record.get("vocabulary", {}))

    @property
    def new_labels(self) -> list[str] | None:
        """The labels of a new head, by id; None if the task has none or the net's own head is used."""
        return None

    @property
    def num_steps(self) -> int:
        """Optimizer steps that the net was trained for."""
        if self._is_in(TrainerFn.FITTING):
            return self.trainer.global_step
        return 0 if self._record is None else int(self._record.get("num_steps", 0))

    @property
    def num_epochs(self) -> int:
        """Epochs that the checkpoint had completed when it was made, as curves count them; 0 without a checkpoint."""
        return 0 if self._record is None else int(self._record.get("epoch", 0))

    def build(self, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Builds the net from a checkpoint's record, a pretrained model or a config, unless it is built.

        The tokenizer gives a net from scratch its vocabulary size and special ids.
        """
        if self.net is not None:
            return
        options, implementation = self.hparams, self.hparams["attn_implementation"]
        attention = {} if implementation is None else {"attn_implementation": implementation}
        if self._record is None and options["model"] is not None:
            name = options["model"]
            self._load_code()
            self.net, self.new_weights = pretrained.load_net(
                self.auto_class, name, options["revision"], self.new_labels, options["allow_pickle"], **attention
            )
            self._report_new_weights()
        else:
            config = self._make_config(tokenizer)
            if self._record is None and self.new_labels is not None:
                pretrained.set_labels(config, self.new_labels)
            self.net = pretrained.build_net(self.auto_class, config, **attention)
        lora = (options if self._record is None else self._record["options"]).get("lora")
        if lora is not None:
            add_lora(self.net, lora)
        if options["gradient_checkpointing"]:
            self.net.activation_checkpointing_enable({"use_reentrant": False})
        if options["compile"]:
            compile_layers(self.net)
        self.net.train()  # from_pretrained returns eval mode, and Lightning keeps it

    def restore_from(self, record: dict[str, Any]) -> None:
        """Takes config and tokenizer from a checkpoint's record; Lightning loads the weights later."""
        if record["auto_class"] != self.auto_class.__name__:
            raise InputError(
                f"the checkpoint is of an {record['auto_class']}, but {type(self).__name__} needs an "
                f"{self.auto_class.__name__}; to start from it, give the hf folder of its run as model.model"
            )
        self._record = record

    def configure_model(self) -> None:
        """Builds the net for the trainer, adds the data's new words, checks that it fits the data, freezes parts."""
        if find_trainer(self) is None:
            return  # in load_from_checkpoint, `on_load_checkpoint` builds the net
        if self.trainer.strategy.root_device.type == "cpu":
            reuse_memory()
        require_source(self._data_module)
        self.build(getattr(self._data_module, "tokenizer", None))
        self._take_new_words()
        self._check_data()
        self._verify_isolation()
        freeze(self, self._net.base_model, self.hparams)
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            shard_net(self._net, self.trainer.strategy.root_device)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Adds the record in processes of `ddp_notebook`, `ddp_fork` and `ddp_spawn`, which return their net so."""
        state = super().state_dict(*args, **kwargs)
        if parent_process() is not None and find_trainer(self) is not None and self.net is not None:
            state[RECORD] = self._make_record()
        return state

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Builds the net that a record in the state describes, and then loads all weights strictly."""
        state = dict(state_dict)
        record = state.pop(RECORD, None)
        if record is not None:
            self.restore_from(record)
            self.results = dict(record["results"])
            self.build()
        elif self.net is None and any(name.startswith("net.") for name in state):
            raise InputError("the net is not built, so it can't load weights: call build() first")
        return super().load_state_dict(state, strict=strict or record is not None, assign=assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the record: what restores the net by itself, and the results of the last validation."""
        checkpoint["state_dict"].pop(RECORD, None)
        checkpoint[RECORD] = self._make_record()

    def _make_record(self) -> dict[str, Any]:
        tokenizer = getattr(self._data_module, "tokenizer", None)
        return {
            "version": version("lit-mlm"),
            "epoch": self.trainer.fit_loop.epoch_progress.current.ready - 1,  # Lightning increments it at the end
            "auto_class": self.auto_class.__name__,
            "config": self._net.config.to_dict(),
            "options": dict(self.hparams),  # Lightning's copy has the overrides of load_from_checkpoint
            "tokenizer": {} if tokenizer is None else pretrained.pack_tokenizer(tokenizer),
            "tokenizer_sha256": None if tokenizer is None else pretrained.hash_tokenizer(tokenizer),
            "vocabulary": getattr(self._data_module, "vocabulary", {}),
            "num_steps": self.trainer.global_step,
            "num_tokens": int(self.num_tokens),
            "results": self.results,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the checkpoint's net; refuses options that the checkpoint would silently override."""
        names = self.hparams if self._is_in(TrainerFn.FITTING) else NET_OPTIONS
        saved = NEWER_OPTIONS | checkpoint[RECORD]["options"]
        self.restore_from(checkpoint[RECORD])
        allow_changes = any(getattr(callback, "allow_changes", False) for callback in self._callbacks)
        options = {name: self.hparams[name] for name in names}
        self.num_tokens = torch.tensor(checkpoint[RECORD].get("num_tokens", 0), dtype=torch.float64)
        self.has_new_schedule = bool(refuse_changes("model", options, saved, allow_changes))
        self.results = dict(checkpoint[RECORD]["results"])
        self.build()
        self._check_data()

    @property
    def _net(self) -> PreTrainedModel:
        if self.net is None:
            raise RuntimeError("the net is not built yet: attach a trainer or call build()")
        return self.net

    @property
    def _data_module(self) -> TextSource | None:
        return cast(TextSource | None, getattr(find_trainer(self), "datamodule", None))

    @property
    def _callbacks(self) -> list[Any]:
        return getattr(find_trainer(self), "callbacks", [])

    def _is_in(self, *functions: TrainerFn) -> bool:
        """Whether a trainer is attached that runs one of these."""
        trainer = find_trainer(self)
        return trainer is not None and trainer.state.fn in functions

    def _load_code(self) -> None:
        if self.hparams["trust_remote_code"]:
            load_code(self.auto_class, self.hparams["model"], self.hparams["revision"])

    def _make_config(self, tokenizer: PreTrainedTokenizerBase | None = None) -> Any:
        self._load_code()
        if self._record is not None:
            return pretrained.restore_config(self._record["config"])
        if self.hparams["model"] is not None:
            return pretrained.load_config(self.hparams["model"], self.hparams["revision"])
        fields = self.hparams["config"]
        if tokenizer is None:
            return pretrained.make_config(fields)
        return pretrained.make_config({"vocab_size": len(tokenizer)} | fields, pretrained.find_special_ids(tokenizer))

    def _take_new_words(self) -> None:
        """Extends a pretrained net once; other nets already have the new words."""
        new_words = getattr(self._data_module, "new_words", {})
        if self._record is not None or self.hparams["model"] is None or new_words == self._new_words:
            return
        if self.hparams["lora"] is not None:
            raise InputError(
                f"data.new_words adds {len(new_words)} words, whose embeddings model.lora would never train: leave one "
                "out, or train the words first and start from the hf folder of that run"
            )
        if self._new_words:
            raise InputError(
                f"the model was extended by {len(self._new_words)} new words, but the data has {len(new_words)} "
                "others; use the data with the model's words, or a new model"
            )
        extend_vocabulary(self._net, new_words)
        self._new_words = dict(new_words)

    def _verify_isolation(self) -> None:
        """Verifies, for data that can be packed, that the net keeps the sequences of a row apart."""
        data = self._data_module
        is_needed = getattr(data, "pack_length", None) is not None
        if self.is_isolated or not (is_needed or getattr(data, "pack_batches", False)):
            return
        try:
            require_isolation(self._net)
            self.is_isolated = True
        except InputError as error:
            if is_needed:
                raise InputError(f"data.pack_length can't be used with {error}; leave data.pack_length out") from error
            if self.global_rank == 0:
                log.info("batches are padded, not packed, for %s", error)

    def _report_new_weights(self) -> None:
        if not self.new_weights or self.global_rank != 0:
            return
        is_evaluated = self._is_in(TrainerFn.VALIDATING, TrainerFn.TESTING, TrainerFn.PREDICTING)
        names = ", ".join(self.new_weights)
        message = (
            f"{len(self.new_weights)} weights are not in {self.hparams['model']} and are randomly initialised: {names}"
        )
        log.log(logging.WARNING if is_evaluated else logging.INFO, message)

    def _check_data(self) -> None:
        data = self._data_module
        if data is None or getattr(data, "tokenizer", None) is None:
            return
        expected = None if self._record is None else self._record["tokenizer_sha256"]
        check_fit(self._net, data.tokenizer, data.sequence_length, expected)
