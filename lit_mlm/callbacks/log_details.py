"""Logs what a run is and what its net does, beside the curves: text, pictures, precision-recall curves, options."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import yaml
from lightning.pytorch import Callback, Trainer

from lit_mlm.callbacks.measure_speed import MeasureSpeed
from lit_mlm.callbacks.save_config import SaveConfig
from lit_mlm.data.batches import BatchKey
from lit_mlm.errors import InputError, refuse_text, shorten
from lit_mlm.inference.card.samples import make_samples
from lit_mlm.inference.examples import tabulate_fillings, tabulate_tags, tabulate_texts
from lit_mlm.inference.masked_rows import evaluating
from lit_mlm.inference.pictures.drawing import Picture, render
from lit_mlm.inference.pictures.evaluation import (
    compute_curve,
    draw_curves,
    draw_lengths,
    draw_texts,
    draw_tokens,
    draw_words,
)
from lit_mlm.metrics.binning import accumulate_thresholds
from lit_mlm.metrics.classes import decide
from lit_mlm.metrics.details import Details, TextDetails, WordDetails
from lit_mlm.runs.hardware import describe_device
from lit_mlm.runs.media import MEDIA_LOGGERS, begin_hparams, end_hparams, log_curve, log_picture, log_text
from lit_mlm.runs.redaction import redact
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.markdown import fence_code

log = logging.getLogger(__name__)

NUM_EXAMPLES = 8, 24
"""Masked rows or labelled texts, and tagged sentences, that are shown of a validation split."""

SHARE = 0.005
"""Of the time of a training that pictures may take, before its end."""

MAX_COUNTED = 2**24
"""Tokens of the training text whose frequencies are counted; of a longer text, evenly spread ones."""

VARIANTS = ("_low", "_high", "_batch_mean", "_strict", "_pieces")


class LogDetails(Callback):
    """Logs text, pictures, precision-recall curves and options to the run's loggers; every run has it.

    Each validation and test logs what the net predicts of fixed examples, and precision and recall by threshold.
    Pictures cost more: they are drawn at the last validation, and before it as often as they take less than `SHARE` of
    the time. The metrics of the best validation so far are ``best/...``, which TensorBoard shows beside the options.
    The random state and the weights of the net stay as they are.

    Args:
        probes: sentences whose masks (``[MASK]``) the net fills, or which it tags or labels, at each validation; by
            default examples of the validation split are shown, drawn by a fixed seed.
    """

    def __init__(self, probes: list[str] | None = None) -> None:
        refuse_text("LogDetails.probes", probes)
        if probes is not None and not all(isinstance(text, str) and text.strip() for text in probes):
            raise InputError(f"LogDetails.probes must be sentences, got {probes}")
        self.probes = probes
        self._best: dict[str, float] = {}
        self._pending: tuple[str, Details, int] | None = None
        self._counts: IntArray | None = None
        self._began = time.monotonic()
        self._seconds, self._last_seconds = 0.0, 1.0  # of all pictures, and of the last ones
        self._shows_lengths = self._has_hparams = self._has_hardware = False

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lets the evaluations sum what is shown, if a logger takes it."""
        is_shown = any(isinstance(logger, MEDIA_LOGGERS) for logger in trainer.loggers)
        pl_module.keeps_details = is_shown and not trainer.fast_dev_run and stage != "predict"

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Logs the config, at the step where this process starts."""
        self._began, self._shows_lengths = time.monotonic(), not trainer.global_step
        if not trainer.is_global_zero or not pl_module.keeps_details:
            return
        saved = next((callback for callback in trainer.callbacks if isinstance(callback, SaveConfig)), None)
        config = yaml.safe_load(saved.content) if saved else {"model": dict(pl_module.hparams)}
        text = yaml.safe_dump(redact(config), sort_keys=False, allow_unicode=True)
        log_text(trainer.loggers, "config", "\n".join(fence_code(text, "yaml")), trainer.global_step)
        self._begin_hparams(trainer, pl_module, "start/val")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Logs the hardware once, after `MeasureSpeed` has measured its peak."""
        if not self._has_hardware and trainer.is_global_zero and pl_module.keeps_details:
            log_text(trainer.loggers, "hardware", "\n".join(_describe_hardware(trainer)), trainer.global_step)
        self._has_hardware = True

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Logs the learning rates of the parameter groups, if they have different ones."""
        if trainer.loggers and trainer.global_step % trainer.log_every_n_steps == 0:
            groups = trainer.optimizers[0].param_groups
            peaks = {group.get("initial_lr"): group["lr"] for group in groups}
            if len(peaks) > 1:
                pl_module.log_dict({f"train/lr/group_{i}": lr for i, lr in enumerate(peaks.values())})

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Logs the details of a validation, and those of the start as the same curves' first point."""
        prefix = "start/val" if trainer.sanity_checking else "val"
        if trainer.state.fn == "fit" and prefix == "val" and trainer.loggers and not trainer.fast_dev_run:
            self._log_best(trainer, pl_module)
        self._log(trainer, pl_module, prefix)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Logs the details of a test."""
        self._log(trainer, pl_module, "test")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Draws the last validation, unless it is drawn."""
        if self._pending is not None:
            self._draw(trainer, *self._pending)
        if trainer.is_global_zero and self._has_hparams:
            end_hparams(trainer.loggers)

    def state_dict(self) -> dict[str, Any]:
        """Returns the metrics of the best validation so far."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the metrics of the best validation."""
        self._best = dict(state_dict["best"])

    def _log(self, trainer: Any, module: Any, prefix: str) -> None:
        details = module.details.pop(prefix, None)
        if not module.keeps_details or (prefix == "start/val" and prefix not in module.results):
            return
        step, split = max(module.num_steps, trainer.global_step), prefix.rpartition("/")[2]
        texts = dict(self._show_examples(trainer, module, split))  # on all ranks, as the net may be sharded
        if not trainer.is_global_zero:
            return
        for name, lines in texts.items():
            log_text(trainer.loggers, f"{split}/{name}", "\n".join(lines), step)
        if isinstance(details, WordDetails | TextDetails):
            _log_curves(trainer, details, split, step)
        if details is not None and prefix != "start/val":
            is_cheap = self._seconds + self._last_seconds <= SHARE * (time.monotonic() - self._began)
            if trainer.state.fn != "fit" or is_cheap:
                self._draw(trainer, split, details, step)
            else:
                self._pending = split, details, step

    def _draw(self, trainer: Any, split: str, details: Details, step: int) -> None:
        began, self._pending = time.monotonic(), None
        try:
            for name, picture in self._make_pictures(trainer, split, details):
                pixels = render(picture)
                if pixels is None:
                    text = [f"**{picture.title}**", "", *picture.tabulate()]
                    log_text(trainer.loggers, name, "\n".join(text), step)
                else:
                    log_picture(trainer.loggers, name, pixels, step)
        except Exception as error:  # a training must not end by what it shows
            log.warning("%s pictures are not logged: %s", split, shorten(error))
        self._last_seconds = time.monotonic() - began
        self._seconds += self._last_seconds

    def _make_pictures(self, trainer: Any, split: str, details: Details) -> Iterator[tuple[str, Picture]]:
        """Yields the names and pictures of an evaluation, and once those of the lengths."""
        data = trainer.datamodule
        if self._shows_lengths:
            self._shows_lengths = False
            for part in ("train", "val"):
                lengths = getattr(_find_examples(data, part), "lengths", None)
                if lengths is not None and len(lengths):
                    yield f"data/{part}_lengths", draw_lengths(lengths, part)
        if isinstance(details, WordDetails | TextDetails):
            pictures = draw_words(details) if isinstance(details, WordDetails) else draw_texts(details)
            yield from ((f"{split}/{name}", picture) for name, picture in pictures.items())
            if details.num_gold.any():
                yield f"{split}/precision_recall", draw_curves(details)
        else:
            if self._counts is None:
                self._counts = _count_tokens(data, len(details.tokens))
            pictures = draw_tokens(details, getattr(data, "tokenizer", None), self._counts)
            yield from ((f"{split}/{name}", picture) for name, picture in pictures.items())

    def _show_examples(self, trainer: Any, module: Any, split: str) -> Iterator[tuple[str, list[str]]]:
        """Yields tables of the probes, or of examples of the split."""
        data = trainer.datamodule
        try:
            with trainer.precision_plugin.val_step_context(), torch.compiler.set_stance("force_eager"):
                if self.probes is not None:
                    name = module.auto_class.__name__
                    yield "probes", make_samples(name, module.net, data.tokenizer, self.probes)
                examples = _find_examples(data, split)
                if examples is None:
                    return
                if hasattr(data, "multi_label"):
                    yield "texts", _label_examples(module, data, split, examples)
                elif hasattr(module, "label_names"):
                    yield "sentences", _tag_examples(module, data, split, examples)
                elif self.probes is None:
                    batch = examples[BatchKey(0, _draw_numbers(len(examples), NUM_EXAMPLES[0]))]
                    yield "fillings", tabulate_fillings(module.net, data.tokenizer, _move(batch, module))
        except Exception as error:  # a training must not end by what it shows
            log.warning("%s examples are not logged: %s", split, shorten(error))

    def _log_best(self, trainer: Any, module: Any) -> None:
        """Logs the metrics of the best validation so far, by the task's monitor."""
        results, name = module.results["val"], module.monitor.removeprefix("val/")
        sign = 1 if module.monitor_mode == "max" else -1
        key = f"best/{module.monitor}"
        if name not in results:
            return
        if key not in self._best or sign * results[name] > sign * self._best[key]:
            self._best = {f"best/val/{each}": results[each] for each in _choose_names(module, results)}
            self._best[key] = results[name]
        if trainer.is_global_zero:
            self._begin_hparams(trainer, module, "val")
            for logger in trainer.loggers:
                logger.log_metrics(self._best, trainer.global_step)

    def _begin_hparams(self, trainer: Any, module: Any, prefix: str) -> None:
        if not self._has_hparams and prefix in module.results:
            self._has_hparams = True
            names = _choose_names(module, module.results[prefix])
            begin_hparams(trainer.loggers, [f"best/val/{name}" for name in names])


