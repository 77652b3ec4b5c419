"""Pure functions on token sequences, and the contract in which data modules and Lightning modules meet.

**The batch.** A data module yields, and a Lightning module takes, a dictionary of int64 tensors of shape (B, T),
B sequences of T tokens, padded on the right to the longest sequence of the batch:

- ``input_ids``: token ids, as the model reads them (after masking);
- ``attention_mask``: 1 on tokens, 0 on padding;
- ``labels``: what the model has to predict at a position, `IGNORE_INDEX` where nothing is scored.

A batch of tagged words has two more. A row is one window of a sentence, or a short sentence with its document context;
in evaluation the windows of a sentence are in one batch, in order, and each of its words is owned by one of them:

- ``labels``: ids into `TaggedSource.labels`: a word's first piece has the word's label, its later pieces that of being
  inside of it or `IGNORE_INDEX`, as all pieces of words that the row doesn't own;
- ``words``: at each piece of a word that the row owns its index in the sentence, `NO_WORD` of
  `lit_mlm.text.tagging.alignment` elsewhere;
- ``sentences``: the index of each row's sentence in its split, shape (B,); -1 in a row that only keeps ranks in step.

A packed batch, whose rows hold several sequences that must not see each other, has in place of these two:

- ``segments``: 0 on padding, 1, 2, ... on the sequences of a row, in their order.

**The feeder.** What a Lightning module asks of the data module that feeds it is the protocol `TextSource`; what a data
module asks of the Lightning module that it feeds is the protocol `TokenModel`. Neither imports the other.
"""

from collections.abc import Sequence
from typing import Any, Protocol

IGNORE_INDEX = -100
"""The label of a position that is not scored; the value that `torch.nn.functional.cross_entropy` ignores."""

BATCH_KEYS = ("input_ids", "attention_mask", "labels")


class TokenModel(Protocol):
    """What a data module asks of the Lightning module that it feeds."""

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the net takes, in tokens; None if it has no limit."""

    def load_tokenizer(self) -> Any | None:
        """The tokenizer that belongs to the net; None if the net is built from scratch and has none."""

    @property
    def has_final_tokenizer(self) -> bool:
        """Whether `load_tokenizer` gives what a checkpoint was trained with: no words may be added to it."""

    @property
    def vocabulary(self) -> dict[str, Any]:
        """`TextSource.vocabulary` of the data that a checkpoint was trained on; empty without one."""

    @property
    def num_steps(self) -> int:
        """The optimizer steps that the net has been trained for."""


class TextSource(Protocol):
    """What a Lightning module asks of the data module that feeds it."""

    tokenizer: Any
    """The tokenizer that made the token ids, a `transformers.PreTrainedTokenizerBase`."""

    new_words: dict[int, list[int]]
    """The ids of the old pieces by the id of the new word, for words that the data module has added to the tokenizer of
    a pretrained net; need not be there."""

    vocabulary: dict[str, Any]
    """What a checkpoint must keep of the words that were added, in YAML's types; need not be there."""

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens."""

    def describe(self) -> str:
        """What the data is, in a few words for the first line of a run."""

    def facts(self, split: str) -> dict[str, float | int | str]:
        """Facts of one split ("val" or "test") that belong to its results, by the last part of their key."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and every option that shapes the examples."""

    pack_length: int | None
    """Tokens of the rows that sequences are packed into; None where they aren't; need not be there."""

    order_options: dict[str, Any]
    """What decides the order of training beside the texts, the seed and the global batch; need not be there."""


class TaggedSource(TextSource, Protocol):
    """What `TokenClassification` asks of its data module; labels and scheme are known once that is set up.

    `facts` has ``num_words`` and, of tags with a scheme, ``num_gold_entities`` of the split as its files have them.
    """

    labels: list[str]
    """The names of the labels, by the id that batches have for them."""

    scheme: str | None
    """That of the labels, a `lit_mlm.text.tagging.schemes.Scheme`; None for plain tags, such as parts of speech."""

    truncation: int | None
    """How many pieces of a sentence, without special tokens, truncation would leave; need not be there."""

    predicted_words: list[Sequence[str]]
    """The words of each sentence of the split that is predicted; need be there for `predict` alone."""

    tagging_options: dict[str, Any]
    """What a tagger must do with words to be what its evaluation was, in YAML's types; need not be there."""
