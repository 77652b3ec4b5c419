"""Examples of several sources in fixed shares of an epoch, whatever their sizes: a pure function of (seed, epoch)."""

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
    """The training examples of several sources.

    Attributes:
        weights: of each source by its name, above 0.
        sources: the source of each example, by its place in `weights`, shape (num_examples,).
        kind: what an example is called in messages.

    Raises:
        InputError: if a source has no example, or so small a weight that an epoch has none of it.
    """

    weights: Mapping[str, float]
    sources: IntArray
    kind: str = "block"

    def __post_init__(self) -> None:
        for name, size, quota in zip(self.weights, self.sizes, self.quotas, strict=True):
            if size == 0:
                raise InputError(
                    f"data.sources.{name} has no {self.kind} to train on; give it more text, or leave it out"
                )
            if quota == 0:
                raise InputError(
                    f"data.sources.{name}.weight {self.weights[name]:g} gives it none of the {len(self.sources):,} "
                    f"{self.kind}s of an epoch; raise it, or leave the source out"
                )

    @cached_property
    def sizes(self) -> list[int]:
        """How many examples each source has."""
        sizes: list[int] = np.bincount(self.sources, minlength=len(self.weights)).tolist()
        return sizes

    @cached_property
    def quotas(self) -> list[int]:
        """How many examples of each source an epoch has; all sources together have as many as there are examples."""
        return share_out(len(self.sources), list(self.weights.values()))

    def draw_epoch(self, seed: int, epoch: int) -> tuple[IntArray, IntArray]:
        """`mix_examples` of these."""
        return mix_examples(self.sources, self.quotas, seed, epoch)

    def __str__(self) -> str:
        parts = [
            f"{name} {quota / len(self.sources):.1%} ({size:,} {self.kind}s, {_format(quota / size)} passes an epoch)"
            for name, size, quota in zip(self.weights, self.sizes, self.quotas, strict=True)
        ]
        return f"mixed: {', '.join(parts)}"


def mix_examples(sources: IntArray, quotas: Sequence[int], seed: int, epoch: int) -> tuple[IntArray, IntArray]:
    """The examples of an epoch, in which each source has a fixed number of places.

    Each source is an endless sequence of permutations of its examples, one epoch of its own after the other. An epoch
    of training takes the next `quotas` of each sequence and shuffles them together: a source with fewer examples than
    its quota is repeated within it, and one with more continues in the next. No example comes again before all others
    of its source have come as often.

    Args:
        sources: the source of each example, shape (num_examples,).
        quotas: how many examples of each source an epoch has; 0 for a source without any.
        seed: of the permutations, at least 0.
        epoch: from 0.

    Returns:
        The examples in the order of the epoch, and the epoch of each one's source, both of shape (sum(quotas),). No
        pair of them comes twice, in any epoch.
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
    """Examples and source epochs of one source, from position `start` of its sequence on."""
    first, last = start // len(examples), (start + num - 1) // len(examples)
    epochs = np.arange(first, last + 1)[:, None]
    uniform = draw_uniform(hash_examples(seed, epochs, examples), np.zeros(1, np.int64), ORDER)
    sequence = examples[np.argsort(uniform, axis=1, kind="stable")].ravel()
    part = slice(start - first * len(examples), start - first * len(examples) + num)
    return sequence[part], np.repeat(epochs.ravel(), len(examples))[part]


def share_out(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in the proportion of weights, by the largest remainder (Hamilton's method), in exact arithmetic.

    Args:
        total: their sum.
        weights: each above 0 and finite.

    Returns:
        One for each weight, less than 1 away from its exact share. Of equal remainders the first is rounded up.
    """
    exact = [Fraction(weight) * total / sum(map(Fraction, weights)) for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def find_sources(starts: IntArray, document_lengths: IntArray, num_documents: list[int]) -> IntArray:
    """The source of each block.

    Args:
        starts: where each block starts in the stream, shape (num_blocks,).
        document_lengths: tokens of each document of the stream, source after source, shape (num_documents,).
        num_documents: how many of them each source has.
    """
    ends = np.concatenate([[0], np.cumsum(document_lengths)])[np.cumsum(num_documents)]
    return np.searchsorted(ends, starts, side="right")


def _format(number: float) -> str:
    """Two digits, and all that stand before the point."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
