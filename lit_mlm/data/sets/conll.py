"""CoNLL-2003 (Tjong Kim Sang and De Meulder 2003) and data in its layout."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

from lit_mlm.data.reading.files import COMPRESSIONS, OnBad, check_encoding, find_files, get_kind
from lit_mlm.data.reading.named_sets import EvalFiles, find_sets, get_files, list_patterns, name_option
from lit_mlm.data.reading.provenance import Provenance, describe_dataset
from lit_mlm.data.reading.reports import warn
from lit_mlm.data.reading.sources import refuse_shared_files
from lit_mlm.data.tagged.columns import parse_columns, read_columns
from lit_mlm.data.tagged.corrections import merge_corrections
from lit_mlm.data.tagged.layouts import ColumnOptions
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.sentences import TaggedSentence, hold_out, load_sentences, read_sentences
from lit_mlm.errors import InputError
from lit_mlm.options import Count, Rate, Seed, refuse_without
from lit_mlm.text.tagging.schemes import Scheme

HUB_ID = "lhoestq/conll2003"
CONLL = Provenance(
    "CoNLL-2003",
    HUB_ID,
    languages=("en",),
    citation=(
        'Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 shared task: Language-independent named '
        'entity recognition", CoNLL'
    ),
    probes=(
        "EU rejects German call to boycott British lamb .",
        "My name is Sylvain and I work at Hugging Face in Brooklyn .",
    ),
)

FILES = {
    "train": ("eng.train", "train.txt", "train.jsonl"),
    "val": ("eng.testa", "valid.txt", "valid.jsonl"),
    "test": ("eng.testb", "test.txt", "test.jsonl"),
}
"""File names of each split that are looked for first."""

SPLIT_NAMES = {
    "train": ("train",),
    "val": ("valid", "validation", "val", "dev", "devel", "testa"),
    "test": ("test", "testb"),
}
"""Words in other file names of each split, such as ``esp.testa`` and ``en_ewt-ud-dev.conllu``."""

RECORDS = (".jsonl", ".json", ".parquet")
COLUMN_FILES = (".txt", ".tsv", ".conll", ".conllu", ".conllup", ".bio", ".iob", ".iob2", ".bioes", ".ner", ".pos")
"""Suffixes of files with columns; those of `data_dir` may also end in the name of a split."""

HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}

COLUMNS: dict[str, Literal["second", "third", "last"]] = {"ner": "last", "pos": "second", "chunk": "third"}
"""The column of each task's tags, where the first one has the words."""


