"""Mixes sources in fixed proportions, as a pure function of (seed, epoch)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.masking.counter_hash import ORDER, draw_uniform, hash_examples


@dataclass(frozen=True)
class Mixture:
    """Training examples of several sources; each source has at least one example in every epoch.

    Attributes:
        weights: sampling weights of the sources by name, above 0.
        sources: index into `weights` of the source of each example, shape (num_examples,).
        kind: name of an example in messages.
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
        """The number of examples of each source in an epoch, which has as many examples as all sources together."""
        return apportion(len(self.sources), list(self.weights.values()))

    def draw_epoch(self, seed: int, epoch: int) -> tuple[IntArray, IntArray]:
        """Draws the examples of an epoch, see `mix_examples`."""
        return mix_examples(self.sources, self.quotas, seed, epoch)

    def __str__(self) -> str:
        descriptions = [
            f"{name} {quota / len(self.sources):.1%} ({size:,} {self.kind}s, {_format(quota / size)} times per epoch)"
            for name, size, quota in zip(self.weights, self.sizes, self.quotas, strict=True)
        ]
        return f"mixed: {', '.join(descriptions)}"


def mix_examples(sources: IntArray, quotas: Sequence[int], seed: int, epoch: int) -> tuple[IntArray, IntArray]:
    """Draws the examples of an epoch, with a fixed number from each source.

    Each source is an endless sequence of permutations of its examples, its source epochs. A training epoch takes the
    next `quotas` examples of each sequence and shuffles them: a small source repeats within the epoch, a large one
    continues in the next. No example repeats before all others of its source have appeared as often.

    Args:
        sources: source of each example, shape (num_examples,).
        quotas: number of examples of each source in an epoch; 0 for an empty source.
        seed: of the permutations, at least 0.
        epoch: from 0.

    Returns:
        The shuffled examples and their source epochs, both of shape (sum(quotas),). No pair repeats in any epoch.
    """
    taken = [
        _take_examples(np.flatnonzero(sources == source), epoch * quota, quota, seed)
        for source, quota in enumerate(quotas)
        if quota
    ]
    examples, source_epochs = (np.concatenate(parts) for parts in zip(*taken, strict=True))
    order = np.random.default_rng((seed, epoch)).permutation(len(examples))
    return examples[order], source_epochs[order]


def _take_examples(examples: IntArray, start: int, num: int, seed: int) -> tuple[IntArray, IntArray]:
    """Returns examples and source epochs of one source, from position `start` of its sequence."""
    first, last = start // len(examples), (start + num - 1) // len(examples)
    epochs = np.arange(first, last + 1)[:, None]
    uniform = draw_uniform(hash_examples(seed, epochs, examples), np.zeros(1, np.int64), ORDER)
    sequence = examples[np.argsort(uniform, axis=1, kind="stable")].ravel()
    taken = slice(start - first * len(examples), start - first * len(examples) + num)
    return sequence[taken], np.repeat(epochs.ravel(), len(examples))[taken]


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Divides a total into integers in proportion to weights, by the largest remainder method (Hamilton).

    >>> apportion(10, [1, 1, 4])
    [2, 2, 6]

    Args:
        total: sum of the shares.
        weights: each above 0 and finite.

    Returns:
        One share per weight, less than 1 away from its exact proportion. Ties go to the first.
    """
    exact = [Fraction(weight) * total / sum(map(Fraction, weights)) for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def find_sources(starts: IntArray, document_lengths: IntArray, num_documents: list[int]) -> IntArray:
    """Returns the source of each block, shape (num_blocks,).

    Args:
        starts: first token of each block in the concatenated documents, shape (num_blocks,).
        document_lengths: number of tokens of each document, sorted by source, shape (num_documents,).
        num_documents: number of documents of each source.
    """
    ends = np.concatenate([[0], np.cumsum(document_lengths)])[np.cumsum(num_documents)]
    return np.searchsorted(ends, starts, side="right")


def _format(number: float) -> str:
    """Formats a number with at least two significant digits."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
