"""A report on data before training: what there is, what can't be read, what stands twice, what its tokens are.

Of the texts, the report keeps hashes (about 200 bytes each, `DuplicateFinder`), lengths (8 bytes) and the words that
hold unknown tokens; documents pass by in batches of 1,000. Beside that there is what the data module itself keeps: all
sentences; documents lie on disk. Time grows with the number of texts.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, get_args

from lit_mlm.batch import TokenModel
from lit_mlm.data.audit.documents import audit_documents
from lit_mlm.data.audit.sentences import audit_sentences
from lit_mlm.data.base import STAGE_OF_SPLIT, TextDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import part_sources
from lit_mlm.data.reading.files import BadKind, BadRecordError
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError

FORMAT = 2
"""Of the report; another one where a key goes or changes its meaning, the same where one is added."""


def audit(
    data: TextDataModule,
    model: TokenModel,
    splits: Sequence[str] | None = None,
    near_threshold: float = 0.8,
    num_examples: int = 3,
) -> dict[str, Any]:
    """Examines the texts of a data module, without training.

    Args:
        data: of documents or of tagged words.
        model: whose tokenizer it takes, unless it has its own, and whose limit sentences are held against.
        splits: which of train, val and test; by default all that there are, but train and val at least. Of training
            text that is mixed each source is a split of its own, by its name.
        near_threshold: Jaccard similarity from which on texts are near-duplicates, above 0 and at most 1.
        num_examples: texts, words and places to name of each finding, at least 0.

    Returns:
        The report, in the types of JSON. `FORMAT` counts its versions; ``kind`` is ``documents`` or ``sentences``, and
        the second has more.

    Raises:
        InputError: if an option is out of range, or there is no text at all.
    """
    if not 0 < near_threshold <= 1:
        raise InputError(f"--near_threshold must be above 0 and at most 1, got {near_threshold}")
    if num_examples < 0:
        raise InputError(f"--num_examples must be at least 0, got {num_examples}")
    if not isinstance(data, BlocksDataModule | TaggedDataModule):
        raise InputError(f"audit reads documents or tagged sentences, and {type(data).__name__} has neither")
    data.attach(model)
    data.bad_records = {}
    texts, notes = _load(data, splits)
    texts = _part_train(texts, getattr(data, "source_weights", {}))
    is_tagged = isinstance(data, TaggedDataModule)
    limit = data.windowing.window if isinstance(data, TaggedDataModule) else data.blocks.block_size or model.max_length
    head = {
        "format": FORMAT,
        "kind": "sentences" if is_tagged else "documents",
        "data": type(data).__name__,
        "tokenizer": str(data.tokenizer.name_or_path),
        "limit": limit,
        "near_threshold": near_threshold,
        "notes": notes,
        "unreadable": {name: _summarize(found, num_examples) for name, found in data.bad_records.items()},
    }
    if isinstance(data, TaggedDataModule):
        return head | audit_sentences(texts, data.tokenizer, data.find_scheme, limit, near_threshold, num_examples)
    return head | audit_documents(texts, data.tokenizer, limit, near_threshold, num_examples)


def _load(data: BlocksDataModule | TaggedDataModule, splits: Sequence[str] | None) -> tuple[dict[str, Any], list[str]]:
    """The texts of each split, in the order of the splits, and what is to be said of those that have none."""
    asked, notes = list(splits or STAGE_OF_SPLIT), []
    try:
        loaded: dict[str, Any] = dict(data.load_texts(asked))
    except InputError as error:
        if splits is not None:
            raise
        asked = ["train", "val"]
        loaded = dict(data.load_texts(asked))  # not reached where these were at fault
        notes.append(f"no test split: {error}")
    ordered = [split for split in STAGE_OF_SPLIT if split in asked]
    notes += [f"{split}: made of the documents of train" for split in ordered if split not in loaded]
    return {split: loaded[split] for split in ordered if split in loaded}, notes


def _part_train(texts: dict[str, Any], sources: Collection[str]) -> dict[str, Any]:
    """Training text of several sources as a split for each, so that what stands in two of them is found, too."""
    if "train" not in texts or not sources:
        return texts
    parts = zip(sources, part_sources(texts["train"]), strict=False)  # none of last ones without documents
    rest = {split: documents for split, documents in texts.items() if split != "train"}
    return {name: part for name, part in parts if len(part)} | rest


def _summarize(records: Sequence[BadRecordError], num_examples: int) -> dict[str, Any]:
    """How many files, lines and rows of a source can't be read, by what is wrong, and the first of each kind."""
    counts = Counter(record.kind for record in records)
    first = {kind: [str(r) for r in records if r.kind == kind][:num_examples] for kind in get_args(BadKind)}
    return {kind: {"num": counts[kind], "examples": found} for kind, found in first.items()}
