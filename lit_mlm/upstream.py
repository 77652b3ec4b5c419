"""What lit-mlm knows of the insides of other packages: private names, faults, and warnings that do not apply here.

Checked with the versions in constraints.txt; `tests/test_upstream.py` fails once a package no longer needs an entry.
Packages are imported late, as every command imports this file.
"""

import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import wraps
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import Any

from lit_mlm.errors import escape_controls

ROUNDING = "MKL_CBWR"
"""Environment variable that makes MKL, torch's matrix products on x86, round independently of memory addresses.

Otherwise a resumed run may end with other weights on some CPUs (Intel oneMKL Developer Guide, "Obtaining Numerically
Reproducible Results").
"""

TREE_WARNING = r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*"
"""What torch warns of in its own code and in Lightning's."""

FALSE_ALARMS = (
    r".*does not have many workers.*",  # masking is vectorised, so workers pay off on fast devices only
    r".*is smaller than the logging interval.*",  # short runs are fine
    r".*args parameter is intended to run.*",  # `lit_mlm.cli.main` handles commands before LightningCLI
    r".*exists and is not empty.*",  # a resumed run continues in its folder
    r".*your dataloader is not resumable.*",  # the samplers make it resumable
    r".*-wrapped module .* returned a view tensor.*",  # logits are never changed in place
    TREE_WARNING,  # Lightning's own use of torch, see FAULTS
)
"""Warnings of Lightning and torch that do not apply here, as regular expressions."""

FAULTS = {
    "lit_mlm.data.batches.LazyDataLoader": "https://github.com/Lightning-AI/pytorch-lightning/issues/20550",
    "lit_mlm.modules.base.TransformerModule.configure_gradient_clipping": (
        "https://github.com/Lightning-AI/pytorch-lightning/issues/21435"
    ),
    "lit_mlm.runs.checkpoint_io.SafeCheckpointIO": "https://github.com/Lightning-AI/pytorch-lightning/issues/21253",
    "lit_mlm.upstream.FALSE_ALARMS": "https://github.com/Lightning-AI/pytorch-lightning/issues/21326",
    "lit_mlm.upstream.ignore_checkpoint_options": "https://github.com/Lightning-AI/pytorch-lightning/issues/21455",
    "lit_mlm.upstream.JSONARGPARSE_WARNINGS": "https://github.com/Lightning-AI/pytorch-lightning/issues/21900",
}
"""Reported faults of Lightning, by what works around them."""

JSONARGPARSE_WARNINGS = "JSONARGPARSE_DEPRECATION_WARNINGS"
"""Environment variable that turns off warnings about Lightning's own use of jsonargparse."""


