"""Labelled texts from your own files, or from any data set on the Hub with columns of text and labels."""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.labelled.texts import Columns, LabelledText, load_labelled, read_labelled
from lit_mlm.data.reading.files import OnBad, check_encoding, find_files
from lit_mlm.data.reading.named_sets import EvalFiles, find_sets, get_files, list_patterns, name_option
from lit_mlm.data.reading.provenance import Provenance, describe_dataset
from lit_mlm.data.reading.sources import refuse_shared_files
from lit_mlm.errors import InputError
from lit_mlm.options import refuse_without

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


class LabelledFilesDataModule(LabelledDataModule):
    r"""Labelled texts from ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` and ``.parquet`` files, or from the Hub.

    Files may be compressed. Each of `train_files`, `val_files` and `test_files` is a file, a folder, a pattern, or a
    list of these. Without validation texts, `val_fraction` of the training texts is held out.

    Args:
        train_files: files to train on, in place of `dataset`.
        val_files: files to validate on, or these by the name of a set, which then has metrics of its own.
        test_files: files to test on, or these by the name of a set.
        text_column: column of the text; a list of columns is encoded as one text, as ``transformers`` encodes a pair.
        label_column: column of the label: a name, or a number that `labels` or the data set names. With `multi_label` a
            list, or names that are separated by commas.
        dataset: id on the Hub, or folder with a copy.
        dataset_revision: revision of `dataset`.
        subset: configuration of `dataset`, if it has several.
        train_split: split of `dataset` to train on.
        val_split: split of `dataset` to validate on.
        test_split: split of `dataset` to test on.
        encoding: of the files.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.csv").write_text("text,label\nA fine film.,pos\nA dull film.,neg\n")
        ...     data = LabelledFilesDataModule(f"{folder}/a.csv", val_fraction=0.5)
        ...     [text.labels for text in data.load_labelled(["train"])["train"]]
        [('pos',)]
    """

    def __init__(
        self,
        train_files: list[str] | str | None = None,
        val_files: EvalFiles = None,
        test_files: EvalFiles = None,
        text_column: list[str] | str = "text",
        label_column: str = "label",
        dataset: str | None = None,
        dataset_revision: str | None = None,
        subset: str | None = None,
        train_split: str = "train",
        val_split: str | None = None,
        test_split: str | None = None,
        encoding: str = "utf-8",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_encoding(encoding)
        self.files: dict[str, EvalFiles] = {"train": train_files, "val": val_files, "test": test_files}
        self.eval_sets = find_sets(self.files)
        for split, found in self.files.items():
            if found is not None and dataset is not None:
                raise InputError(
                    f"data.{split}_files ({found}) and data.dataset ({dataset}) are mutually exclusive: both say where "
                    "the texts are"
                )
        if train_files is None and dataset is None:
            raise InputError("no texts: give data.train_files or data.dataset")
        hub = {"dataset_revision": dataset_revision, "subset": subset, "val_split": val_split, "test_split": test_split}
        refuse_without("data.dataset", dataset, **hub)
        self.columns = (text_column,) if isinstance(text_column, str) else tuple(text_column)
        if not self.columns or label_column in self.columns:
            raise InputError(f"data.text_column ({', '.join(self.columns)}) must name text, beside data.label_column")
        if len(self.columns) > 1 and self.options.long_texts == "windows":
            raise InputError("data.long_texts windows needs one data.text_column: a window would lose the others")
        self.label_column, self.encoding = label_column, encoding
        self.dataset, self.dataset_revision, self.subset = dataset, dataset_revision, subset
        self.hub_splits = {"train": train_split, "val": val_split, "test": test_split}

    @property
    def provenance(self) -> list[Provenance]:
        """The data set, or local files."""
        if self.dataset is None:
            return [Provenance("local files", num_files=len(self._find_files("train")))]
        return [describe_dataset(self.dataset, self.dataset_revision, self.subset)]

    def load_labelled(self, splits: Collection[str]) -> dict[str, list[LabelledText]]:
        """Reads the texts of splits."""
        if self.dataset is None:
            names = [name for split in self.files for name in self.list_sets(split)]
            refuse_shared_files({name_option(name): self._find_files(name) for name in names})
        has_val = self._get_place("val") is not None
        needed = {"train" if split == "val" and not has_val else split for split in splits}
        for split in needed:
            if self._get_place(split) is None:
                option = f"data.{split}_files" if self.dataset is None else f"data.{split}_split"
                raise InputError(f"no {split} texts: give {option}")
        loaded = {split: self.collect_records(split, partial(self._read, split)) for split in sorted(needed)}
        return loaded | (self.split_off(loaded["train"]) if "train" in loaded and not has_val else {})

    def _get_place(self, split: str) -> Any:
        """The files or the Hub split of a split or set; None if it has no texts of its own."""
        return get_files(self.files, split) if self.dataset is None else self.hub_splits[split]

    def _find_files(self, split: str) -> list[Path]:
        return find_files(list_patterns(self._get_place(split)), name_option(split), SUFFIXES)

    def _read(self, split: str, on_bad: OnBad) -> Iterator[LabelledText]:
        columns = Columns(self.columns, self.label_column, self.options.labels, self.multi_label, self.needs_labels)
        if self.dataset is not None:
            place = self._get_place(split), columns, self.dataset_revision, self.subset
            return load_labelled(self.dataset, *place, on_bad)
        files = self._find_files(split)
        return chain.from_iterable(read_labelled(file, columns, self.encoding, on_bad) for file in files)
