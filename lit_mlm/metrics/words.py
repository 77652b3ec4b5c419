"""Metrics of words whose sentences are spread over windows, from the logits of their pieces.

Shapes: B rows, T pieces of one, L labels.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.metrics.entities import EntityMetrics, TagMetrics
from lit_mlm.metrics.sums import MeanLoss, SumMetric
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.tagging.alignment import find_first_pieces
from lit_mlm.text.tagging.decoding import Decoding, FloatArray, decode_logits
from lit_mlm.text.tagging.schemes import Scheme
from lit_mlm.text.tagging.windows import find_owned_pieces

PIECE_FIGURES = ("precision", "recall", "f1", "accuracy")


class DecodedSentence(NamedTuple):
    """The labels of a sentence of W words, whose P pieces lie in the windows of a batch.

    Attributes:
        pieces: where they are in the flattened batch, each in the window that owns its word, shape (P,).
        first_pieces: those of them that are the first of their word, shape (W,).
        labels: ids, shape (W,).
        scores: the probability of each, in [0, 1], shape (W,).
    """

    pieces: IntArray
    first_pieces: IntArray
    labels: IntArray
    scores: FloatArray


def decode_batch(
    logits: Tensor, batch: dict[str, Tensor], labels: Sequence[str], scheme: Scheme | None, decoding: Decoding
) -> dict[int, DecodedSentence]:
    """The labels of the words of a batch: of each the label of its first piece, in the window that owns it.

    Args:
        logits: shape (B, T, L), of any floating type; computed on in float32.
        batch: of tagged words, see `lit_mlm.text`.
        labels: by id, shape (L,).
        scheme: of the labels; None for plain tags.
        decoding: of words: each by itself, or the best sequence that the scheme allows.

    Returns:
        Sentences by their index in the split; none of those without words.

    Raises:
        RuntimeError: if the rows of a sentence don't have each of its words once, in order.
    """
    words, sentences = (batch[name].cpu().numpy() for name in ("words", "sentences"))
    flat = logits.float().flatten(0, 1).cpu().numpy()
    decoded = {}
    for sentence, pieces in find_owned_pieces(words, sentences).items():
        first = pieces[find_first_pieces(words.reshape(-1)[pieces])]
        decoded[sentence] = DecodedSentence(pieces, first, *decode_logits(flat[first], labels, scheme, decoding))
    return decoded


class WordMetrics(SumMetric):
    """Loss, and figures of words and of pieces, by `EntityMetrics`, or by `TagMetrics` where there is no scheme.

    A word has the label of its first piece, in the window that owns the word. Figures of pieces end in ``_pieces`` and
    are what the published recipe prints (Hugging Face's course, chapter 7.2): every scored piece of a truncated
    sentence is a unit of its own, predicted by itself. The loss is the mean cross entropy of all scored pieces.

    Args:
        labels: by id, shape (L,).
        scheme: of the labels; None for plain tags.
        decoding: of words: each by itself, or the best sequence that the scheme allows.
        truncation: pieces of a sentence that the recipe keeps, special tokens not counted; all of them if None.

    Raises:
        InputError: if a label is no tag of the scheme.
    """

    def __init__(
        self,
        labels: Sequence[str],
        scheme: Scheme | None,
        decoding: Decoding = "argmax",
        truncation: int | None = None,
    ) -> None:
        super().__init__()
        self.labels, self.scheme, self.decoding, self.truncation = list(labels), scheme, decoding, truncation
        self.loss = MeanLoss()
        self.words, self.pieces = (
            TagMetrics(labels) if scheme is None else EntityMetrics(labels, scheme) for _ in range(2)
        )

    def update(self, logits: Tensor, batch: dict[str, Tensor]) -> None:
        """Adds a batch; one whose rows own no word adds nothing.

        Args:
            logits: shape (B, T, L), of any floating type; computed on in float32.
            batch: of tagged words, see `lit_mlm.text`.

        Raises:
            RuntimeError: if the rows of a sentence don't have each of its words once, in order.
        """
        flat = logits.float().flatten(0, 1)
        gold = batch["labels"].flatten()
        nats = F.cross_entropy(flat, gold, ignore_index=IGNORE_INDEX, reduction="sum")
        self.loss.update(nats, (gold != IGNORE_INDEX).sum())
        labels, best = gold.cpu().numpy(), flat.argmax(dim=-1).cpu().numpy()
        of_words, of_pieces = [], []
        for sentence in decode_batch(logits, batch, self.labels, self.scheme, self.decoding).values():
            of_words.append((sentence.labels, labels[sentence.first_pieces]))
            kept = sentence.pieces[: self.truncation]
            kept = kept[labels[kept] != IGNORE_INDEX]
            of_pieces.append((best[kept], labels[kept]))
        for metric, pairs in ((self.words, of_words), (self.pieces, of_pieces)):
            metric.update([found for found, _ in pairs], [expected for _, expected in pairs])

    def compute(self) -> dict[str, float | int]:
        """The figures by name: those of the words, of the pieces, and ``loss`` in nats a scored piece."""
        pieces = self.pieces.compute()
        return {
            **self.words.compute(),
            **{f"{name}_pieces": pieces[name] for name in PIECE_FIGURES if name in pieces},
            "loss": float(self.loss.compute()),
        }

    def reset(self) -> None:
        """Forgets all batches."""
        super().reset()
        for metric in (self.loss, self.words, self.pieces):
            metric.reset()
