"""Metrics of words whose sentences are spread over windows, from the logits of their pieces.

Shapes: B rows, T pieces of one, L labels.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from lit_mlm.entity_metrics import EntityMetrics, TagMetrics
from lit_mlm.metrics import MeanLoss, SumMetric
from lit_mlm.text import IGNORE_INDEX
from lit_mlm.text.alignment import find_first_pieces
from lit_mlm.text.tagging import Scheme, decode_tags
from lit_mlm.text.windows import find_owned_pieces

Decoding = Literal["argmax", "viterbi"]

PIECE_FIGURES = ("precision", "recall", "f1", "accuracy")


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
        labels, words, sentences = (batch[name].cpu().numpy() for name in ("labels", "words", "sentences"))
        labels, best = labels.reshape(-1), flat.argmax(dim=-1).cpu().numpy()
        scores = flat.log_softmax(dim=-1).cpu().numpy() if self.decoding == "viterbi" else None
        of_words, of_pieces = [], []
        for places in find_owned_pieces(words, sentences).values():
            first = places[find_first_pieces(words.reshape(-1)[places])]
            found = best[first] if scores is None else decode_tags(scores[first], self.labels, self.scheme)
            of_words.append((found, labels[first]))
            kept = places[: self.truncation]
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
