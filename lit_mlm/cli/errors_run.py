"""Evaluates a split, and writes and prints its errors, for `python -m lit_mlm errors`."""

import importlib.metadata
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from lightning.pytorch import Callback
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from lit_mlm.callbacks.confirm_f1 import ConfirmF1
from lit_mlm.cli.configs import RUN_CONFIG, find_config
from lit_mlm.cli.errors_examples import format_sentences, format_texts
from lit_mlm.cli.errors_page import format_page
from lit_mlm.cli.errors_tables import list_tables
from lit_mlm.cli.errors_training import (
    read_parts_of_speech,
    read_training_sentences,
    read_training_texts,
    read_training_tokens,
)
from lit_mlm.cli.plain import print_error, print_result
from lit_mlm.cli.read_only import ReadOnlyCLI
from lit_mlm.cli.trainer import run
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError, shorten
from lit_mlm.metrics.classes import decide
from lit_mlm.metrics.entity_errors import ScoredSentence
from lit_mlm.metrics.error_report import report_errors
from lit_mlm.metrics.groups import list_group_metrics
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.metrics.text_errors import ScoredText, report_text_errors
from lit_mlm.metrics.word_losses import WordLosses, count_words
from lit_mlm.nets.sparse_head import compute_scored_logits
from lit_mlm.runs.atomic import read_json, write_json, write_lines
from lit_mlm.runs.folder import hold_folder
from lit_mlm.text.tables import format_table

T = TypeVar("T")

SEEN = "what training has seen is"

PLAIN = ("--trainer.devices", "1", "--trainer.num_nodes", "1", "--trainer.strategy", "auto")
"""Trainer options that a run's config may set for training; errors are those of one process."""


def run_errors(args: Sequence[str], split: str, checkpoint: Path, path: Path, **options: Any) -> None:
    """Evaluates a split of a run, and writes its errors.

    Args:
        args: a command line of ``validate`` or ``test``, without config and checkpoint.
        split: train, val or test.
        checkpoint: of the run.
        path: of the JSON file, in the run folder; the page has the same name.
        options: the others of `ErrorsCLI`.
    """
    own = ["--config", str(find_config(str(path.parent / RUN_CONFIG))), "--ckpt_path", str(checkpoint)]
    run([args[0], *own, *PLAIN, *args[1:]], partial(ErrorsCLI, split=split, path=path, **options))


class KeepTexts(Callback):
    """Keeps the probabilities of the texts of an evaluation."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, dict[str, Tensor]]] = []

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps a batch of labelled texts."""
        if isinstance(outputs, dict) and "logits" in outputs:
            self._batches.append((dataloader_idx, {name: each.cpu() for name, each in outputs.items()}))

    on_validation_batch_end = on_test_batch_end

    def list_texts(self, labels: Sequence[str], multi_label: bool) -> Iterator[tuple[int, int, Any]]:
        """Yields loader and index of each text, and its gold labels, those that were found, and all probabilities."""
        for loader, outputs in self._batches:
            probs, found = decide(outputs["logits"], multi_label)
            gold = outputs["labels"].bool() if multi_label else F.one_hot(outputs["labels"], len(labels)).bool()
            rows = zip(outputs["texts"].tolist(), gold.tolist(), found.tolist(), probs.tolist(), strict=True)
            for index, *sides, scores in rows:
                names = [tuple(label for label, has in zip(labels, side, strict=True) if has) for side in sides]
                yield loader, index, (*names, dict(zip(labels, scores, strict=True)))