def _choose_names(module: Any, results: dict[str, Any]) -> list[str]:
    """The metrics of the headline without their variants."""
    return [name for name in module.headline if name in results and not name.endswith(VARIANTS)]


def _describe_hardware(trainer: Trainer) -> list[str]:
    """Lists the device and the peak that ``train/mfu`` is relative to."""
    device = describe_device(trainer.strategy.root_device)["device"]
    lines = [f"- device: {trainer.world_size} x {device}", f"- precision: {trainer.precision}"]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, MeasureSpeed) and callback.peak:
            how = "measured with square matrix products in the precision of the run"
            lines.append(f"- peak: {callback.peak / 1e9:,.0f} GFLOP/s per device, {how}; `train/mfu` is relative to it")
    return lines


def _log_curves(trainer: Any, details: WordDetails | TextDetails, split: str, step: int) -> None:
    right, wrong = accumulate_thresholds(details.thresholds)
    for i, name in enumerate(details.classes):
        if num_gold := int(details.num_gold[i]):
            curve = compute_curve(right[i], wrong[i], num_gold)
            counts = right[i], wrong[i], num_gold
            log_curve(trainer.loggers, f"{split}/precision_recall/{name or '_'}", counts, curve, step)


def _find_examples(data: Any, split: str) -> Any:
    """The examples of a split of our data modules, of its first set if there are several; None of others."""
    examples = getattr(data, "examples", {})
    name = data.list_sets(split)[0] if hasattr(data, "list_sets") else split
    return examples.get(name) if isinstance(examples, dict) else None


