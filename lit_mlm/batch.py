"""The contract between data modules and Lightning modules.

**Batch.** A dictionary of int64 tensors of shape (B, T), B sequences of T tokens, padded on the right:

- ``input_ids``: token ids as the model reads them, after masking;
- ``attention_mask``: 1 on tokens, 0 on padding;
- ``labels``: the target of each position, `IGNORE_INDEX` where nothing is scored.

**Masked text.** In `validate` and `test` also, for paired comparisons of runs:

- ``units``: the number of each token's unit in its split, arbitrary where nothing is scored: its document, or its block
  where the split is one document.

**Tagged words.** A row is a window of a sentence, or a short sentence with its document context. In evaluation all
windows of a sentence are in one batch, in order, and each word is owned by one of them. Its entries:

- ``labels``: ids into `TaggedSource.labels`. The first token of a word has the word's label, later ones its inside
  label or `IGNORE_INDEX`, as have tokens that the row does not own;
- ``words``: the index in the sentence of each owned token's word, elsewhere `NO_WORD`;
- ``sentences``: the index of each row's sentence in its split, shape (B,); -1 in rows that only keep ranks in step;
- ``documents``: the number of each row's document in its split, shape (B,); missing where documents are unknown.

**Labelled texts.** A row is a text, or one of its windows, which are all in one batch, S texts in all. Its entries:

- ``labels``: ids into `LabelledSource.labels`, shape (S,), or of texts with several labels 0 and 1, shape (S, L);
  `IGNORE_INDEX` where nothing is scored;
- ``row_texts``: which of the batch's texts each row belongs to, from 0, shape (B,);
- ``texts``: the index of each text in its split, shape (S,); -1 in batches that only keep ranks in step;
- ``token_type_ids``: of texts of several columns, for nets that distinguish them.

**Packed rows.** A net may compute the sequences of a batch in R rows of W tokens, several to a row, which must not
attend to each other. One more entry, of shape (R, W), says how:

- ``packing``: the index of each token in the flattened ``input_ids``, -1 on padding.

`TextSource` is what a Lightning module needs of its data module, `TokenModel` the reverse. Neither imports the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lit_mlm.errors import InputError

IGNORE_INDEX = -100
"""The label of positions that are not scored, as ignored by `torch.nn.functional.cross_entropy`."""

NO_WORD = -1
"""The word index of special tokens and padding."""

NO_DOCUMENT = -1
"""The document number of sentences of an unknown document."""

BATCH_KEYS = ("input_ids", "attention_mask", "labels")


class TokenModel(Protocol):
    """What a data module needs of the Lightning module."""

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the net takes, in tokens; None if unlimited."""

    def load_tokenizer(self) -> Any | None:
        """Loads the net's tokenizer; None for a net from scratch."""

    @property
    def is_isolated(self) -> bool:
        """Whether the net was shown to keep the sequences of packed rows apart, so that batches may be packed."""

    @property
    def has_final_tokenizer(self) -> bool:
        """Whether `load_tokenizer` returns a checkpoint's tokenizer, to which no words may be added."""

    @property
    def vocabulary(self) -> dict[str, Any]:
        """`TextSource.vocabulary` of the checkpoint's data; empty without a checkpoint."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps that the net was trained for."""

    @property
    def headline(self) -> tuple[str, ...]:
        """Names of metrics, which no evaluation set may have; optional."""


class TextSource(Protocol):
    """What a Lightning module needs of its data module.

    `tokenizer`, `sequence_length` and `describe` are required, which is checked before training; the rest is optional.
    Without `fingerprint`, changed data are not noticed when a run is resumed.
    """

    tokenizer: Any
    """The `transformers.PreTrainedTokenizerBase` that made the token ids."""

    new_words: dict[int, list[int]]
    """Old token ids by the id of the new word, for words added to a pretrained tokenizer."""

    vocabulary: dict[str, Any]
    """What a checkpoint stores about added words, as plain YAML values."""

    @property
    def sequence_length(self) -> int:
        """The longest sequence in any batch, in tokens."""

    def describe(self) -> str:
        """Describes the data in the first line of a run."""

    eval_sets: Mapping[str, Sequence[str]]
    """Names of evaluation sets by split, if any. Its loaders are those of the first set, one for each mask draw, then
    those of the second, and so on."""

    def describe_split(self, split: str) -> dict[str, float | int | str]:
        """Returns metadata of a split ("val" or "test") or set ("val/news"), by the last part of the key."""

    def measure_units(self, split: str) -> tuple[str, dict[str, Any]]:
        """Returns what the ``units`` of a split or set are, ``document`` or ``block``, and their sizes.

        Sizes are arrays by name, ``tokens`` and ``bytes``, shape (U,), or missing if unknown. Optional.
        """

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of texts, tokenizer and every option that shapes the examples."""

    pack_batches: bool
    """Whether the sequences of each batch are packed, for a net that keeps them apart; optional."""

    pack_length: int | None
    """Tokens of packed rows that are chosen once for all epochs; None if there are none."""

    provenance: Sequence[Any]
    """`lit_mlm.data.reading.provenance.Provenance` of each corpus of the training text, for the model card; optional.
    """

    order_options: dict[str, Any]
    """What defines the order of training beside texts, seed and global batch."""


def get_eval_sets(data: Any, split: str) -> Sequence[str]:
    """The names of the evaluation sets of a split; none if the data module names none."""
    names: Sequence[str] = getattr(data, "eval_sets", {}).get(split, ())
    return names


class TaggedSource(TextSource, Protocol):
    """What `TokenClassification` needs of its data module; labels and scheme are known after setup.

    `describe_split` has ``num_words`` and, with a scheme, ``num_gold_entities`` of the split, counted in its files.
    """

    labels: list[str]
    """The label names, by id."""

    scheme: str | None
    """A `lit_mlm.text.tagging.schemes.Scheme`; None for plain tags, such as parts of speech."""

    truncation: int | None
    """Tokens of a sentence that truncation would keep, without special tokens; optional."""

    predicted_sentences: Sequence[Any]
    """The sentences to predict, each with ``words``, ``document`` and ``gold`` tags, which may be None; needed by
    `predict` only."""

    tagging_options: dict[str, Any]
    """Options that make a tagger reproduce its evaluation, as plain YAML values; optional."""


class LabelledSource(TextSource, Protocol):
    """What `TextClassification` needs of its data module; labels are known after setup.

    `describe_split` has ``num_texts`` of the split, counted in its files.
    """

    labels: list[str]
    """The label names, by id."""

    multi_label: bool
    """Whether a text has any number of labels."""

    predicted_places: list[str]
    """The file, line or row of each text to predict; needed by `predict` only."""

    text_options: dict[str, Any]
    """Options that make a classifier reproduce its evaluation, as plain YAML values; optional."""


REQUIRED = ("sequence_length", "describe")
"""What a data module with a tokenizer must have."""


def require_source(data: Any) -> None:
    """Refuses a data module without the required parts of `TextSource`; None and data without a tokenizer pass."""
    if getattr(data, "tokenizer", None) is None:
        return
    missing = [name for name in REQUIRED if not (hasattr(type(data), name) or name in vars(data))]
    if missing:
        raise InputError(
            f"{type(data).__name__} lacks {' and '.join(missing)}, which lit_mlm.batch.TextSource asks of a data module"
        )
