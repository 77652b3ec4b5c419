"""What of a config may leave the machine."""

from typing import Any

import pytest

from lit_mlm.runs.redaction import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/texts/*.txt", ".../*.txt"),
        ("~/.cache/lit_mlm", ".../lit_mlm"),
        ("../ada/texts", ".../texts"),
        ("file:///home/ada/runs", ".../runs"),
        (r"C:\Users\Ada\texts", ".../texts"),
        ("texts/**/*.txt", "texts/**/*.txt"),
        ("stanfordnlp/imdb", "stanfordnlp/imdb"),
        ("https://ada:secret@example.org/mlflow", "https://example.org/mlflow"),
        ("hf_" + "aB3" * 11, "..."),
        ("sk-proj-" + "aB3-" * 5, "..."),
        ("gho_" + "aB3" * 11, "..."),
        ("glpat-" + "aB3-" * 5, "..."),
        ("https://example.org/hook?run=1&token=abc", "https://example.org/hook?run=1&token=..."),
        ("sqlite:////home/ada/study.db", "sqlite:.../study.db"),
        ("--data=/home/ada/texts", "--data=.../texts"),
        ("{/home/ada/a,/home/bob/b}/*.txt", "{.../a,.../b}/*.txt"),
        ("texts/a.txt, ~/b.txt", "texts/a.txt, .../b.txt"),
        ("s3://bucket/texts/a.txt", "s3://bucket/texts/a.txt"),
        ("skipgram_negative_sampling", "skipgram_negative_sampling"),
        ("warmup_stable_decay", "warmup_stable_decay"),
        ("e6281661ce1c48d982bc483cf8a173c1bbeb5d31", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"),
    ],
)
def test_paths_and_secrets_of_values(text: str, expected: str) -> None:
    assert redact({"a": [text]}) == {"a": [expected]}


@pytest.mark.parametrize(
    "name", ["token", "hub_token", "api_key", "apikey", "password", "secret_key", "accessToken", "AccessKey"]
)
def test_secrets_by_name(name: str) -> None:
    assert redact({"logger": {name: "abc"}}) == {"logger": {}}


def test_options_stay_as_they_are() -> None:
    config: dict[str, Any] = {"mask_token_prob": 0.8, "special_tokens": "document", "tokenizer": "bert", "lr": 1e-3}
    assert redact(config | {"subset": None}) == config


def test_keys() -> None:
    assert redact({"weights": {"/home/ada/a.txt": 2}}) == {"weights": {".../a.txt": 2}}
