"""Which words a masked language model finds hard.

Shapes: N scored tokens, U words of a text, T tokens of a text.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lit_mlm.metrics.groups import name_bins
from lit_mlm.text.arrays import BoolArray, FloatArray, Int32Array, IntArray, UInt64Array

TokenIds = IntArray | Int32Array

FREQUENCIES = (0, 1, 2, 5, 10, 100, 1000, 10000)
"""The lowest numbers of the groups by frequency."""

NUM_PLACES = 8
"""Groups by place in the block."""

MIN_TIMES = 3
"""How often a word must be masked to be listed among the hardest: the loss of a single place says little."""

MAX_LISTED = 100
"""Words of a list."""

_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9], dtype=np.uint64)


def hash_words(ids: TokenIds, starts: BoolArray) -> UInt64Array:
    """Hashes the token ids of each word, so that equal words have equal numbers, shape (U,).

    Args:
        ids: shape (T,).
        starts: whether a token begins a word, shape (T,); the first one does.

    Examples:
        >>> first, second, third = hash_words(np.array([7, 8, 7, 8, 8, 7]), np.array([1, 0, 1, 0, 1, 0], dtype=bool))
        >>> first == second != third
        np.True_
    """
    firsts = np.flatnonzero(starts)
    if not len(firsts):
        return np.zeros(0, np.uint64)
    positions = np.arange(len(ids)) - np.repeat(firsts, np.diff(np.append(firsts, len(ids))))
    mixed = (ids.astype(np.uint64) + np.uint64(1)) * _FACTORS[0] + positions.astype(np.uint64) * _FACTORS[1]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _FACTORS[2]
    mixed ^= mixed >> np.uint64(32)
    return np.add.reduceat(mixed, firsts)


class WordLosses:
    """Losses of masked words, added text by text.

    A word is masked if one of its tokens is; its loss is the sum over them. A word that is masked in several draws
    counts once for each.

    Args:
        decode: returns the text of a list of token ids.

    Examples:
        >>> losses = WordLosses(lambda ids: "".join(chr(i) for i in ids))
        >>> ids, starts = np.array([97, 98, 97]), np.array([True, False, True])
        >>> losses.add(ids, starts, np.array([0, 1, 2]), np.array([1.0, 2.0, 0.5]), np.array([97, 99, 97]))
        >>> [(row["text"], row["nats_per_token"], row["accuracy"]) for row in losses.report()["costliest"]]
        [('ab', 1.5, 0.0), ('a', 0.5, 1.0)]
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self.decode = decode
        self.texts: dict[int, str] = {}
        self.nats: Counter[int] = Counter()
        self._parts: list[tuple[UInt64Array, FloatArray, IntArray, BoolArray, IntArray]] = []
        self._sets: list[str] = []  # of the words
        self.wrong: dict[int, Counter[int]] = {}

    @property
    def hashes(self) -> UInt64Array:
        """Those of the masked words, as `hash_words` gives them."""
        return np.concatenate([np.zeros(0, np.uint64), *(hashes for hashes, *_ in self._parts)])

    def add(
        self,
        ids: TokenIds,
        starts: BoolArray,
        places: IntArray,
        nats: FloatArray,
        found: IntArray,
        set_name: str = "",
        positions: IntArray | None = None,
    ) -> None:
        """Adds the scored tokens of a text, under one mask draw.

        Args:
            ids: all tokens of the text, shape (T,).
            starts: whether a token begins a word, shape (T,).
            places: of the scored tokens, each in [0, T), shape (N,).
            nats: their losses, shape (N,).
            found: ids of the most probable tokens, shape (N,).
            set_name: of a named evaluation set; empty without.
            positions: of the scored tokens in their blocks, from 0, shape (N,); None if unknown.
        """
        starts = starts.copy()
        starts[:1] = True
        words = np.cumsum(starts)[places] - 1
        units, begins, word_of_token = np.unique(words, return_index=True, return_inverse=True)
        hashes, firsts = hash_words(ids, starts)[units], np.append(np.flatnonzero(starts), len(ids))
        is_right = found == ids[places]
        sizes = np.bincount(word_of_token, minlength=len(units))
        num_right = np.bincount(word_of_token, weights=is_right, minlength=len(units))
        sums = np.bincount(word_of_token, weights=nats, minlength=len(units))
        in_block = np.full(len(units), -1) if positions is None else positions[begins]
        self._parts.append((hashes, sums.astype(np.float64), sizes.astype(np.int64), num_right == sizes, in_block))
        self._sets += [set_name] * len(units)
        for name, unit in dict(zip(hashes.tolist(), units.tolist(), strict=True)).items():
            if name not in self.texts:
                self.texts[name] = self.decode(ids[firsts[unit] : firsts[unit + 1]].tolist()).strip()
        for name, token in zip(hashes[word_of_token[~is_right]].tolist(), found[~is_right].tolist(), strict=True):
            self.wrong.setdefault(name, Counter())[token] += 1

    def report(
        self, frequencies: Mapping[int, int] | None = None, parts_of_speech: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Describes the losses, as plain data for JSON.

        Args:
            frequencies: how often each word is in the training text, by its hash; None if unknown.
            parts_of_speech: tag of each word; None if unknown. Words are looked up as they are, then in lower case.

        Returns:
            ``counts`` and ``loss`` of all; ``hardest`` words, by loss per token, and ``costliest``, by summed loss; and
            as far as is known the same figures by ``frequency``, ``training`` (whether the word is in it),
            ``position`` in the block and ``part_of_speech``, and of named sets by ``sets``.
        """
        empty = np.zeros(0, np.uint64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int64)
        hashes, nats, sizes, is_right, in_block = map(np.concatenate, zip(empty, *self._parts, strict=True))
        total = float(nats.sum())

        def measure(chosen: Any) -> dict[str, float | int]:
            num_tokens = int(sizes[chosen].sum())
            return {
                "num_words": len(sizes[chosen]),
                "num_tokens": num_tokens,
                "nats_per_token": float(nats[chosen].sum()) / max(num_tokens, 1),
                "accuracy": float(is_right[chosen].sum()) / max(len(sizes[chosen]), 1),
                "share_of_loss": float(nats[chosen].sum()) / total if total else 0.0,
            }

        names, inverse = np.unique(hashes, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(np.bincount(inverse, minlength=len(names)))
        places = np.split(order, ends[:-1]) if len(names) else []
        rows = []
        for name, chosen in zip(names.tolist(), places, strict=True):
            known = {} if frequencies is None else {"in_training": frequencies.get(name, 0)}
            rows.append({"text": self.texts[name], **measure(chosen), **known, "hash": name})
        report: dict[str, Any] = {"counts": measure(slice(None)), "loss": total / max(int(sizes.sum()), 1)}
        if any(self._sets):
            sets = np.array(self._sets)
            report["sets"] = {name: measure(sets == name) for name in dict.fromkeys(self._sets)}
        if frequencies is not None:
            bins = np.searchsorted(FREQUENCIES, [row["in_training"] for row in rows], side="right") - 1
            report["frequency"] = {
                label: measure((bins == i)[inverse]) for i, label in enumerate(name_bins(FREQUENCIES)) if i in bins
            }
            groups = {"seen": bins > 0, "unseen": bins == 0}
            report["training"] = {name: measure(chosen[inverse]) for name, chosen in groups.items() if chosen.any()}
        if in_block.max(initial=-1) >= 0:
            size = -(-(int(in_block.max()) + 1) // NUM_PLACES)
            report["position"] = {
                f"{i * size} to {(i + 1) * size - 1}": measure(in_block // size == i)
                for i in np.unique(in_block // size).tolist()
            }
        if parts_of_speech is not None:
            texts = [row["text"] for row in rows]
            tags = np.array([parts_of_speech.get(text, parts_of_speech.get(text.lower(), "")) for text in texts])
            groups = {str(tag) or "not in the file": measure((tags == tag)[inverse]) for tag in np.unique(tags)}
            report["part_of_speech"] = dict(sorted(groups.items(), key=lambda item: -item[1]["share_of_loss"]))
        frequent = [row for row in rows if row["num_words"] >= MIN_TIMES]
        report["hardest"] = self._list(frequent, lambda row: (-row["nats_per_token"], row["text"]))
        report["costliest"] = self._list(rows, lambda row: (-row["share_of_loss"], row["text"]))
        return report

    def _list(self, rows: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
        """The first words by a key, each with the most frequent wrong token in one of its places."""
        listed = []
        for row in sorted(rows, key=key)[:MAX_LISTED]:
            wrong = self.wrong.get(row["hash"])
            found = "" if wrong is None else self.decode([wrong.most_common(1)[0][0]]).strip()
            listed.append({name: value for name, value in row.items() if name != "hash"} | {"most_found": found})
        return listed


def count_words(ids: TokenIds, starts: BoolArray, hashes: UInt64Array, size: int = 2**24) -> dict[int, int]:
    """Counts words in a text, by hash.

    Args:
        ids: all tokens of the text, shape (T,).
        starts: whether a token begins a word, shape (T,).
        hashes: words to count.
        size: tokens at a time, about.
    """
    wanted, counts = np.unique(hashes), np.zeros(len(np.unique(hashes)), np.int64)
    start = 0
    while start < len(ids):
        later = np.flatnonzero(starts[start + size : start + 2 * size])
        end = start + size + int(later[0]) if len(later) else len(ids)
        begins = starts[start:end].copy()
        begins[:1] = True
        found, numbers = np.unique(hash_words(ids[start:end], begins), return_counts=True)
        places = np.searchsorted(wanted, found)
        is_wanted = wanted[np.minimum(places, len(wanted) - 1)] == found if len(wanted) else found != found
        counts[places[is_wanted]] += numbers[is_wanted]
        start = end
    return dict(zip(wanted.tolist(), counts.tolist(), strict=True))
