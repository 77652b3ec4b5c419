"""Any text: files of one's own, or a data set on the Hub with a column of text."""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from lit_mlm.data.base import refuse_without
from lit_mlm.data.files import Problem, find_files
from lit_mlm.data.readers import get_text, read_texts
from lit_mlm.data.shard_readers import make_file_shards, make_hub_shards
from lit_mlm.data.shards import StreamSource
from lit_mlm.data.streaming import StreamingDataModule
from lit_mlm.errors import InputError


class TextFilesDataModule(StreamingDataModule):
    """Documents from ``.txt``, ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` and ``.parquet`` files, or from the Hub.

    Files may be compressed (``.gz``, ``.bz2``, ``.xz``). Each of `train_files`, `val_files` and `test_files` is a file,
    a folder, which stands for all such files below it, a pattern (``texts/**/*.txt``), or a list of these. Where there
    is no validation text, `val_fraction` of the training documents are it.

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
        test_fraction: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        files = {"train_files": train_files, "val_files": val_files, "test_files": test_files}
        for name, patterns in files.items():
            self.exclude_dataset(name, patterns)
        if train_files is None and self.hparams["dataset"] is None:
            raise InputError("no text: give data.train_files, or data.dataset, a name on the Hub")
        if self.hparams["val_source"] == "train_blocks" and (val_files is not None or val_split is not None):
            raise InputError("data.val_source train_blocks validates on no other text: leave val_files, val_split out")
        refuse_without(
            "data.dataset", self.hparams["dataset"], subset=subset, val_split=val_split, test_split=test_split
        )
        names = [name for name in (train_split, val_split, test_split) if name is not None]
        if len(set(names)) < len(names):
            raise InputError(
                f"data.train_split, val_split and test_split must be different ones, got {', '.join(names)}"
            )
        if test_fraction and (test_files is not None or test_split is not None):
            raise InputError(f"data.test_fraction {test_fraction} has no effect: there is other text to test on")
        self.save_hyperparameters(logger=False)
        if self.hparams["streaming"]:
            self._check_streaming()

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the documents that `splits` need.

        Raises:
            InputError: if a file is missing or can't be read, stands in two splits, or there is nothing to test on.
        """
        if self.hparams["train_files"] is not None:
            self._refuse_shared_files()
        own = {split for split in ("val", "test") if self._get_place(split) is not None}
        if "test" in splits and "test" not in own and not self.hparams["test_fraction"]:
            raise InputError("no text to test on: give data.test_files (or data.test_split) or data.test_fraction")
        documents = {split: self.collect_documents(split, self._read(split)) for split in own & set(splits)}
        if set(splits) - own:
            train = self.collect_documents("train", self._read("train"))
            test_fraction = 0.0 if "test" in own else self.hparams["test_fraction"]
            documents = self.split_off(train, test_fraction, has_val="val" in own) | documents
        return documents

    def load_sources(self) -> Sequence[StreamSource]:
        """The training files, or the shards of the data set."""
        options = self.hparams
        column = options["text_column"]
        if options["train_files"] is not None:
            by_line = options["document_per"] == "line"
            files = self._find_files("train")
            return [StreamSource(make_file_shards(files, column, options["encoding"], by_line, self._chunk_documents))]
        dataset, split, revision = options["dataset"], options["train_split"], options["dataset_revision"]
        return [StreamSource(make_hub_shards(dataset, split, revision, options["subset"], column))]

    def _check_streaming(self) -> None:
        """Refuses to split text off a stream."""
        if self._get_place("val") is None:
            options = "val_files" if self.hparams["train_files"] is not None else "val_split"
            raise InputError(
                f"data.streaming needs text of its own to validate on: give data.{options}; data.val_fraction would "
                "need the whole training text"
            )
        if self.hparams["test_fraction"]:
            raise InputError("data.streaming: data.test_fraction needs the whole training text: give text to test on")

    def _get_place(self, split: str) -> Any:
        """The files or the split on the Hub that hold a split; None if it has none of its own."""
        return self.hparams[f"{split}_{'split' if self.hparams['train_files'] is None else 'files'}"]

    def _read(self, split: str) -> Iterator[str | Problem]:
        options, place = self.hparams, self._get_place(split)
        column = options["text_column"]
        if options["train_files"] is None:
            rows = self.read_hub(options["dataset"], place, subset=options["subset"], column=column)
            return (get_text(row, column) for row in rows)
        by_line = options["document_per"] == "line"
        files = self._find_files(split)
        return chain.from_iterable(read_texts(file, column, options["encoding"], by_line) for file in files)

    def _find_files(self, split: str) -> list[Path]:
        patterns = self._get_place(split) or []
        return find_files([patterns] if isinstance(patterns, str) else patterns, f"data.{split}_files")

    def _refuse_shared_files(self) -> None:
        found: dict[Any, str] = {}
        for split in ("train", "val", "test"):
            for file in self._find_files(split):
                other = found.setdefault(file.resolve(), split)
                if other != split:
                    raise InputError(f"{file} is in both data.{other}_files and data.{split}_files")
