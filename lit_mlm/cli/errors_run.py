"""Evaluates a split, and writes and prints its errors, for `python -m lit_mlm errors`."""

import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.pytorch import Callback
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from lit_mlm.callbacks.confirm_f1 import ConfirmF1
from lit_mlm.cli.configs import RUN_CONFIG, find_config
from lit_mlm.cli.errors_page import format_page
from lit_mlm.cli.errors_tables import format_sentences, list_tables
from lit_mlm.cli.plain import print_error, print_result
from lit_mlm.cli.read_only import ReadOnlyCLI
from lit_mlm.cli.texts import refuse
from lit_mlm.cli.trainer import run
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.schemes import convert_sentences, find_bad_tag, respell_sentences
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError, shorten
from lit_mlm.metrics.entity_errors import ScoredSentence
from lit_mlm.metrics.error_report import report_errors
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.metrics.word_losses import WordLosses, count_words
from lit_mlm.nets.sparse_head import compute_scored_logits
from lit_mlm.runs.atomic import write_json, write_lines
from lit_mlm.text.tables import format_table

PLAIN = {"devices": "1", "num_nodes": "1", "strategy": "auto"}
"""Trainer options that a run's config may set for training; errors are those of one process."""


def run_errors(args: Sequence[str], checkpoint: Path, path: Path, num_sentences: int, pos_file: str | None) -> None:
    """Evaluates a split of a run, and writes its errors.

    Args:
        args: a command line of ``validate`` or ``test``, without config and checkpoint.
        checkpoint: of the run.
        path: of the JSON file, in the run folder; the page has the same name.
        num_sentences: worst sentences to print.
        pos_file: column file with parts of speech; None if there is none.
    """
    own = ["--config", str(find_config(str(path.parent / RUN_CONFIG))), "--ckpt_path", str(checkpoint)]
    plain = [part for name, value in PLAIN.items() for part in (f"--trainer.{name}", value)]
    run(
        [args[0], *own, *plain, *args[1:]],
        partial(ErrorsCLI, path=path, num_sentences=num_sentences, pos_file=pos_file),
    )


