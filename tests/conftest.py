"""What the tests share: tiny checkpoints built in code, the fixtures' folder, and the command line in-process."""

import json
import os
import tempfile

# Before torch, `transformers` and `datasets` are imported: no test may need the network or the user's caches.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # tiny nets: threads cost more than they give, and several processes starve of them
os.environ["HF_HOME"] = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lit-mlm-tests-")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

from lit_mlm import CoNLLDataModule, TokenClassification
from lit_mlm.cli.main import run_command
from lit_mlm.data.tokens.training import train_tokenizer
from lit_mlm.inference.export import export_checkpoint
from tests.families import make_families
from tests.hub_server import Hub, run_hub, skip_waits, use_hub

FIXTURES = Path(__file__).parent / "fixtures"

TINY_BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
NO_DROPOUT = TINY_BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
TINY_ROBERTA: dict[str, Any] = TINY_BERT | {
    "model_type": "roberta",
    "num_hidden_layers": 1,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
}


def read_reviews(split: str = "train") -> list[str]:
    """The fixtures' reviews of one split, labelled ones only."""
    folders = [FIXTURES / "aclImdb" / split / kind for kind in ("neg", "pos")]
    return [file.read_text() for folder in folders for file in sorted(folder.glob("*.txt"))]


@pytest.fixture(scope="session")
def reviews() -> list[str]:
    """24 short documents."""
    return read_reviews()


@pytest.fixture(scope="session")
def wordpiece(reviews: list[str]) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer of 150 tokens."""
    return train_tokenizer(iter(reviews), "wordpiece", 150)


@pytest.fixture(scope="session")
def bpe(reviews: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 380 tokens."""
    return train_tokenizer(iter(reviews), "bpe", 380)


@pytest.fixture(scope="session")
def families(
    wordpiece: PreTrainedTokenizerFast, bpe: PreTrainedTokenizerFast, reviews: list[str]
) -> dict[str, PreTrainedTokenizerFast]:
    """A tokenizer of each of `tests.families.FAMILIES`."""
    return make_families(wordpiece, bpe, reviews)


def save_model(folder: Path, fields: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> str:
    """Builds a masked language model with fixed random weights and saves it with its tokenizer."""
    fields = dict(fields) | {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = AutoModelForMaskedLM.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields))
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory, wordpiece: PreTrainedTokenizerFast) -> str:
    """The folder of a 2-layer BERT with a WordPiece tokenizer."""
    return save_model(tmp_path_factory.mktemp("tiny_bert"), TINY_BERT, wordpiece)


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory, bpe: PreTrainedTokenizerFast) -> str:
    """The folder of a 1-layer RoBERTa with a byte-level BPE tokenizer."""
    return save_model(tmp_path_factory.mktemp("tiny_roberta"), TINY_ROBERTA, bpe)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache that all tests of a session share."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, to which the owner of `user/...` is logged in."""
    with run_hub() as hub:
        use_hub(hub, monkeypatch)
        yield hub


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between requests to the Hub that are repeated; they pass at once."""
    return skip_waits(monkeypatch)


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """A quiet trainer of one epoch on the CPU, unless options say otherwise."""

    def make(**options: Any) -> Trainer:
        quiet: dict[str, Any] = {
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": False,
            "accelerator": "cpu",
        }
        return Trainer(**(quiet | {"max_epochs": 1, "default_root_dir": tmp_path, "log_every_n_steps": 1} | options))

    return make


@pytest.fixture(scope="session")
def news_tagger(tmp_path_factory: pytest.TempPathFactory, cache_dir: str) -> str:
    """The folder of a token classifier without dropout, trained on the sample news until it is right now and then."""
    folder = tmp_path_factory.mktemp("news_tagger")
    words = [line.split(" ")[0] for line in (FIXTURES / "conll" / "train.txt").read_text().splitlines()]
    tokenizer = train_tokenizer(iter(words), "wordpiece", 200, lowercase=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = TokenClassification(save_model(folder / "start", NO_DROPOUT, tokenizer), lr=3e-3)
        data = CoNLLDataModule(data_dir=str(FIXTURES / "conll"), cache_dir=cache_dir, batch_size=16)
        quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        trainer = Trainer(accelerator="cpu", max_epochs=4, default_root_dir=folder, enable_checkpointing=False, **quiet)
        trainer.fit(module, data)
        trainer.save_checkpoint(folder / "last.ckpt")
    export_checkpoint(folder / "last.ckpt", folder / "hf")
    return str(folder / "hf")


@pytest.fixture
def run_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs a command in-process, in an empty working directory, which it returns; mistakes are raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["lit_mlm"])

    def run(*args: object) -> Path:
        run_command([str(arg) for arg in args])
        return tmp_path

    return run


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, cache_dir: str) -> Path:
    """A run of text classification with two test sets; training has the first test review with the other label."""
    folder = tmp_path_factory.mktemp("texts")
    train, test = read_reviews(), read_reviews("test")
    rows = [{"text": text, "label": "neg" if i < len(train) / 2 else "pos"} for i, text in enumerate(train)]
    tests = [{"text": text, "label": "neg" if i < len(test) / 2 else "pos"} for i, text in enumerate(test)]
    splits = {"train": [*rows, {"text": f" {test[0]}\n", "label": "pos"}], "val": rows[::3]}
    for name, part in (splits | {"first": tests[::2], "second": tests[1::2]}).items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
    files = {name: str(folder / f"{name}.jsonl") for name in ("train", "val", "first", "second")}
    run_command(
        [
            *("fit", "--model", "TextClassification", "--model.model", tiny_bert, "--model.lr", "3e-3"),
            *("--data", "LabelledFilesDataModule", "--data.train_files", files["train"], "--data.window", "24"),
            *("--data.val_files", files["val"], "--data.test_files.first", files["first"]),
            *("--data.test_files.second", files["second"], "--data.cache_dir", cache_dir, "--data.batch_size", "8"),
            *("--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
            *("--run_dir", str(folder / "run")),
        ]
    )
    return folder / "run"


def imdb_args(model: str, cache_dir: str) -> list[str]:
    """The options of a quick run on the fixtures' reviews with a tiny model."""
    return [
        *("--config", "imdb.yaml", "--config", "overlays/cpu.yaml", "--model.model", model),
        *("--data.data_dir", str(FIXTURES / "aclImdb"), "--data.cache_dir", cache_dir),
        *("--data.block_size", "32", "--data.num_train_blocks", "null", "--data.num_val_blocks", "null"),
        *("--data.batch_size", "8", "--trainer.max_epochs", "2", "--model.lr", "3e-3"),
        *("--trainer.enable_progress_bar", "false"),
    ]
