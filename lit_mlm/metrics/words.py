"""Metrics of words whose sentences are split into windows, from the logits of their tokens.

Shapes: B rows, T tokens per row, L labels; W words and P tokens of a sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.metrics.entities import EntityMetrics, TagMetrics
from lit_mlm.metrics.sums import MeanLoss, SumMetric
from lit_mlm.text.arrays import Float32Array, IntArray
from lit_mlm.text.tagging.alignment import find_first_tokens
from lit_mlm.text.tagging.decoding import Decoding, decode_logits
from lit_mlm.text.tagging.schemes import Scheme
from lit_mlm.text.tagging.windows import find_owned_tokens

TOKEN_METRICS = ("precision", "recall", "f1", "accuracy")


class DecodedSentence(NamedTuple):
    """The decoded labels of a sentence.

    Attributes:
        tokens: positions of its tokens in the flattened batch, each in the window that owns its word, shape (P,).
        first_tokens: those of the first token of each word, shape (W,).
        labels: label ids, shape (W,).
        scores: their probabilities, in [0, 1], shape (W,).
    """

    tokens: IntArray
    first_tokens: IntArray
    labels: IntArray
    scores: Float32Array


class ScoredTags(NamedTuple):
    """Gold tags of the words of a sentence, the tags that were found, and their probabilities in [0, 1]."""

    gold: list[str]
    found: list[str]
    scores: list[float]


def decode_batch(
    logits: Tensor, batch: dict[str, Tensor], labels: Sequence[str], scheme: Scheme | None, decoding: Decoding
) -> dict[int, DecodedSentence]:
    """Decodes the words of a batch from their first tokens, each in the window that owns the word.

    Args:
        logits: shape (B, T, L), of any floating dtype; computed in float32.
        batch: of tagged words, see `lit_mlm.batch`.
        labels: by id, shape (L,).
        scheme: of the labels; None for plain tags.
        decoding: as in `decode_logits`.

    Returns:
        Sentences by their index in the split; those without words are left out.
    """
    words, sentences = (batch[name].cpu().numpy() for name in ("words", "sentences"))
    flat = logits.float().flatten(0, 1).cpu().numpy()
    decoded = {}
    for sentence, tokens in find_owned_tokens(words, sentences).items():
        first = tokens[find_first_tokens(words.reshape(-1)[tokens])]
        decoded[sentence] = DecodedSentence(tokens, first, *decode_logits(flat[first], labels, scheme, decoding))
    return decoded


class WordMetrics(SumMetric):
    """Loss, and metrics of words and of tokens: `EntityMetrics`, or `TagMetrics` without a scheme.

    The label of a word is that of its first token, in the window that owns it. Metrics of tokens end in ``_pieces`` and
    are those of the published recipe (Hugging Face's course, chapter 7.2): each scored token of a truncated sentence is
    predicted independently. The loss is the mean cross entropy of all scored tokens.

    Args:
        labels: by id, shape (L,).
        scheme: of the labels; None for plain tags.
        decoding: of words, as in `decode_logits`.
        truncation: tokens of a sentence that the recipe keeps, without special tokens; all by default.
        details: a `lit_mlm.metrics.details.TaggedWordDetails`, which gets the same words.
    """

    def __init__(
        self,
        labels: Sequence[str],
        scheme: Scheme | None,
        decoding: Decoding = "argmax",
        truncation: int | None = None,
        details: SumMetric | None = None,
    ) -> None:
        super().__init__()
        self.details = details
        self.labels, self.scheme, self.decoding, self.truncation = list(labels), scheme, decoding, truncation
        self.loss = MeanLoss()
        self.words, self.tokens = (
            TagMetrics(labels) if scheme is None else EntityMetrics(labels, scheme) for _ in range(2)
        )

    def update(
        self, logits: Tensor, batch: dict[str, Tensor], decoded: Mapping[int, DecodedSentence] | None = None
    ) -> None:
        """Adds a batch.

        Args:
            logits: shape (B, T, L), of any floating dtype; computed in float32.
            batch: of tagged words, see `lit_mlm.batch`.
            decoded: of `decode_batch`, if the caller needs it too.
        """
        flat = logits.float().flatten(0, 1)
        gold = batch["labels"].flatten()
        nats = F.cross_entropy(flat, gold, ignore_index=IGNORE_INDEX, reduction="sum")
        self.loss.update(nats, (gold != IGNORE_INDEX).sum())
        labels, best = gold.cpu().numpy(), flat.argmax(dim=-1).cpu().numpy()
        of_words, of_tokens = [], []
        if decoded is None:
            decoded = decode_batch(logits, batch, self.labels, self.scheme, self.decoding)
        for sentence in decoded.values():
            of_words.append((sentence.labels, labels[sentence.first_tokens]))
            kept = sentence.tokens[: self.truncation]
            kept = kept[labels[kept] != IGNORE_INDEX]
            of_tokens.append((best[kept], labels[kept]))
        documents = None
        if "documents" in batch:
            document_of = dict(zip(batch["sentences"].tolist(), batch["documents"].tolist(), strict=True))
            documents = [document_of[sentence] for sentence in decoded]
        for metric, pairs in ((self.words, of_words), (self.tokens, of_tokens)):
            metric.update([found for found, _ in pairs], [expected for _, expected in pairs], documents, [*decoded])
        if self.details is not None:
            scores = [sentence.scores for sentence in decoded.values()]
            self.details.update([found for found, _ in of_words], [expected for _, expected in of_words], scores)

    def collect_units(self) -> dict[str, Any]:
        """Returns the sums of each sentence's words."""
        return self.words.collect_units()

    def compute(self) -> dict[str, Any]:
        """Returns the metrics by name: of words, of tokens, and ``loss`` in nats per scored token."""
        tokens = self.tokens.compute()
        return {
            **self.words.compute(),
            **{f"{name}_pieces": tokens[name] for name in TOKEN_METRICS if name in tokens},
            "loss": float(self.loss.compute()),
        }

    def reset(self) -> None:
        """Resets all parts."""
        super().reset()
        for metric in (self.loss, self.words, self.tokens, self.details):
            if metric is not None:
                metric.reset()
