"""CoNLL-2003 (Tjong Kim Sang and De Meulder 2003) and data in its layout."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from lit_mlm.data.reading.files import COMPRESSIONS, OnBad, check_encoding, get_kind, refuse
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.sentences import TaggedSentence, load_sentences, read_sentences
from lit_mlm.errors import InputError
from lit_mlm.options import refuse_without
from lit_mlm.text.tagging.schemes import Scheme

HUB_ID = "lhoestq/conll2003"

FILES = {
    "train": ("eng.train", "train.txt", "train.jsonl"),
    "val": ("eng.testa", "valid.txt", "valid.jsonl"),
    "test": ("eng.testb", "test.txt", "test.jsonl"),
}
"""Possible file names of each split."""

HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}

COLUMNS: dict[str, Literal["second", "third", "last"]] = {"ner": "last", "pos": "second", "chunk": "third"}
"""The column of each task's tags."""


class CoNLLDataModule(TaggedDataModule):
    """Tagged sentences from the Hub, or from a folder with a file for each split.

    The files are those of CoNLL-2003 (``eng.train``, ``eng.testa``, ``eng.testb``); ``train.txt``, ``valid.txt`` and
    ``test.txt`` with a word and its tags per line; or ``train.jsonl``, ``valid.jsonl`` and ``test.jsonl`` with a
    sentence per line. They may be compressed.

    Args:
        task: tags to use: ``ner``, entities (last column of a file), ``pos``, parts of speech (second column), or
            ``chunk`` (third column).
        dataset: id on the Hub, or folder with a copy; by default ``lhoestq/conll2003``.
        dataset_revision: revision of `dataset`.
        subset: configuration of `dataset`, if it has several.
        data_dir: folder with the files, in place of `dataset`.
        words_column: column of the words in JSON lines or `dataset`; by default ``tokens``.
        tags_column: column of the tags; by default ``ner_tags``, ``pos_tags`` or ``chunk_tags``.
        encoding: of the files.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "train.jsonl").write_text('{"tokens": ["EU", "."], "ner_tags": ["B-ORG", "O"]}')
        ...     CoNLLDataModule(data_dir=folder).load_sentences(["train"])["train"][0].tags
        ['B-ORG', 'O']
    """

    def __init__(
        self,
        task: Literal["ner", "pos", "chunk"] = "ner",
        dataset: str | None = None,
        dataset_revision: str | None = None,
        subset: str | None = None,
        data_dir: str | None = None,
        words_column: str | None = None,
        tags_column: str | None = None,
        encoding: str = "utf-8",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("dataset", dataset), ("dataset_revision", dataset_revision), ("subset", subset)):
            if data_dir is not None and value is not None:
                raise InputError(
                    f"data.data_dir ({data_dir}) and data.{name} ({value}) are mutually exclusive: both say where the "
                    "sentences are"
                )
        check_encoding(encoding)
        refuse_without("data.data_dir", data_dir, encoding=None if encoding == "utf-8" else encoding)
        self.task, self.data_dir = task, data_dir
        self.hub = dataset or HUB_ID, dataset_revision, subset
        self.words_column, self.tags_column, self.encoding = words_column, tags_column, encoding

    def load_sentences(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        """Reads the sentences of splits."""
        return {split: self._read_split(split) for split in sorted(splits)}

    def find_scheme(self, sentences: Collection[TaggedSentence]) -> Scheme | None:
        """The scheme of the tags; entities and chunks must have one, parts of speech must not."""
        task, scheme = self.task, super().find_scheme(sentences)
        if (scheme is None) != (task == "pos"):
            sentence = next(sentence for sentence in sentences if sentence.words)
            found = "plain, as in pos" if scheme is None else f"of entities ({scheme}), as in ner"
            raise InputError(f"data.task is {task}, but most tags are {found}, from {sentence.locate(0)} on")
        return scheme

    def _read_split(self, split: str) -> list[TaggedSentence]:
        bad = None if self.bad_records is None else self.bad_records.setdefault(split, [])
        return list(self._iterate(split, refuse if bad is None else bad.append))

    def _iterate(self, split: str, on_bad: OnBad) -> Iterator[TaggedSentence]:
        columns, names = (self.words_column or "tokens", self.tags_column or f"{self.task}_tags"), self.tags.labels
        if self.data_dir is None:
            dataset, revision, subset = self.hub
            return load_sentences(dataset, HUB_SPLITS[split], *columns, revision, subset, names, on_bad)
        file = find_file(Path(self.data_dir).expanduser(), split)
        if get_kind(file) == ".jsonl":
            return read_sentences(file, *columns, self.encoding, names, on_bad)
        for name in ("words_column", "tags_column"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"data.{name} ({getattr(self, name)}) has no effect on {file}, whose columns have no names"
                )
        return read_columns(file, COLUMNS[self.task], self.encoding, on_bad)


def find_file(folder: Path, split: str) -> Path:
    """The file of a split: exactly one of the names of `FILES`, compressed or not."""
    paths = [folder / f"{name}{suffix}" for name in FILES[split] for suffix in ("", *COMPRESSIONS)]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise InputError(f"data.data_dir {folder}: the {split} split needs one of {', '.join(FILES[split])}")
    if len(found) > 1:
        raise InputError(
            f"data.data_dir {folder}: {' and '.join(path.name for path in found)} are both the {split} split"
        )
    return found[0]