def choose_messages() -> None:
    """Shows log messages of lit-mlm, and only warnings of other packages, without false alarms."""
    for pattern in FALSE_ALARMS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(_Escaping("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("lit_mlm").setLevel(logging.INFO)


class _Escaping(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape_controls(super().format(record))


# Lightning's loops


def find_trainer(module: Any) -> Any:
    """Returns the trainer of a module, or None; the public property raises without one."""
    return module._trainer


def is_accumulating(trainer: Any) -> bool:
    """Whether the current batch ends without an optimizer step."""
    return bool(trainer.fit_loop.epoch_loop._should_accumulate())


def is_validation_due(trainer: Any, is_at_the_end: bool) -> bool:
    """Whether Lightning validates after the current batch, or, if training ends here, after its last epoch."""
    loop = trainer.fit_loop.epoch_loop
    is_last = is_at_the_end and loop._should_check_val_epoch()
    return bool(is_last or loop._should_check_val_fx(trainer.fit_loop._data_fetcher))


def begin_training(trainer: Any, is_validation_due: bool) -> None:
    """Validates at the start of a resumed training, if that is due; ends an epoch that has all its batches.

    Lightning would train on one more batch than `limit_train_batches` if the epoch has no validation.
    """
    loop = trainer.fit_loop.epoch_loop
    if is_validation_due:
        trainer.validating = True
        loop.val_loop.run()
        trainer.training = True
        loop.val_loop.restarting = loop.val_loop._has_run = False  # makes the loop restart
    elif loop.batch_progress.current.ready >= trainer.num_training_batches:
        trainer.fit_loop._data_fetcher.done = True


def set_logged_step(trainer: Any, step: int) -> None:
    """Sets the optimizer step at which loggers count on; Lightning's own count is of the batches that it saw."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def settle_progress(fit_loop: dict[str, Any]) -> None:
    """Normalises the state of Lightning's loops, in place, to "an optimizer step is done, nothing is pending".

    Lightning saves in the middle of its bookkeeping, and loses a validation that was due. From this form it continues
    with the next batch or the end of the epoch; `SaveCheckpoints` runs validations that are due.
    """
    for tracker in fit_loop["epoch_progress"].values():
        before = max(0, tracker["ready"] - 1)  # none has begun where a finder saves the untrained state
        tracker.update(started=tracker["ready"], processed=before, completed=before)
    batches = fit_loop["epoch_loop.batch_progress"]
    for name in ("total", "current"):
        count = batches[name]["ready"]
        batches[name].update(started=count, processed=count, completed=count)
    validation = fit_loop["epoch_loop.val_loop.batch_progress"]
    for name in ("total", "current"):
        validation[name].update(ready=0, started=0, processed=0, completed=0)


def get_owner(frame: Any) -> Any:
    """Returns the object whose method a frame runs, or None."""
    return frame.f_locals.get("self")


def is_trainer_running(frames: Sequence[Any]) -> bool:
    """Whether frames are of a Trainer that runs already, rather than of one that is built."""
    from lightning.pytorch import Trainer

    return any(frame.f_code is Trainer._run.__code__ for frame in frames)


# Lightning's processes


def watch_children(watch: Callable[[list[Popen[Any]]], None]) -> None:
    """Lets `watch` observe, in a thread, the ranks that Lightning starts as children.

    Lightning's own observer kills all ranks without a word when one fails, the first one included.
    """
    from lightning.pytorch.strategies.launchers import subprocess_script

    def start(children: list[Popen[Any]]) -> None:
        Thread(target=watch, args=(children,), daemon=True).start()

    subprocess_script._launch_process_observer = start  # type: ignore[assignment,attr-defined]


def end_forks(launcher: Any, number: int) -> None:
    """Sends a signal to the processes that a launcher forked or spawned, if it does, and waits for them."""
    from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

    if isinstance(launcher, _MultiProcessingLauncher):
        launcher.kill(number)
        for process in launcher.procs:
            process.join()


def mend_rich_bar() -> None:
    """Makes Lightning's rich progress bar show ``Epoch 0`` where steps end a run, in place of ``Epoch 0/-2``."""
    from lightning.pytorch.callbacks import RichProgressBar

    describe = RichProgressBar._get_train_description
    if not hasattr(describe, "__wrapped__"):

        @wraps(describe)
        def mended(bar: Any, current_epoch: int) -> str:
            return describe(bar, current_epoch).replace("/-2", "")

        RichProgressBar._get_train_description = mended  # type: ignore[assignment,method-assign]


# jsonargparse and LightningCLI


def list_actions(parser: Any) -> list[Any]:
    """Returns the options of a parser; neither argparse nor jsonargparse has a public list."""
    return list(parser._actions)


def get_hint(action: Any) -> Any:
    """Returns the type of an option, or None for one without a value."""
    return getattr(action, "_typehint", None)


def get_command_parsers(cli: Any) -> dict[str, Any]:
    """Returns the parsers of a LightningCLI by command."""
    parsers: dict[str, Any] = cli._subcommand_parsers
    return parsers


def ignore_checkpoint_options(cli_class: type[Any]) -> type[Any]:
    """Decorates a LightningCLI to keep what the user typed, where it lays the options of the checkpoint over it."""
    cli_class._parse_ckpt_path = lambda self: None
    return cli_class


def represent_enums() -> None:
    """Lets YAML represent enumerations, such as the default of an option of Lightning's `Timer`, by their values."""
    import yaml

    yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


def get_yaml_resolvers() -> dict[str, Any]:
    """Returns how jsonargparse's YAML loader tells numbers, booleans and null from text."""
    from jsonargparse._loaders_dumpers import get_yaml_default_loader

    resolvers: dict[str, Any] = get_yaml_default_loader().yaml_implicit_resolvers  # type: ignore[no-untyped-call]
    return resolvers


# torch


def multiply_in_place(tensors: list[Any], factor: Any) -> None:
    """Multiplies tensors, at least one, by a scalar tensor in one pass; there is no public function for it."""
    import torch

    torch._foreach_mul_(tensors, factor)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silences what torch's ONNX exporter says about its own parts: missing torchvision, its use of torch's trees."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", TREE_WARNING)
            yield
    finally:
        logger.setLevel(level)


# torchmetrics


class KeepDtype:
    """Keeps the dtype of a metric's states when its module is cast; torchmetrics does so unless by ``.to(dtype)``."""

    def _apply(self, fn: Callable[[Any], Any], exclude_state: Sequence[str] = "") -> Any:
        return super()._apply(lambda state: state.to(fn(state).device), exclude_state)  # type: ignore[misc]


# huggingface_hub


def get_http_error() -> type[Exception]:
    """Returns the base of the errors of the HTTP client that `huggingface_hub` uses, httpx or httpx2."""
    from huggingface_hub.errors import HfHubHTTPError

    base: type[Exception] = HfHubHTTPError.__mro__[1]
    return base


# transformers


def get_attention(config: Any) -> str | None:
    """Returns the attention implementation that a config asks for, or that its net uses."""
    name: str | None = getattr(config, "_attn_implementation", None)
    return name


def is_plain(tokenizer: Any) -> bool:
    """Whether texts go to the tokenizer's backend unchanged; a subclass may preprocess them."""
    from transformers import PreTrainedTokenizerFast

    own, usual = type(tokenizer), PreTrainedTokenizerFast
    return getattr(own, "_encode_plus", None) is usual._encode_plus and own.__call__ is usual.__call__


def find_unread_vocabulary(error: Exception) -> str | None:
    """Returns the vocabulary file that `transformers` could not read for lack of a package, if that is the error.

    Its message asks for tiktoken even where SentencePiece is missing.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    files = [f.f_locals.get("vocab_file") for f in frames if f.f_code.co_name == "_convert_from_tiktoken"]
    return Path(str(files[-1])).name if files and "`tiktoken` is required" in str(error) else None