class CoNLLDataModule(TaggedDataModule):
    """Tagged sentences from the Hub, from files, or from a folder with a file for each split.

    Files have a word and its tags per line, or a sentence per record: its words and tags, or a text with labelled spans
    of characters, as doccano, Prodigy and Label Studio export them. They may be compressed. In `data_dir` the files are
    those of CoNLL-2003 (``eng.train``, ``eng.testa``, ``eng.testb``); ``train.txt``, ``valid.txt`` and ``test.txt``;
    ``train.jsonl``, ``valid.jsonl`` and ``test.jsonl``; or others with the name of a split in theirs. Without
    validation sentences, `val_fraction` of the training documents is held out.

    Args:
        task: tags to use: ``ner``, entities (last column of a file), ``pos``, parts of speech (second column), or
            ``chunk`` (third column).
        dataset: id on the Hub, or folder with a copy; by default ``lhoestq/conll2003``.
        dataset_revision: revision of `dataset`.
        subset: configuration of `dataset`, if it has several.
        data_dir: folder with the files, in place of `dataset`.
        words_column: column of the words, or of the text, in JSON lines or `dataset`; by default ``tokens``.
        tags_column: column of the tags, or of the spans; by default ``ner_tags``, ``pos_tags`` or ``chunk_tags``.
        encoding: of the files.
        word_column: column of the words in files with columns: its number, from 1, or its name in a header; by default
            the first, or the second after one that counts words.
        tag_column: column of the tags; by default as `task` says.
        train_files: files, folders or patterns to train on, in place of `data_dir` and `dataset`.
        val_files: to validate on, or these by the name of a set, which then has metrics of its own.
        test_files: to test on, or these by the name of a set.
        val_fraction: fraction of the training documents to validate on if there is no file for it; of the sentences if
            documents have no boundaries.
        split_seed: seed of the choice.
        corrections: clone of flairNLP/CleanCoNLL, or its folder ``data``: the corrected entities and sentences of the
            English CoNLL-2003, whose column files are in `data_dir`.

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
        word_column: Count | str | None = None,
        tag_column: Count | str | None = None,
        train_files: list[str] | str | None = None,
        val_files: EvalFiles = None,
        test_files: EvalFiles = None,
        val_fraction: Rate = 0.1,
        split_seed: Seed = 42,
        corrections: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        given: dict[str, EvalFiles] = {"train": train_files, "val": val_files, "test": test_files}
        self.eval_sets = find_sets(given)
        self.files = {split: names for split, names in given.items() if names}
        folder = {"data_dir": data_dir}
        files: dict[str, Any] = {f"{split}_files": names for split, names in given.items()}
        hub = {"dataset": dataset, "dataset_revision": dataset_revision, "subset": subset}
        for ours, others in ((folder, hub | files), (files, hub)):
            for name, value in ours.items():
                for other, theirs in others.items():
                    if value is not None and theirs is not None:
                        raise InputError(
                            f"data.{name} ({value}) and data.{other} ({theirs}) are mutually exclusive: both say where "
                            "the sentences are"
                        )
        check_encoding(encoding)
        place = data_dir or self.files or None
        refuse_without("data.data_dir", place, encoding=None if encoding == "utf-8" else encoding)
        refuse_without("data.data_dir", place, word_column=word_column, tag_column=tag_column)
        refuse_without("data.data_dir", data_dir, corrections=corrections)
        if corrections is not None and task != "ner":
            raise InputError(f"data.corrections ({corrections}) are of entities, but data.task is {task}")
        self.corrections = corrections and Path(corrections).expanduser()
        self.columns = ColumnOptions(word_column, tag_column)
        self.task, self.data_dir = task, data_dir
        self.hub = dataset or HUB_ID, dataset_revision, subset
        self.words_column, self.tags_column, self.encoding = words_column, tags_column, encoding
        self.val_fraction, self.split_seed = val_fraction, split_seed

    @property
    def provenance(self) -> list[Provenance]:
        """The data set, or local files."""
        if self.data_dir is not None or self.files:
            return [Provenance("local files", num_files=len(self._find_files("train")))]
        return [describe_dataset(*self.hub, known=[CONLL])]

    def load_sentences(self, splits: Collection[str]) -> dict[str, list[TaggedSentence]]:
        """Reads the sentences of splits."""
        if self.data_dir is None and not self.files:
            return {split: self.collect_records(split, partial(self._read_hub, split)) for split in sorted(splits)}
        names = [name for split in ("train", "val", "test") for name in self.list_sets(split)]
        files = {name: self._find_files(name) for name in names}
        refuse_shared_files({name_option(name): found for name, found in files.items()})
        files |= {split: self._find_files(split) for split in self.eval_sets}  # all sets as one, for `predict`
        has_val = bool(files["val"])
        needed = {name if has_val or name.startswith("test") else "train" for name in splits}
        for split in needed:
            if not files[split]:
                self._refuse_missing(split)
        loaded = {
            split: self.collect_records(split, self._make_reader(split, files[split])) for split in sorted(needed)
        }
        if "train" in needed and not has_val and (len(loaded["train"]) > 1 or "val" in splits):
            loaded |= self._hold_out(loaded["train"])
        return loaded

    def find_scheme(self, sentences: Collection[TaggedSentence]) -> Scheme | None:
        """The scheme of the tags; entities and chunks must have one, parts of speech must not."""
        task, scheme = self.task, super().find_scheme(sentences)
        if task == "pos" and scheme == "IO":
            return None  # a part of speech may be named O
        if (scheme is None) != (task == "pos"):
            sentence = next(sentence for sentence in sentences if sentence.words)
            found = "plain, as in pos" if scheme is None else f"of entities ({scheme}), as in ner"
            raise InputError(f"data.task is {task}, but most tags are {found}, from {sentence.locate(0)} on")
        return scheme

    def _read_hub(self, split: str, on_bad: OnBad) -> Iterator[TaggedSentence]:
        """The sentences of a split on the Hub."""
        dataset, revision, subset = self.hub
        return load_sentences(
            dataset, HUB_SPLITS[split], *self._list_columns, revision, subset, self.tags.labels, on_bad
        )

    def _find_files(self, split: str) -> list[Path]:
        """The files of a split, none if it has none."""
        if self.data_dir is not None:
            return find_in_folder(Path(self.data_dir).expanduser(), split)
        suffixes = (*COLUMN_FILES, *RECORDS)
        patterns = list_patterns(get_files(self.files, split))
        return find_files(patterns, name_option(split), suffixes, is_strict=False)

    def _refuse_missing(self, split: str) -> NoReturn:
        if self.data_dir is None:
            raise InputError(f"no {split} sentences: give data.{split}_files")
        raise InputError(
            f"data.data_dir {self.data_dir}: the {split} split needs one of {', '.join(FILES[split])}, or another file "
            f"with {' or '.join(SPLIT_NAMES[split])} in its name; or name it by data.{split}_files"
        )

    def _make_reader(self, split: str, files: Sequence[Path]) -> Callable[[OnBad], Iterator[TaggedSentence]]:
        """What reads the sentences of a split, corrected or not."""
        if not self.corrections:
            return partial(self._read_files, files)
        merged = merge_corrections(files[0], self.corrections, split, self.encoding)
        return lambda on_bad: parse_columns(*merged, "last", "utf-8", on_bad)

    def _read_files(self, files: Sequence[Path], on_bad: OnBad) -> Iterator[TaggedSentence]:
        """The sentences of files, whose documents are numbered on."""
        start = end = 0
        for file in files:
            for sentence in self._read_file(file, on_bad):
                document = None if sentence.document is None else start + sentence.document
                end = end if document is None else document + 1
                yield replace(sentence, document=document) if start else sentence
            start = end

    def _read_file(self, file: Path, on_bad: OnBad) -> Iterator[TaggedSentence]:
        is_records = get_kind(file) in RECORDS
        owner, suffixes = (self.columns, ("_column", "s_column")) if is_records else (self, ("s_column", "_column"))
        for kind in ("word", "tag"):
            wrong, right = (f"{kind}{suffix}" for suffix in suffixes)
            if getattr(owner, wrong) is not None:
                found = f"data.{wrong} ({getattr(owner, wrong)}) has no effect on {file}"
                raise InputError(f"{found}, whose columns data.{right} names")
        if is_records:
            return read_sentences(file, *self._list_columns, self.encoding, self.tags.labels, on_bad)
        if get_kind(file) == ".csv":
            raise InputError(f"{file}: columns separated by commas are not supported; separate them by tabs (.tsv)")
        return read_columns(file, COLUMNS[self.task], self.encoding, on_bad, self.columns)

    def _hold_out(self, sentences: Sequence[TaggedSentence]) -> dict[str, list[TaggedSentence]]:
        """Splits validation sentences off the training sentences."""
        train, val = hold_out(sentences, self.val_fraction, self.split_seed)
        warn("no file for the val split: %d of %d sentences of train held out", len(val), len(sentences))
        return {"train": train, "val": val}

    @property
    def _list_columns(self) -> tuple[str, str]:
        """The columns of records with the words and tags of a sentence."""
        return self.words_column or "tokens", self.tags_column or f"{self.task}_tags"


def find_in_folder(folder: Path, split: str) -> list[Path]:
    """The file of a split, compressed or not: one of `FILES`, or else the only one with a name of the split in its own.

    Returns:
        One file, or none.
    """
    known = [folder / f"{name}{suffix}" for name in FILES[split] for suffix in ("", *COMPRESSIONS)]
    found = [path for path in known if path.is_file()]
    if not found and folder.is_dir():
        found = sorted(path for path in folder.iterdir() if path.is_file() and guess_split(path) == split)
    if len(found) > 1:
        raise InputError(
            f"data.data_dir {folder}: {' and '.join(path.name for path in found)} are both the {split} split; name the "
            f"right one by data.{split}_files"
        )
    return found


def guess_split(path: Path) -> str | None:
    """The split that a file of a known kind is named after; None if it is none, or several.

    >>> guess_split(Path("en_ewt-ud-dev.conllu.gz")), guess_split(Path("esp.train")), guess_split(Path("train_dev.tsv"))
    ('val', 'train', None)
    """
    names = set(re.split(r"[^a-z]+", path.name.lower()))
    splits = [split for split, known in SPLIT_NAMES.items() if names & {*known}]
    kind = get_kind(path)
    is_known = kind in (*COLUMN_FILES, *RECORDS) or any(kind[1:] in known for known in SPLIT_NAMES.values())
    return splits[0] if is_known and len(splits) == 1 else None
