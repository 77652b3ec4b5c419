"""Mixes sources in fixed proportions, whatever their sizes, as a pure function of (seed, epoch)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.counter_hash import ORDER, draw_uniform, hash_examples


@dataclass(frozen=True)
class Mixture:
    """The training examples of several sources; each must have an example in every epoch.

    Attributes:
        weights: of the sources by name, above 0.
        sources: index into `weights` of each example's source, shape (num_examples,).
        kind: what an example is called in messages.
    """

    weights: Mapping[str, float]
    sources: IntArray
    kind: str = "block"

    def __post_init__(self) -> None:
        for name, size, quota in zip(self.weights, self.sizes, self.quotas, strict=True):
            if size == 0:
                raise InputError(f"data.sources.{name} has no {self.kind} to train on; add text or remove the source")
            if quota == 0:
                raise InputError(
                    f"data.sources.{name}.weight {self.weights[name]:g} gives it none of the {len(self.sources):,} "
                    f"{self.kind}s of an epoch; raise it, or remove the source"
                )

    @cached_property
    def sizes(self) -> list[int]:
        """The number of examples of each source."""
        sizes: list[int] = np.bincount(self.sources, minlength=len(self.weights)).tolist()
        return sizes

    @cached_property
    def quotas(self) -> list[int]:
        """The examples of each source in an epoch, which has as many as all sources together."""
        return share_out(len(self.sources), list(self.weights.values()))

    def draw_epoch(self, seed: int, epoch: int) -> tuple[IntArray, IntArray]:
        """`mix_examples` of these examples."""
        return mix_examples(self.sources, self.quotas, seed, epoch)

    def __str__(self) -> str:
        parts = [
            f"{name} {quota / len(self.sources):.1%} ({size:,} {self.kind}s, {_format(quota / size)} passes per epoch)"
            for name, size, quota in zip(self.weights, self.sizes, self.quotas, strict=True)
        ]
        return f"mixed: {', '.join(parts)}"


def mix_examples(sources: IntArray, quotas: Sequence[int], seed: int, epoch: int) -> tuple[IntArray, IntArray]:
    """Draws the examples of an epoch, with a fixed number from each source.

    Each source is an endless sequence of permutations of its examples, its own epochs. A training epoch takes the next
    `quotas` examples of each sequence and shuffles them together: a small source repeats within the epoch, a large one
    continues in the next. No example repeats before all others of its source have appeared as often.

    Args:
        sources: source of each example, shape (num_examples,).
        quotas: examples of each source in an epoch; 0 for a source without any.
        seed: of the permutations, at least 0.
        epoch: from 0.

    Returns:
        The examples in order, and each one's source epoch, both of shape (sum(quotas),). No pair repeats in any epoch.
    """
    taken = [
        _take(np.flatnonzero(sources == source), epoch * quota, quota, seed)
        for source, quota in enumerate(quotas)
        if quota
    ]
    examples, source_epochs = (np.concatenate(parts) for parts in zip(*taken, strict=True))
    order = np.random.default_rng((seed, epoch)).permutation(len(examples))
    return examples[order], source_epochs[order]


def _take(examples: IntArray, start: int, num: int, seed: int) -> tuple[IntArray, IntArray]:
    """Examples and source epochs of one source, from position `start` of its sequence."""
    first, last = start // len(examples), (start + num - 1) // len(examples)
    epochs = np.arange(first, last + 1)[:, None]
    uniform = draw_uniform(hash_examples(seed, epochs, examples), np.zeros(1, np.int64), ORDER)
    sequence = examples[np.argsort(uniform, axis=1, kind="stable")].ravel()
    part = slice(start - first * len(examples), start - first * len(examples) + num)
    return sequence[part], np.repeat(epochs.ravel(), len(examples))[part]


def share_out(total: int, weights: Sequence[float]) -> list[int]:
    """Divides a total into integers in proportion to weights, by the largest remainder (Hamilton's method).

    >>> share_out(10, [1, 1, 4])
    [2, 2, 6]

    Args:
        total: sum of the shares.
        weights: each above 0 and finite.

    Returns:
        One share per weight, in exact arithmetic less than 1 away from the proportional one. Ties go to the first.
    """
    exact = [Fraction(weight) * total / sum(map(Fraction, weights)) for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def find_sources(starts: IntArray, document_lengths: IntArray, num_documents: list[int]) -> IntArray:
    """The source of each block, shape (num_blocks,).

    Args:
        starts: of each block in the stream, shape (num_blocks,).
        document_lengths: tokens of each document, sorted by source, shape (num_documents,).
        num_documents: of each source.
    """
    ends = np.concatenate([[0], np.cumsum(document_lengths)])[np.cumsum(num_documents)]
    return np.searchsorted(ends, starts, side="right")


def _format(number: float) -> str:
    """At least two significant digits."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
