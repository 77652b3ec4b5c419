"""Any text: files of one's own, or a data set on the Hub with a column of text."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.corpus import Corpus
from lit_mlm.data.reading.documents import join_sources
from lit_mlm.data.reading.files import OnBad, map_records
from lit_mlm.data.reading.readers import get_text, read_texts
from lit_mlm.data.reading.sources import (
    Source,
    check_sources,
    find_patterns,
    find_source_files,
    name_source,
    refuse_shared_files,
)
from lit_mlm.data.streams.readers import make_file_shards, make_hub_shards
from lit_mlm.data.streams.shards import Shard, StreamSource
from lit_mlm.data.streams.training import StreamOptions, TrainingStream
from lit_mlm.errors import InputError
from lit_mlm.options import Count, Part, refuse_without


class TextFilesDataModule(BlocksDataModule):
    """Documents from ``.txt``, ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` and ``.parquet`` files, or from the Hub.

    Files may be compressed (``.gz``, ``.bz2``, ``.xz``). Each of `train_files`, `val_files` and `test_files` is a file,
    a folder, which stands for all such files below it, a pattern (``texts/**/*.txt``), or a list of these. Where there
    is no validation text, `val_fraction` of the training documents are it.

    Several corpora are mixed by `sources`: each has its share of the training examples of an epoch by its weight,
    whatever its size. An epoch has as many examples as all sources together; a small source is gone through several
    times in it, each time with other masks, and a large one goes on in the next epoch where it stopped. Shares are of
    blocks, so of tokens where all blocks are full. No block holds text of two sources. A tokenizer or words that are
    learnt from the training text are learnt from all of it, without weights.

    Args:
        train_files: files to train on, in place of `dataset`.
        val_files: files to validate on.
        test_files: files to test on.
        subset: of `dataset`, where it has several.
        train_split: split of `dataset` to train on.
        val_split: split of `dataset` to validate on.
        test_split: split of `dataset` to test on.
        text_column: the column that holds the text, in all but ``.txt`` files.
        document_per: what is a document in a ``.txt`` file: the ``file``, or each ``line``.
        test_fraction: share of the training documents to test on, where there is no test text.
        sources: corpora to train on by their names, in place of `train_files` and `dataset`: each has `files` or a
            `dataset`, and a `weight`.
        streaming: reads the training text while training goes on, over and over, and keeps nothing of it on the disk.
            `trainer.max_steps` says when it ends. Files are dealt to devices and workers; fewer files than these are
            read by several of them.
        chunk_documents: documents that are read at a time when streaming: they are cut by themselves and their blocks
            shuffled, while the chunks of a file come in its order. 1,000 by default.
        dataset: id on the Hub, or a folder with a copy of it.
        dataset_revision: of `dataset`.
        encoding: of the files.
        skip_bad: leaves out files, lines and rows that can't be read or hold no text, and says how many, in place of
            an error at the first.
    """

    def __init__(
        self,
        train_files: list[str] | str | None = None,
        val_files: list[str] | str | None = None,
        test_files: list[str] | str | None = None,
        subset: str | None = None,
        train_split: str = "train",
        val_split: str | None = None,
        test_split: str | None = None,
        text_column: str = "text",
        document_per: Literal["file", "line"] = "file",
        test_fraction: Part = 0.0,
        sources: dict[str, Source] | None = None,
        streaming: bool = False,
        chunk_documents: Count | None = None,
        dataset: str | None = None,
        dataset_revision: str | None = None,
        encoding: str = "utf-8",
        skip_bad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.corpus = Corpus(self.cache_dir, dataset, dataset_revision, encoding, skip_bad)
        self.files = {"train": train_files, "val": val_files, "test": test_files}
        self.hub_splits = {"train": train_split, "val": val_split, "test": test_split}
        self.defaults = Source(subset=subset, text_column=text_column, document_per=document_per, encoding=encoding)
        self.test_fraction, self.sources = test_fraction, sources or {}
        self.source_weights = {name: float(source.weight) for name, source in self.sources.items()}
        for name, patterns in self.files.items():
            self.corpus.exclude(f"{name}_files", patterns)
        if sources is not None:
            self._check_sources(sources, train_files, train_split)
        elif train_files is None and dataset is None:
            raise InputError("no text: give data.train_files, or data.dataset, a name on the Hub, or data.sources")
        if self.samples.val_source == "train_blocks" and (val_files is not None or val_split is not None):
            raise InputError("data.val_source train_blocks validates on no other text: leave val_files, val_split out")
        refuse_without("data.dataset", dataset, subset=subset, val_split=val_split, test_split=test_split)
        names = [name for name in self.hub_splits.values() if name is not None]
        if len(set(names)) < len(names):
            raise InputError(
                f"data.train_split, val_split and test_split must be different ones, got {', '.join(names)}"
            )
        if test_fraction and (test_files is not None or test_split is not None):
            raise InputError(f"data.test_fraction {test_fraction} has no effect: there is other text to test on")
        self.streams = StreamOptions(streaming, chunk_documents)
        if streaming:
            self.stream = TrainingStream(self, self.streams, self.load_sources, skip_bad)
            self._check_streaming()

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the documents that `splits` need.

        Raises:
            InputError: if a file is missing or can't be read, stands in two splits, or there is nothing to test on.
        """
        if self.corpus.dataset is None:
            self._refuse_shared_files()
        own = {split for split in ("val", "test") if self._get_place(split) is not None}
        if "test" in splits and "test" not in own and not self.test_fraction:
            raise InputError("no text to test on: give data.test_files (or data.test_split) or data.test_fraction")
        documents = {
            split: self.collect_documents(split, partial(self._read_source, *self._describe_source(split)))
            for split in own & set(splits)
        }
        if set(splits) - own:
            train = self._read_train()
            test_fraction = 0.0 if "test" in own else self.test_fraction
            documents = self.split_off(train, test_fraction, has_val="val" in own) | documents
        return documents

    def load_sources(self) -> list[StreamSource]:
        """The shards of the training text, of each source by themselves."""
        if not self.sources:
            return [StreamSource(self._make_shards(*self._describe_source("train")))]
        found, files = [], find_source_files(self.sources)
        for name, source in self.sources.items():
            with name_source(name):
                found.append(StreamSource(self._make_shards(source, files[name]), source.weight))
        return found

    def _check_streaming(self) -> None:
        """Refuses to split text off a stream."""
        if self._get_place("val") is None:
            options = "val_files" if self.corpus.dataset is None else "val_split"
            raise InputError(
                f"data.streaming needs text of its own to validate on: give data.{options}; data.val_fraction would "
                "need the whole training text"
            )
        if self.test_fraction:
            raise InputError("data.streaming: data.test_fraction needs the whole training text: give text to test on")

    def _check_sources(self, sources: dict[str, Source], train_files: object, train_split: str) -> None:
        names = ", ".join(map(str, sources))
        self.corpus.exclude("sources", names)
        if train_files is not None:
            raise InputError(f"data.sources ({names}) and data.train_files ({train_files}) exclude each other")
        if train_split != "train":
            raise InputError(f"data.train_split {train_split} has no effect on data.sources: each has its own split")
        check_sources(sources)

    def _get_place(self, split: str) -> Any:
        """The files or the split on the Hub that hold a split; None if it has none of its own."""
        return (self.files if self.corpus.dataset is None else self.hub_splits)[split]

    def _describe_source(self, split: str) -> tuple[Source, list[Path]]:
        """Where the text of a split is that is not mixed, and its files."""
        if self.corpus.dataset is None:
            return Source(), self._find_files(split)
        place = {"dataset": self.corpus.dataset, "subset": self.defaults.subset, "split": self._get_place(split)}
        return Source(**place), []

    def _complete(self, source: Source) -> tuple[Source, str, str, bool]:
        """A source, its column, its encoding and whether a line is a document; what it doesn't say, our options do."""
        defaults = self.defaults
        by_line = (source.document_per or defaults.document_per) == "line"
        source = replace(source, dataset_revision=source.dataset_revision or self.corpus.dataset_revision)
        column = source.text_column or defaults.text_column or "text"
        return source, column, source.encoding or self.corpus.encoding, by_line

    def _read_source(self, source: Source, files: Iterable[Path], on_bad: OnBad) -> Iterator[str]:
        """The texts of a source, or of its files."""
        source, column, encoding, by_line = self._complete(source)
        if source.dataset is not None:
            rows = self.corpus.read_hub(source.dataset, source.split, source.dataset_revision, source.subset, column)
            return map_records(lambda row: get_text(row, column), rows, on_bad)
        return chain.from_iterable(read_texts(file, column, encoding, by_line, on_bad) for file in files)

    def _make_shards(self, source: Source, files: Sequence[Path]) -> list[Shard]:
        """The shards of a source, or of its files."""
        source, column, encoding, by_line = self._complete(source)
        if source.dataset is not None:
            return make_hub_shards(source.dataset, source.split, source.dataset_revision, source.subset, column)
        return make_file_shards(files, column, encoding, by_line, self.streams.size)

    def _read_train(self) -> Dataset:
        """The documents to train on, of all sources."""
        if not self.sources:
            return self.collect_documents("train", partial(self._read_source, *self._describe_source("train")))
        parts, files = [], find_source_files(self.sources)
        for name, source in self.sources.items():
            with name_source(name):
                parts.append(self.collect_documents(name, partial(self._read_source, source, files[name])))
        return join_sources(parts)

    def _find_files(self, split: str) -> list[Path]:
        return find_patterns(self._get_place(split), f"data.{split}_files")

    def _refuse_shared_files(self) -> None:
        files = {f"data.{split}_files": self._find_files(split) for split in ("train", "val", "test")}
        by_source = find_source_files(self.sources)
        refuse_shared_files(files | {f"data.sources.{name}.files": found for name, found in by_source.items()})
