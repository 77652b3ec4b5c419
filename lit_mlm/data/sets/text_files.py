"""Text from your own files, or from any data set on the Hub with a text column."""

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
from lit_mlm.data.reading.named_sets import EvalFiles, find_sets, get_files, name_option
from lit_mlm.data.reading.provenance import Provenance, describe_dataset
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
    r"""Documents from ``.txt``, ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` and ``.parquet`` files, or from the Hub.

    Files may be compressed (``.gz``, ``.bz2``, ``.xz``). Each of `train_files`, `val_files` and `test_files` is a file,
    a folder (all such files below it), a pattern (``texts/**/*.txt``), or a list of these. Without validation text,
    `val_fraction` of the training documents is held out. `val_files` and `test_files` may name several sets, as in
    ``{news: news.txt, web: [a.txt, b.txt]}``: each has metrics of its own, and is evaluated as it would be alone.

    `sources` mixes corpora: the weight of a source is its share of the training examples of an epoch, whatever its
    size. An epoch has as many examples as all sources together. Small sources repeat within it, with new masks each
    time; large ones continue in the next epoch. Shares count blocks, and no block spans two sources. A tokenizer or new
    words are learned from all training text, without weights.

    Args:
        train_files: files to train on, in place of `dataset`.
        val_files: files to validate on, or these by the name of a set.
        test_files: files to test on, or these by the name of a set.
        subset: configuration of `dataset`, if it has several.
        train_split: split of `dataset` to train on.
        val_split: split of `dataset` to validate on.
        test_split: split of `dataset` to test on.
        text_column: text column in all but ``.txt`` files.
        document_per: a document in a ``.txt`` file: the ``file`` or each ``line``.
        test_fraction: fraction of the training documents to test on, without other test text.
        sources: training corpora by name, in place of `train_files` and `dataset`; each has `files` or a `dataset`, and
            a `weight`.
        streaming: reads the training text during training, over and over, without storing it; `trainer.max_steps` sets
            the end. Files are distributed over devices and workers, which share files if there are too few.
        chunk_documents: documents read at a time in streaming, 1,000 by default; blocks are cut and shuffled within a
            chunk, and the chunks of a file are read in order.
        dataset: id on the Hub, or folder with a copy.
        dataset_revision: revision of `dataset`.
        encoding: of the files.
        skip_bad: skips files, lines and rows that are unreadable or without text, and reports their number.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("One line.\nAnother line.\n")
        ...     data = TextFilesDataModule(f"{folder}/a.txt", document_per="line", cache_dir=folder, val_fraction=0.5)
        ...     data.load_documents(["train"])["train"]["text"][:]
        ['One line.']
    """

    def __init__(
        self,
        train_files: list[str] | str | None = None,
        val_files: EvalFiles = None,
        test_files: EvalFiles = None,
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
        self.files: dict[str, EvalFiles] = {"train": train_files, "val": val_files, "test": test_files}
        self.eval_sets = find_sets(self.files)
        self.hub_splits = {"train": train_split, "val": val_split, "test": test_split}
        self.defaults = Source(subset=subset, text_column=text_column, document_per=document_per, encoding=encoding)
        self.test_fraction, self.sources = test_fraction, sources or {}
        self.source_weights = {name: float(source.weight) for name, source in self.sources.items()}
        for name, patterns in self.files.items():
            self.corpus.exclude(f"{name}_files", patterns)
        if sources is not None:
            self._check_sources(sources, train_files, train_split)
        elif train_files is None and dataset is None:
            raise InputError("no text: give data.train_files, data.dataset or data.sources")
        if self.samples.val_source == "train_blocks" and (val_files is not None or val_split is not None):
            raise InputError("data.val_source train_blocks excludes data.val_files and data.val_split")
        refuse_without("data.dataset", dataset, subset=subset, val_split=val_split, test_split=test_split)
        names = [name for name in self.hub_splits.values() if name is not None]
        if len(set(names)) < len(names):
            raise InputError(f"data.train_split, val_split and test_split must differ, got {', '.join(names)}")
        if test_fraction and (test_files is not None or test_split is not None):
            raise InputError(f"data.test_fraction {test_fraction} has no effect beside other test text")
        self.streams = StreamOptions(streaming, chunk_documents)
        if streaming:
            self.stream = TrainingStream(self, self.streams, self.load_sources, skip_bad)
            self._check_streaming()

    @property
    def provenance(self) -> list[Provenance]:
        """The sources of the training text."""
        if not self.sources:
            return [self._describe_provenance("local files", *self._describe_source("train"))]
        files = find_source_files(self.sources)
        return [self._describe_provenance(name, source, files[name]) for name, source in self.sources.items()]

    def _describe_provenance(self, name: str, source: Source, files: Sequence[Path]) -> Provenance:
        if source.dataset is None:
            return Provenance(name, num_files=len(files))
        return describe_dataset(source.dataset, self._complete(source)[0].dataset_revision, source.subset)

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the documents of splits."""
        if self.corpus.dataset is None:
            self._refuse_shared_files()
        has_val, has_test = (self._get_place(split) is not None for split in ("val", "test"))
        own = {*(self.list_sets("val") if has_val else ()), *(self.list_sets("test") if has_test else ())}
        if "test" in splits and not has_test and not self.test_fraction:
            raise InputError("no test text: give data.test_files (or data.test_split) or data.test_fraction")
        documents = {
            split: self.collect_documents(split, partial(self._read_source, *self._describe_source(split)))
            for split in own & set(splits)
        }
        if set(splits) - own:
            train = self._read_train()
            documents = self.split_off(train, 0.0 if has_test else self.test_fraction, has_val) | documents
        return documents

    def load_sources(self) -> list[StreamSource]:
        """The shards of the training text by source."""
        if not self.sources:
            return [StreamSource(self._make_shards(*self._describe_source("train")))]
        found, files = [], find_source_files(self.sources)
        for name, source in self.sources.items():
            with name_source(name):
                found.append(StreamSource(self._make_shards(source, files[name]), source.weight))
        return found

    def _check_streaming(self) -> None:
        """Rejects splitting text off a stream."""
        if self._get_place("val") is None:
            options = "val_files" if self.corpus.dataset is None else "val_split"
            raise InputError(
                f"data.streaming needs separate validation text: give data.{options}; data.val_fraction would need "
                "the whole training text"
            )
        if self.test_fraction:
            raise InputError("data.streaming: data.test_fraction needs the whole training text; give other test text")

    def _check_sources(self, sources: dict[str, Source], train_files: object, train_split: str) -> None:
        names = ", ".join(map(str, sources))
        self.corpus.exclude("sources", names)
        if train_files is not None:
            raise InputError(f"data.sources ({names}) and data.train_files ({train_files}) are mutually exclusive")
        if train_split != "train":
            raise InputError(f"data.train_split {train_split} has no effect on data.sources: each has its own split")
        check_sources(sources)

    def _get_place(self, split: str) -> Any:
        """The files or the Hub split of a split or set; None if it has no text of its own."""
        return get_files(self.files, split) if self.corpus.dataset is None else self.hub_splits[split]

    def _describe_source(self, split: str) -> tuple[Source, list[Path]]:
        """The source of a split that is not mixed, and its files."""
        if self.corpus.dataset is None:
            return Source(), self._find_files(split)
        place = {"dataset": self.corpus.dataset, "subset": self.defaults.subset, "split": self._get_place(split)}
        return Source(**place), []

    def _complete(self, source: Source) -> tuple[Source, str, str, bool]:
        """A source, its column, its encoding and whether a document is a line, with the defaults of the module."""
        defaults = self.defaults
        by_line = (source.document_per or defaults.document_per) == "line"
        source = replace(source, dataset_revision=source.dataset_revision or self.corpus.dataset_revision)
        column = source.text_column or defaults.text_column or "text"
        return source, column, source.encoding or self.corpus.encoding, by_line

    def _read_source(self, source: Source, files: Iterable[Path], on_bad: OnBad) -> Iterator[str]:
        source, column, encoding, by_line = self._complete(source)
        if source.dataset is not None:
            rows = self.corpus.read_hub(source.dataset, source.split, source.dataset_revision, source.subset, column)
            return map_records(lambda row: get_text(row, column), rows, on_bad)
        return chain.from_iterable(read_texts(file, column, encoding, by_line, on_bad) for file in files)

    def _make_shards(self, source: Source, files: Sequence[Path]) -> list[Shard]:
        source, column, encoding, by_line = self._complete(source)
        if source.dataset is not None:
            return make_hub_shards(source.dataset, source.split, source.dataset_revision, source.subset, column)
        return make_file_shards(files, column, encoding, by_line, self.streams.size)

    def _read_train(self) -> Dataset:
        """The training documents of all sources."""
        if not self.sources:
            return self.collect_documents("train", partial(self._read_source, *self._describe_source("train")))
        parts, files = [], find_source_files(self.sources)
        for name, source in self.sources.items():
            with name_source(name):
                parts.append(self.collect_documents(name, partial(self._read_source, source, files[name])))
        return join_sources(parts)

    def _find_files(self, split: str) -> list[Path]:
        return find_patterns(self._get_place(split), name_option(split))

    def _refuse_shared_files(self) -> None:
        splits = [name for split in self.files for name in self.list_sets(split)]
        files = {name_option(split): self._find_files(split) for split in splits}
        by_source = find_source_files(self.sources)
        refuse_shared_files(files | {f"data.sources.{name}.files": found for name, found in by_source.items()})