class ErrorsCLI(ReadOnlyCLI):
    """Takes the options of ``validate`` and ``test``, and describes the errors; other arguments as in `run_errors`."""

    def __init__(self, *args: Any, path: Path, num_sentences: int, pos_file: str | None, **kwargs: Any) -> None:
        self._path, self._num_sentences, self._pos_file = path, num_sentences, pos_file
        self._confirm = ConfirmF1()
        self._losses: list[tuple[Any, Any]] = []
        super().__init__(*args, **kwargs)

    def list_callbacks(self) -> list[Callback]:
        """Returns what collects the tags."""
        return [self._confirm]

    def validate(self, **options: Any) -> None:
        """Evaluates the validation split."""
        self._evaluate("val", super().validate, options)

    def test(self, **options: Any) -> None:
        """Evaluates the test split."""
        self._evaluate("test", super().test, options)

    def _evaluate(self, split: str, evaluate: Any, options: dict[str, Any]) -> None:
        data, parts = self.datamodule, None
        if self.trainer.world_size > 1:
            raise InputError("errors runs in one process: leave trainer.devices, num_nodes and strategy out")
        if isinstance(data, BlocksDataModule):
            parts = None if self._pos_file is None else read_parts_of_speech(Path(self._pos_file))
            limit = getattr(self.trainer, f"limit_{split}_batches")
            if isinstance(limit, int) or limit < 1.0:
                raise InputError(f"trainer.limit_{split}_batches would leave out masked words: leave it out")
            data.finds_words, data.pack_length = True, None  # the masks and the metrics are the same
            self.model.update_metrics = self._collect
        elif not isinstance(data, TaggedDataModule):
            raise InputError(f"errors needs a data module of tagged or masked words, not {type(data).__name__}")
        elif self._pos_file is not None:
            raise InputError(f"--pos {self._pos_file} has no effect on tagged words, only on masked ones")
        evaluate(**options)
        is_tagged = isinstance(data, TaggedDataModule)
        report = self._report_tags(split, data) if is_tagged else self._report_words(split, data, parts)
        metadata = {
            "split": split,
            "checkpoint": str(self.config_init[self.subcommand].ckpt_path),
            "confirmed": self._confirm.confirmed,
            "versions": {"lit-mlm": importlib.metadata.version("lit-mlm")},
        }
        self._write(metadata | report, self.model.results[split])

    def _write(self, report: dict[str, Any], metrics: dict[str, Any]) -> None:
        """Writes the files, and prints tables and the worst sentences."""
        page = self._path.with_suffix(".html")
        write_json(self._path, report)
        write_lines(page, format_page(report))
        confirmed = f"; {report['confirmed']}" if report["confirmed"] else ""
        shown = ", ".join(f"{name} {metrics[name]:.4g}" for name in self.model.headline if name in metrics)
        print_result(f"{report['split']}: {shown}{confirmed}")
        for table in list_tables(report, is_short=True):
            print_result("\n".join(["", f"{table.title}: {table.note}", *format_table(table.rows, table.justify)]))
        console = Console()
        is_coloured = bool(console.color_system) and not console.no_color
        worst = report.get("sentences", [])[: self._num_sentences]
        for line in format_sentences(worst, is_coloured):
            print_result(line, is_escaped=True)
        print_result(f"\npage: {page}\ndata: {self._path}")

    # Tagged words

    def _report_tags(self, split: str, data: TaggedDataModule) -> dict[str, Any]:
        names = data.list_sets(split)
        sentences = []
        for (loader, index), tags in sorted(self._confirm.sentences.items()):
            sentence = data.sentences[names[loader]][index]
            place = sentence.place + ("" if sentence.first_line is None else f", line {sentence.first_line}")
            scored = tags.gold, tags.found, tags.scores, data.scheme, index, place, sentence.document
            sentences.append(ScoredSentence(sentence.words, *scored))
        train, note = None, None
        try:
            train = [(sentence.words, sentence.tags) for sentence in read_training_sentences(data)]
        except (InputError, OSError) as error:
            note = f"what training has seen is left out, as the training data can't be read: {shorten(error)}"
            print_error(note)
        report = report_errors(sentences, train) | ({} if note is None else {"note": note})
        metrics = self.model.results[split]
        if "f1" in metrics and abs(report["f1"] - metrics["f1"]) > 1e-9:
            raise RuntimeError(f"F1 of the errors is {report['f1']}, but that of the metrics {metrics['f1']}")
        return report

    # Masked words

    def _collect(self, metrics: SumMetric, batch: dict[str, Tensor]) -> None:
        """Adds a batch to the metrics, and keeps the loss and the most probable token of each masked one."""
        logits, labels = compute_scored_logits(self.model.net, batch)
        metrics.update(logits, labels)
        nats = F.cross_entropy(logits.float(), labels, reduction="none").double()
        self._losses.append((nats.cpu().numpy(), logits.argmax(dim=-1).cpu().numpy()))

    def _report_words(self, split: str, data: BlocksDataModule, parts: dict[str, str] | None) -> dict[str, Any]:
        nats, found = (np.concatenate(arrays) for arrays in zip(*self._losses, strict=True))
        losses, done = WordLosses(cast(Any, data.tokenizer).decode), 0
        draws = data.masks.list_draws(self.model.num_steps)
        for name, draw in ((name, draw) for name in data.list_sets(split) for draw in draws):
            examples, text = data.splits[name].examples, data.splits[name].text.tokens
            keys = (
                BatchKey(draw, chosen) for chosen in np.array_split(np.arange(len(examples)), len(examples) // 1024 + 1)
            )
            places = np.concatenate([examples.locate_scored(key) for key in keys])
            end = done + len(places)
            losses.add(text.ids, cast(Any, text.word_starts), places, nats[done:end], found[done:end])
            done = end
        if done != len(nats):
            raise RuntimeError(f"{len(nats)} masked tokens were scored, but the blocks have {done}")
        frequencies, note = None, None
        try:
            train = read_training_tokens(data)
            frequencies = count_words(train.ids, train.word_starts, losses.hashes)
        except (InputError, OSError) as error:
            note = f"frequencies are left out, as the training text can't be read: {shorten(error)}"
            print_error(note)
        return losses.report(frequencies, parts) | ({} if note is None else {"note": note})


def read_training_sentences(data: TaggedDataModule) -> list[TaggedSentence]:
    """Reads the training sentences, with tags in the scheme of the labels, after a setup without them."""
    if "train" in data.sentences:
        return data.sentences["train"]
    read = respell_sentences({"train": data.load_sentences({"train"})["train"]})["train"]
    source = data.find_scheme(read)
    if data.skip_bad:
        read = [sentence for sentence in read if find_bad_tag(sentence, source, data.strict_tags) is None]
    return convert_sentences(read, source, data.scheme, data.strict_tags).sentences


def read_training_tokens(data: BlocksDataModule) -> Any:
    """Reads the training text and tokenises it, or takes its tokens from the cache."""
    source = data.samples.get_source("train")
    if source in data.texts:
        return data.texts[source].tokens
    documents = data.load_texts({"train"})[source]
    per_document = data.blocks.special_tokens == "document"
    return data.reader.tokenize(source, documents, data.tokenizer, per_document, True, data.masks.segmenter).tokens


def read_parts_of_speech(path: Path) -> dict[str, str]:
    """Reads the most frequent tag of each word of a column file, and of each word in lower case."""
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in read_columns(path, "second", on_bad=refuse, tell=print_error):
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            for spelling in {word, word.lower()}:
                tags[spelling][tag] += 1
    if not tags:
        raise InputError(f"--pos {path} has no words")
    return {word: counts.most_common(1)[0][0] for word, counts in tags.items()}
