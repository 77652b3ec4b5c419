"""A signature changes with all that decides a metric, and with nothing else."""

from typing import Any

import pytest

from lit_mlm.metrics.signature import find_differences, make_signature

METADATA: dict[str, Any] = {
    "loss": 2.5,
    "data_fingerprint": "0" * 64,
    "text_fingerprint": "2" * 64,
    "mask_fingerprint": "1" * 64,
    "eval_seed": 42,
    "num_mask_draws": 5,
    "masking": "TokenMasking",
    "block_policy": "concatenate",
    "block_size": 128,
    "num_blocks": 10,
    "num_scored_tokens": 190,
    "num_words": 900,
}
VERSIONS = {"lit-mlm": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.7"}
TAGGING: dict[str, Any] = {"window": 128, "stride": 31, "context_tokens": 0, "scheme": "IOB2", "decoding": "argmax"}


def sign(split: str = "val", **changes: Any) -> str:
    """The signature with some values changed."""
    metadata, versions, tagging = (
        {key: changes.get(key, value) for key, value in part.items()} for part in (METADATA, VERSIONS, TAGGING)
    )
    return make_signature(split, metadata, versions, tagging)


@pytest.mark.parametrize("key", sorted({*METADATA, *VERSIONS, *TAGGING} - {"loss", "python"}))
def test_changes_with_what_decides_a_metric(key: str) -> None:
    assert sign(**{key: "other"}) != sign()


def test_changes_with_the_split_but_not_with_the_metric() -> None:
    assert sign("test") != sign()
    assert sign(loss=1.0) == sign()


def test_every_part_is_named_once() -> None:
    names = [part.partition(":")[0] for part in sign(masking="a|b").split("|")]
    assert names == [
        "data",
        "text",
        "masks",
        "draws",
        "masking",
        "policy",
        "windows",
        "blocks",
        "tokens",
        "words",
        "split",
        "versions",
    ]


def test_differences_are_named_with_both_values() -> None:
    changed = make_signature("val", METADATA | {"masking": "a:b|c"}, VERSIONS, TAGGING, "3" * 64)
    assert find_differences(sign(), changed) == {"run": (None, "3" * 12), "masking": ("TokenMasking", "a:b/c")}
    assert find_differences(sign(), sign()) == {}


def test_what_is_unknown_is_missing() -> None:
    assert make_signature("val", {}, {}) == "split:val"
