"""Audits data before training: counts, bad records, duplicates and tokens.

Time is linear in the number of texts. Memory holds hashes of the texts (about 200 bytes each, `DuplicateFinder`), their
lengths (8 bytes each) and the words with unknown tokens. Documents are read from disk in batches of 1,000.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, get_args

from lit_mlm.batch import TokenModel
from lit_mlm.data.audit.documents import audit_documents
from lit_mlm.data.audit.labels import audit_labels
from lit_mlm.data.audit.sentences import audit_sentences
from lit_mlm.data.base import STAGE_OF_SPLIT, TextDataModule
from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import part_sources
from lit_mlm.data.reading.files import BadKind, BadRecordError
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError

FORMAT = 2
"""Version of the report; raised if a key is removed or changes its meaning."""


def audit(
    data: TextDataModule,
    model: TokenModel,
    splits: Sequence[str] | None = None,
    near_threshold: float = 0.8,
    num_examples: int = 3,
) -> dict[str, Any]:
    """Audits the texts of a data module without training.

    Args:
        data: a data module of documents or tagged sentences.
        model: provides the default tokenizer and maximum length.
        splits: of train, val and test; by default all that exist, at least train and val. Each source of a training
            mixture, and each evaluation set, is reported as a split of its own.
        near_threshold: minimum Jaccard similarity of near-duplicates, above 0 and at most 1.
        num_examples: maximum number of examples to list for each finding, at least 0.

    Returns:
        The report, serialisable as JSON. ``format`` is `FORMAT`; ``kind`` is ``documents`` or ``sentences``, which have
        more keys.
    """
    if not 0 < near_threshold <= 1:
        raise InputError(f"--near_threshold must be above 0 and at most 1, got {near_threshold}")
    if num_examples < 0:
        raise InputError(f"--num_examples must be at least 0, got {num_examples}")
    if not hasattr(data, "load_texts"):
        raise InputError(
            f"audit needs a method load_texts, which returns the documents of splits (see BlocksDataModule), but "
            f"{type(data).__name__} has none"
        )
    data.attach(model)
    data.bad_records = {}
    texts, notes = _load_splits(data, splits)
    texts = _split_by_source(texts, getattr(data, "source_weights", {}))
    is_tagged = isinstance(data, TaggedDataModule)
    limit = data.windowing.window if isinstance(data, TaggedDataModule) else model.max_length
    if isinstance(data, LabelledDataModule):
        limit = data.rows.window
    if isinstance(data, BlocksDataModule):
        limit = data.blocks.block_size or limit
    head = {
        "format": FORMAT,
        "kind": "sentences" if is_tagged else "documents",
        "data": type(data).__name__,
        "tokenizer": str(data.tokenizer.name_or_path),
        "limit": limit,
        "near_threshold": near_threshold,
        "notes": notes,
        "unreadable": {name: _summarize_records(found, num_examples) for name, found in data.bad_records.items()},
    }
    if isinstance(data, TaggedDataModule):
        return head | audit_sentences(texts, data.tokenizer, data.find_scheme, limit, near_threshold, num_examples)
    report = head | audit_documents(texts, data.tokenizer, limit, near_threshold, num_examples)
    return report | audit_labels(texts, num_examples) if isinstance(data, LabelledDataModule) else report


def _load_splits(data: Any, splits: Sequence[str] | None) -> tuple[dict[str, Any], list[str]]:
    """Returns the texts by split, in order, and notes on splits without texts."""
    requested, notes = _list_sets(data, splits or STAGE_OF_SPLIT), []
    try:
        loaded: dict[str, Any] = dict(data.load_texts(requested))
    except InputError as error:
        if splits is not None:
            raise
        requested = _list_sets(data, ["train", "val"])
        loaded = dict(data.load_texts(requested))  # raises again if the error is not of the test split
        notes.append(f"no test split: {error}")
    notes += [f"{split}: held-out blocks of the train documents" for split in requested if split not in loaded]
    return {split: loaded[split] for split in requested if split in loaded}, notes


def _list_sets(data: TextDataModule, splits: Collection[str]) -> list[str]:
    """The sets of splits, in order."""
    return [name for split in STAGE_OF_SPLIT if split in splits for name in data.list_sets(split)]


def _split_by_source(texts: dict[str, Any], sources: Collection[str]) -> dict[str, Any]:
    """Makes each training source a split, to find duplicates across sources."""
    if "train" not in texts or not sources:
        return texts
    parts = zip(sources, part_sources(texts["train"]), strict=False)  # trailing sources may have no documents
    rest = {split: documents for split, documents in texts.items() if split != "train"}
    return {name: part for name, part in parts if len(part)} | rest


def _summarize_records(records: Sequence[BadRecordError], num_examples: int) -> dict[str, Any]:
    """Returns the number of bad records of each kind, and the first ones."""
    counts = Counter(record.kind for record in records)
    first = {kind: [str(r) for r in records if r.kind == kind][:num_examples] for kind in get_args(BadKind)}
    return {kind: {"num": counts[kind], "examples": found} for kind, found in first.items()}
