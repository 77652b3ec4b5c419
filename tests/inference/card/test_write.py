"""The card as the Hub reads it, and as a reader does."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from lit_mlm.inference.card.facts import Facts
from lit_mlm.inference.card.training import estimate_energy
from lit_mlm.inference.card.write import MODEL, write_card
from tests.inference.card.conftest import CORPUS, IMDB, METRICS

MakeFacts = Callable[..., Facts]

TYPED = {f"{name}/{kind}": 0.9 for name in ("precision", "recall", "f1") for kind in ("PER", "a|b\n# c")}
TAGGED: dict[str, Any] = {
    "f1": 0.91234,
    "f1_low": 0.88,
    "f1_high": 0.94,
    "precision": 0.9,
    "recall": 0.92,
    "loss": 0.1,
    "num_gold_entities": 192,
    "num_words": 848,
    "num_gold/PER": 35,
    "num_gold/a|b\n# c": 4,
    **TYPED,
}


def read_metadata(card: str) -> dict[str, Any]:
    return yaml.safe_load(ModelCard(card).data.to_yaml())  # type: ignore[no-any-return]


def list_headings(card: str) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(ModelCard(card).text)
    return [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]


def test_from_scratch_on_own_text(make_facts: MakeFacts) -> None:
    card = write_card(make_facts(samples=["| text |", "|:---|", "| a |"]))
    assert read_metadata(card) == {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["lit-mlm"],
        "metrics": ["perplexity"],
    }
    assert list_headings(card) == [
        "bert from scratch for masked language modelling on local files",
        *("Use", "Samples", "Evaluation", "Validation split", "Training", "Limits"),
    ]
    assert "- Text: local files (3); licence: not recorded; language: not recorded" in card
    assert "from random weights, to step 300, in epoch 3" in card
    assert "**`perplexity` 11.12** on the validation split" in card
    assert "| `perplexity` | 11.12 | 20.12 | exp of the loss" in card
    assert "seed 7" in card


def test_from_the_hub(make_facts: MakeFacts) -> None:
    card = write_card(make_facts("distilbert-base-uncased", corpora=[IMDB]))
    metadata = read_metadata(card)
    assert metadata["base_model"] == "distilbert-base-uncased"
    assert metadata["datasets"] == ["stanfordnlp/imdb"]
    assert metadata["language"] == ["en"]
    assert "license" not in metadata  # the author's choice
    assert "[IMDB film reviews](https://huggingface.co/datasets/stanfordnlp/imdb)" in card
    assert "[distilbert-base-uncased](https://huggingface.co/distilbert-base-uncased)" in card
    assert list_headings(card)[-1] == "Citation"


def test_from_a_local_model(make_facts: MakeFacts) -> None:
    card = write_card(make_facts("imdb/version_0", is_local=True))
    assert "base_model" not in read_metadata(card)
    assert "from the local model `imdb/version_0`" in card


def test_tagger(make_facts: MakeFacts) -> None:
    metrics = {f"test/{name}": value for name, value in TAGGED.items()}
    tagging = {"window": 128, "stride": 31, "decoding": "viterbi"}
    card = write_card(make_facts(auto_class="AutoModelForTokenClassification", metrics=metrics, tagging=tagging))
    assert read_metadata(card)["metrics"] == ["f1", "precision", "recall"]
    assert "| `f1` | 0.912 | 0.880 to 0.940 | of entities" in card
    assert "**`f1` 0.912** (95 % interval 0.880 to 0.940) on the test split" in card
    assert "| PER | 0.9000 | 0.9000 | 0.9000 | 35 |" in card
    assert "windows:window=128,stride=31,decoding=viterbi|" in card
    assert "192 entities." in card
    assert "was chosen on the validation text" not in card


def test_named_sets_and_test(make_facts: MakeFacts) -> None:
    news = {"val/news/perplexity": 30.0, "val/news/loss": 3.4, "start/val/news/perplexity": 50.0}
    card = write_card(make_facts(metrics=METRICS | news | {"test/perplexity": 12.0, "test/loss": 2.48}))
    assert [name for name in list_headings(card) if "lidation" in name or "Test" in name] == [
        "Test split",
        "Validation split",
        "Validation set news",
    ]
    assert "| `perplexity` | 30.00 | 50.00 |" in card
    assert "`run:cdcdcdcdcdcd|split:val/news|versions:" in card


@pytest.mark.parametrize("auto_class", ["AutoModelForMaskedLM", "AutoModelForTokenClassification", "AutoModelForMine"])
def test_what_is_unknown_is_left_out(make_facts: MakeFacts, auto_class: str) -> None:
    """As of a checkpoint without a run, whose metrics are missing or not finite."""
    for metrics in ({}, {"val/loss": None}, {"val/loss": float("nan"), "val/own": 0.5}):
        card = write_card(make_facts(auto_class=auto_class, metrics=metrics, training={}))
        assert "None" not in card
        assert "nan" not in card
        assert list_headings(card)[1] == "Use"


def test_resumed_run_has_the_sum_of_its_sessions(make_facts: MakeFacts) -> None:
    facts = make_facts()
    (session,) = facts.training["sessions"]
    other = session | {"device": "2 cores of a CPU", "watts": 20.0, "num_devices": 1, "seconds": 60.0}
    unknown = session | {"device": "TPU", "watts": None}
    card = write_card(make_facts(training={**facts.training, "sessions": [session, session, other, unknown]}))
    assert "2 x NVIDIA H200" in card
    assert "1 h 0 min" in card
    assert "at most about 1.40 kWh = 1 h x 700 W x 2 devices" in card
    assert "about 0.33 Wh = 0.0167 h x 20 W; 10 W per core are assumed" in card
    assert "- Energy: unknown" in card


def test_energy_has_no_exponent() -> None:
    assert estimate_energy(3597.0, 99.7, 1, is_cpu=True).startswith("about 100 Wh = 0.999 h x 99.7 W;")
    assert "= 1,230 h x 700 W;" in estimate_energy(1234 * 3600.0, 700.0, 1, is_cpu=False)


def test_text_of_users_stays_text(make_facts: MakeFacts) -> None:
    hostile = "x\n---\n# <b>bold</b> | `code` [a](javascript:b)"
    corpus = CORPUS | {"name": hostile, "licence": hostile, "languages": (hostile,), "citation": hostile}
    metrics = {f"val/{name}": value for name, value in TAGGED.items()} | {f"val/{hostile}/loss": 2.0}
    card = write_card(
        make_facts(
            hostile,
            auto_class="AutoModelForTokenClassification",
            corpora=[corpus],
            metrics=metrics,
            is_local=True,
            config={"data": {"train_files": hostile}},
        )
    )
    assert read_metadata(card)["language"] == [hostile]
    rendered = MarkdownIt("commonmark").enable("table").render(ModelCard(card).text)
    assert "javascript:b" not in re.findall('href="([^"]*)"', rendered)
    assert "<b>" not in rendered
    assert [name for name in list_headings(card) if name == "code"] == []
    rows = re.findall("<tr>(.*?)</tr>", rendered, re.DOTALL)
    assert all(len(re.findall("<t[hd][ >]", row)) in (3, 4, 5) for row in rows)


def test_config_is_collapsed_and_whole(make_facts: MakeFacts) -> None:
    config = {"model": {"lr": 1e-3}, "data": {"train_files": ["a\n```b"]}}
    card = write_card(make_facts(config=config))
    block = re.search(r"<details>.*?(`{3,})yaml\n(.*?)\n\1\n\n</details>", card, re.DOTALL)
    assert block
    assert yaml.safe_load(block[2]) == config


def test_use_has_the_mask_of_the_tokenizer(make_facts: MakeFacts) -> None:
    card = write_card(make_facts(corpora=[IMDB], mask_token="<mask>"))
    assert f'pipeline("fill-mask", model="{MODEL}")' in card
    assert 'print(model("This is a great <mask>."))' in card
    assert f'python -m lit_mlm fill --model {MODEL} "This is a great <mask>."' in card


def test_text_shared_with_training_is_a_limit(make_facts: MakeFacts) -> None:
    card = write_card(make_facts(metrics=METRICS | {"val/num_blocks_shared_with_train": 12}))
    assert "- 12 evaluation blocks share a document with training text" in card
