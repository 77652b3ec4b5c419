"""The facts of a model from scratch, of a fine-tuned one and of a tagger."""

from collections.abc import Callable
from typing import Any

import pytest

from lit_mlm.inference.card.facts import Facts

CORPUS: dict[str, Any] = {
    "name": "local files",
    "hub_id": None,
    "revision": None,
    "subset": None,
    "licence": None,
    "languages": (),
    "citation": None,
    "num_files": 3,
    "probes": (),
}
IMDB = CORPUS | {
    "name": "IMDB film reviews",
    "hub_id": "stanfordnlp/imdb",
    "revision": "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    "languages": ("en",),
    "citation": 'Maas et al. 2011, "Learning word vectors for sentiment analysis", ACL',
    "num_files": None,
    "probes": ("This is a great [MASK].",),
}
SESSION = {"device": "NVIDIA H200", "watts": 700.0, "num_devices": 2, "precision": "bf16-mixed", "seconds": 1800.0}
METRICS: dict[str, Any] = {
    "start/val/perplexity": 20.123456789,
    "val/perplexity": 11.123456789,
    "val/loss": 2.409,
    "val/num_scored_tokens": 190_000,
    "val/num_blocks": 1000,
    "val/data_fingerprint": "ab" * 32,
    "data_fingerprint": "cd" * 32,
    "step": 300,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}
HISTORY = [{"step": 100 * n, "epoch": n, "train/loss": 3.0, "val/loss": 3.0 - n / 10} for n in range(4)]


@pytest.fixture
def make_facts() -> Callable[..., Facts]:
    """Makes the facts of a masked language model from scratch, unless changes say otherwise."""

    def make(
        model: str | None = None,
        auto_class: str = "AutoModelForMaskedLM",
        corpora: list[dict[str, Any]] | None = None,
        metrics: dict[str, Any] | None = None,
        tagging: dict[str, Any] | None = None,
        is_local: bool = False,
        **changes: Any,
    ) -> Facts:
        options = {"model": model, "lr": 0.001, "schedule": "linear", "weight_decay": 0.01}
        headline = ["perplexity", "loss"] if auto_class == "AutoModelForMaskedLM" else ["f1", "precision", "recall"]
        training = {
            "origin": {"name": model, "revision": None, "hub_id": None if is_local else model, "is_local": is_local},
            "corpora": [CORPUS] if corpora is None else corpora,
            "headline": headline,
            "monitor": "val/loss",
            "seed": 7,
            "sessions": [SESSION],
            "history": HISTORY,
        }
        record = {
            "version": "0.1.0",
            "epoch": 2,
            "auto_class": auto_class,
            "config": {"model_type": "bert", "lit_mlm": tagging},
            "options": options,
        }
        known: dict[str, Any] = {
            "training": training,
            "num_parameters": 1_400_000,
            "max_length": 128,
            "mask_token": "[MASK]",
        }
        return Facts(record, 300, METRICS if metrics is None else metrics, **(known | changes))

    return make