def _draw_numbers(num: int, num_drawn: int) -> IntArray:
    """Draws indices by a fixed seed, ascending."""
    return np.sort(np.random.default_rng(0).choice(num, min(num, num_drawn), replace=False)).astype(np.int64)


def _move(batch: dict[str, Any], module: Any) -> dict[str, Any]:
    return {name: value.to(module.device) for name, value in batch.items()}


def _tag_examples(module: Any, data: Any, split: str, examples: Any) -> list[str]:
    """Tags drawn sentences as the evaluation does, with all of their windows."""
    found = data.sentences[data.list_sets(split)[0]]
    numbers = _draw_numbers(len(found), NUM_EXAMPLES[1])
    rows = np.flatnonzero(np.isin(examples.table.sentences, numbers))
    predicted: dict[int, Any] = {}
    with torch.no_grad():
        predicted = module.predict_step(_move(examples[BatchKey(0, rows)], module), 0)
    shown: Sequence[int] = [number for number in numbers.tolist() if number in predicted]
    words, gold = ([getattr(found[i], name) for i in shown] for name in ("words", "tags"))
    return tabulate_tags(words, gold, [predicted[i][0] for i in shown], data.scheme)


def _label_examples(module: Any, data: Any, split: str, examples: Any) -> list[str]:
    """Labels drawn texts as the evaluation does."""
    numbers, labels = _draw_numbers(len(examples), NUM_EXAMPLES[0]), data.labels
    with evaluating(module.net):
        probs, found = decide(module.compute_logits(_move(examples[BatchKey(0, numbers)], module)), data.multi_label)
    texts = [data.texts[data.list_sets(split)[0]][number] for number in numbers.tolist()]
    ours = [[name for name, is_found in zip(labels, row, strict=True) if is_found] for row in found.tolist()]
    scores = [dict(zip(labels, row, strict=True)) for row in probs.tolist()]
    shown, gold = [" / ".join(text.columns) for text in texts], [text.labels or () for text in texts]
    return tabulate_texts(shown, gold, ours, scores)


def _count_tokens(data: Any, vocab_size: int) -> IntArray:
    """Counts the token ids of the training text, shape (V,); zeros if there is none at hand."""
    stream = getattr(_find_examples(data, "train"), "stream", np.zeros(0, dtype=np.int32))
    counts = np.zeros(vocab_size, dtype=np.int64)
    num_parts = 64
    every = max(1, -(-len(stream) // MAX_COUNTED))
    size = max(1, -(-len(stream) // (num_parts * every)))
    for start in range(0, len(stream), size * every):
        counts += np.bincount(stream[start : start + size], minlength=vocab_size)[:vocab_size]
    return counts
