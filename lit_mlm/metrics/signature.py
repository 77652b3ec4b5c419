"""What decides a metric, as one line beside it.

After sacreBLEU (Post 2018, "A call for clarity in reporting BLEU scores", WMT).
"""

from collections.abc import Mapping
from typing import Any

PACKAGES = ("lit-mlm", "torch", "transformers")

WINDOW_OPTIONS = ("window", "stride", "context_tokens", "long_texts", "scheme", "decoding")
"""Options of a tagger or classifier that decide what is found; see `tagging_options` and `text_options` in
`lit_mlm.batch`."""


def make_signature(
    split: str,
    metadata: Mapping[str, Any],
    versions: Mapping[str, Any],
    tagging: Mapping[str, Any] | None = None,
    run_fingerprint: str | None = None,
) -> str:
    """Returns the signature of the metrics of a split; parts that are unknown are missing.

    >>> metadata = {"data_fingerprint": "3f" * 32, "block_policy": "concatenate", "block_size": 128}
    >>> make_signature("val", metadata, {"torch": "2.13.0"})
    'data:3f3f3f3f3f3f|policy:concatenate-128|split:val|versions:torch-2.13.0'

    Args:
        split: such as ``val``.
        metadata: of the split, as in its metrics.
        versions: of packages by name.
        tagging: options of a tagger.
        run_fingerprint: of the data of the run, its training text included.
    """
    tagging = {name: (tagging or {}).get(name) for name in WINDOW_OPTIONS}
    windows = [f"{name}={value}" for name, value in tagging.items() if value is not None]
    masks, draws = metadata.get("mask_fingerprint"), metadata.get("num_mask_draws", 1)
    parts = {
        "data": _shorten(metadata.get("data_fingerprint")),
        "text": _shorten(metadata.get("text_fingerprint")),
        "run": _shorten(run_fingerprint),
        "masks": masks and f"{metadata.get('eval_seed', '?')}/{_shorten(masks)}",
        "draws": f"{draws}" if draws != 1 else None,
        "masking": metadata.get("masking"),
        "policy": "-".join(str(metadata[name]) for name in ("block_policy", "block_size") if name in metadata),
        "windows": ",".join(windows),
        "blocks": metadata.get("num_blocks"),
        "tokens": metadata.get("num_scored_tokens"),
        "words": metadata.get("num_words"),
        "texts": metadata.get("num_texts"),
        "split": split,
        "versions": ",".join(f"{name.replace('-', '_')}-{versions[name]}" for name in PACKAGES if versions.get(name)),
    }
    return "|".join(f"{name}:{str(value).replace('|', '/')}" for name, value in parts.items() if value)


def find_differences(first: str, second: str) -> dict[str, tuple[str | None, str | None]]:
    """Returns the parts in which two signatures differ, each with both values.

    >>> find_differences("data:3f|split:val", "data:4a|split:val|tokens:9")
    {'data': ('3f', '4a'), 'tokens': (None, '9')}
    """
    old, new = (dict(part.split(":", 1) for part in signature.split("|")) for signature in (first, second))
    return {name: (old.get(name), new.get(name)) for name in old | new if old.get(name) != new.get(name)}


def _shorten(fingerprint: Any) -> str | None:
    return None if fingerprint is None else str(fingerprint)[:12]