class ErrorsCLI(ReadOnlyCLI):
    """Takes the options of ``validate`` and ``test``, and describes the errors.

    Args:
        split: as in `run_errors`.
        path: as in `run_errors`.
        num_sentences: worst sentences or texts to print.
        pos_file: column file with parts of speech; None if there is none.
        metrics: JSON file that gets the metrics of groups; None if there is none.
    """

    def __init__(
        self,
        *args: Any,
        split: str,
        path: Path,
        num_sentences: int,
        pos_file: str | None,
        metrics: Path | None,
        **kwargs: Any,
    ) -> None:
        self._split, self._path, self._num_sentences, self._pos_file = split, path, num_sentences, pos_file
        self._metrics = metrics
        self._confirm, self._kept = ConfirmF1(), KeepTexts()
        self._losses: list[tuple[Any, Any]] = []
        self._parts: dict[str, str] | None = None
        super().__init__(*args, **kwargs)

    def list_callbacks(self) -> list[Callback]:
        """Returns what collects the tags and labels."""
        return [self._confirm, self._kept]

    def validate(self, **options: Any) -> None:
        """Evaluates the validation or the training split."""
        self._evaluate("val", super().validate, options)

    def test(self, **options: Any) -> None:
        """Evaluates the test split."""
        self._evaluate("test", super().test, options)

    def _evaluate(self, split: str, evaluate: Any, options: dict[str, Any]) -> None:
        data = self.datamodule
        if self.trainer.world_size > 1:
            raise InputError("errors runs in one process: leave trainer.devices, num_nodes and strategy out")
        report: Callable[[list[str], Any, dict[str, Any]], dict[str, Any]]
        if isinstance(data, BlocksDataModule):
            self._prepare_words(split, data)
            report = self._report_words
        elif isinstance(data, TaggedDataModule | LabelledDataModule):
            if self._pos_file is not None:
                raise InputError(f"--pos {self._pos_file} has no effect on tagged words or texts, only on masked words")
            report = self._report_tags if isinstance(data, TaggedDataModule) else self._report_texts
        else:
            raise InputError(
                f"errors needs a data module of tagged or masked words, or labelled texts, not {type(data).__name__}"
            )
        if self._split == "train":
            data.validate_train()
        evaluate(**options)
        metrics = self.model.results[split]
        found = report(data.list_evaluated(split), data, metrics)
        if self._split == "train":  # training has seen all of it
            for name in ("training", *(["frequency", "words"] if "scheme" in found else [])):
                found.pop(name, None)
        metadata = {
            "split": self._split,
            "checkpoint": str(self.config_init[self.subcommand].ckpt_path),
            "confirmed": self._confirm.confirmed,
            "versions": {"lit-mlm": importlib.metadata.version("lit-mlm")},
        }
        self._write(metadata | found, metrics)

    def _write(self, report: dict[str, Any], metrics: dict[str, Any]) -> None:
        """Writes the files, and prints tables and the worst sentences."""
        page = self._path.with_suffix(".html")
        if self._metrics is not None:
            add_metrics(self._metrics, report["split"], metrics, list_group_metrics(report))
        write_json(self._path, report)
        write_lines(page, format_page(report))
        confirmed = f"; {report['confirmed']}" if report["confirmed"] else ""
        shown = ", ".join(f"{name} {metrics[name]:.4g}" for name in self.model.headline if name in metrics)
        print_result(f"{report['split']}: {shown}{confirmed}")
        for table in list_tables(report, is_short=True):
            print_result("\n".join(["", f"{table.title}: {table.note}", *format_table(table.rows, table.justify)]))
        console = Console()
        is_coloured = bool(console.color_system) and not console.no_color
        for name, format_worst in {"sentences": format_sentences, "texts": format_texts}.items():
            for line in format_worst(report.get(name, [])[: self._num_sentences], is_coloured):
                print_result(line, is_escaped=True)
        print_result(f"\npage: {page}\ndata: {self._path}")

    # Tagged words

    def _report_tags(self, names: list[str], data: TaggedDataModule, metrics: dict[str, Any]) -> dict[str, Any]:
        sentences = []
        for (loader, index), tags in sorted(self._confirm.sentences.items()):
            sentence = data.sentences[names[loader]][index]
            place = sentence.place + ("" if sentence.first_line is None else f", line {sentence.first_line}")
            scored = tags.gold, tags.found, tags.scores, data.scheme, index, place, sentence.document
            sentences.append(ScoredSentence(sentence.words, *scored, name_set(names[loader])))
        train, note = try_to_read(lambda: read_training_sentences(data), SEEN)
        report = report_errors(sentences, None if train is None else [(each.words, each.tags) for each in train]) | note
        require_equal("F1", report["f1"], metrics.get("f1", report["f1"]))
        return report

    # Labelled texts

    def _report_texts(self, names: list[str], data: LabelledDataModule, metrics: dict[str, Any]) -> dict[str, Any]:
        texts = []
        for loader, index, (gold, found, scores) in self._kept.list_texts(data.labels, data.multi_label):
            text, num_tokens = data.texts[names[loader]][index], int(data.examples[names[loader]].num_tokens[index])
            about = num_tokens, index, text.place, name_set(names[loader])
            texts.append(ScoredText("\n".join(text.columns), gold, found, scores, *about))
        train, note = try_to_read(lambda: read_training_texts(data), SEEN)
        report = report_text_errors(texts, data.labels, data.multi_label, train) | note
        require_equal("accuracy", report["accuracy"], metrics["exact_match" if data.multi_label else "accuracy"])
        return report

    # Masked words

    def _prepare_words(self, split: str, data: BlocksDataModule) -> None:
        """Reads parts of speech, and has the evaluation keep losses; its masks and metrics are the same."""
        self._parts = None if self._pos_file is None else read_parts_of_speech(Path(self._pos_file))
        limit = getattr(self.trainer, f"limit_{split}_batches")
        if isinstance(limit, int) or limit < 1.0:
            raise InputError(f"trainer.limit_{split}_batches would leave out masked words: leave it out")
        data.finds_words, data.pack_length = True, None
        self.model.update_metrics = self._collect

    def _collect(self, metrics: SumMetric, batch: dict[str, Tensor]) -> None:
        """Adds a batch to the metrics, and keeps the loss and the most probable token of each masked one."""
        logits, labels = compute_scored_logits(self.model.net, batch)
        metrics.update(logits, labels)
        nats = F.cross_entropy(logits.float(), labels, reduction="none").double()
        self._losses.append((nats.cpu().numpy(), logits.argmax(dim=-1).cpu().numpy()))

    def _report_words(self, names: list[str], data: BlocksDataModule, metrics: dict[str, Any]) -> dict[str, Any]:
        nats, found = (np.concatenate(arrays) for arrays in zip(*self._losses, strict=True))
        losses, done = WordLosses(cast(Any, data.tokenizer).decode), 0
        draws = data.masks.list_draws(self.model.num_steps)
        for name, draw in ((name, draw) for name in names for draw in draws):
            examples, text = data.splits[name].examples, data.splits[name].text.tokens
            keys = (
                BatchKey(draw, chosen) for chosen in np.array_split(np.arange(len(examples)), len(examples) // 1024 + 1)
            )
            places, positions = np.concatenate([examples.locate_scored(key) for key in keys], axis=1)
            end = done + len(places)
            scored = places, nats[done:end], found[done:end], name_set(name), positions
            losses.add(text.ids, cast(Any, text.word_starts), *scored)
            done = end
        if done != len(nats):
            raise RuntimeError(f"{len(nats)} masked tokens were scored, but the blocks have {done}")
        train, note = try_to_read(lambda: read_training_tokens(data), "frequencies are")
        frequencies = None if train is None else count_words(train.ids, train.word_starts, losses.hashes)
        return losses.report(frequencies, self._parts) | note


def add_metrics(path: Path, split: str, evaluated: dict[str, Any], groups: dict[str, Any]) -> None:
    """Adds the metrics of groups to a file with metrics of the same text and masks."""
    hold_folder(path.parent)
    there = read_json(path)
    for key in ("data_fingerprint", "mask_fingerprint"):
        ours, theirs = evaluated.get(key), there.get(f"{split}/{key}")
        if ours != theirs:
            raise InputError(
                f"--metrics: {path} has the {split} metrics of {key} {str(theirs)[:12]}, not {str(ours)[:12]}: run "
                "validate or test with the same options first"
            )
    former = re.compile(rf"{split}/\w+_by_\w+/")
    kept = {key: value for key, value in there.items() if not former.match(key)}
    write_json(path, kept | {f"{split}/{name}": value for name, value in groups.items()})


def name_set(split: str) -> str:
    """The name of a named evaluation set, such as ``val/news``; empty for a split without sets.

    >>> name_set("val/news"), name_set("val")
    ('news', '')
    """
    return split.partition("/")[2]


def try_to_read(read: Callable[[], T], what: str) -> tuple[T | None, dict[str, str]]:
    """Reads training data; if they can't be read, says what is left out, and returns a note for the report."""
    try:
        return read(), {}
    except (InputError, OSError) as error:
        note = f"{what} left out, as the training data can't be read: {shorten(error)}"
        print_error(note)
        return None, {"note": note}


def require_equal(name: str, ours: float, theirs: float) -> None:
    """Refuses a report that does not agree with the metrics of the evaluation."""
    if abs(ours - theirs) > 1e-9:
        raise RuntimeError(f"{name} of the errors is {ours}, but that of the metrics {theirs}")
