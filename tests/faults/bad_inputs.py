"""Mistakes that a user can make, one a row: how to make it, and what the error must say."""

import json
import shutil
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub.errors import RepositoryNotFoundError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SentencePieceExtractor

from tests.conftest import FIXTURES, read_reviews

TAGGED = "Tom NNP B-NP B-PER\nruns VBZ B-VP O\n\nParis NNP B-NP B-LOC\n"


@dataclass(frozen=True)
class Place:
    """Where a row makes its mistake.

    Attributes:
        folder: an empty working directory.
        bert: folder of a tiny BERT, 64 positions, with a WordPiece tokenizer.
        roberta: folder of a tiny RoBERTa with another vocabulary.
        fill_run: folder of a finished run of masked language modelling with `bert`.
        tag_run: folder of a finished run of token classification with `bert` and the sample news.
        patch: undone after the row.
        opened: closed after the row.
    """

    folder: Path
    bert: str
    roberta: str
    fill_run: Path
    tag_run: Path
    patch: pytest.MonkeyPatch
    opened: ExitStack

    def write(self, name: str, content: str | bytes) -> str:
        """Writes a file below the folder; returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def fit(self, *args: object, model: str | None = None) -> list[str]:
        """The command line that trains on the reviews, and what a row adds to it."""
        texts = ["--data", "TextFilesDataModule"]
        if not any("train_files" in str(arg) or "data.dataset" in str(arg) for arg in args):
            texts += ["--data.train_files", self.write("reviews.txt", "\n".join(read_reviews()))]
            texts += ["--data.document_per", "line"]
        return self._train("MaskedLM", model, *texts, *args)

    def validate(self, *args: object) -> list[str]:
        """The command line that scores on what `fit` validates on."""
        return ["validate", *self.fit(*args)[1:]]

    def tag(self, *args: object, model: str | None = None) -> list[str]:
        """The command line that trains on tagged sentences, and what a row adds to it."""
        folder = [] if {"--data.data_dir", "--data.dataset"} & set(args) else ["--data.data_dir", FIXTURES / "conll"]
        return self._train("TokenClassification", model, "--data", "CoNLLDataModule", *folder, *args)

    def write_tagged(self, train: str = TAGGED, val: str = TAGGED) -> str:
        """A folder of column files."""
        self.write("tagged/train.txt", train)
        return str(Path(self.write("tagged/valid.txt", val)).parent)

    def _train(self, task: str, model: str | None, *args: object) -> list[str]:
        rest = ("--trainer.accelerator", "cpu", "--trainer.max_steps", 1, "--trainer.enable_progress_bar", "false")
        folders = ("--data.cache_dir", "cache", "--run_dir", "run", "--data.num_workers", 0)
        return [
            str(a)
            for a in (
                "fit",
                "--model",
                task,
                "--model.model",
                model or self.bert,
                *rest,
                *args[:2],
                *folders,
                *args[2:],
            )
        ]


@dataclass(frozen=True)
class BadInput:
    """A row.

    Attributes:
        name: of the mistake.
        make: makes it; returns the command line, without the program.
        expected: what the error says: what was found, where, and what to do.
    """

    name: str
    make: Callable[[Place], list[str]]
    expected: tuple[str, ...]


def config(text: str) -> Callable[[Place], list[str]]:
    """A mistake in a YAML file."""
    return lambda place: place.fit("--config", place.write("my.yaml", text))


def train_file(name: str, content: str | bytes, *args: str) -> Callable[[Place], list[str]]:
    """A mistake in a file of text."""
    return lambda place: place.fit("--data.train_files", place.write(name, content), *args)


def tagged_files(train: str = TAGGED, val: str = TAGGED, *args: str) -> Callable[[Place], list[str]]:
    """A mistake in a file of tagged words."""
    return lambda place: place.tag("--data.data_dir", place.write_tagged(train, val), *args)


def give(*args: object) -> Callable[[Place], list[str]]:
    """A mistake in an option of masked language modelling."""
    return lambda place: place.fit(*args)


def give_tags(*args: object) -> Callable[[Place], list[str]]:
    """A mistake in an option of token classification."""
    return lambda place: place.tag(*args)


def copy_model(place: Place, name: str, *leave_out: str) -> Path:
    """A copy of the tiny BERT without some of its files."""
    folder = place.folder / name
    shutil.copytree(place.bert, folder, ignore=shutil.ignore_patterns(*leave_out))
    return folder


def script(place: Place) -> list[str]:
    place.write("reviews/reviews.py", "raise SystemExit('run')")
    return place.fit("--data.dataset", place.folder / "reviews")


def unknown_dataset(place: Place) -> list[str]:
    error = DatasetNotFoundError("Dataset 'user/nosuch' doesn't exist on the Hub or cannot be accessed")
    place.patch.setattr("lit_mlm.data.reading.hub.load_dataset", Mock(side_effect=error))
    return place.fit("--data.dataset", "user/nosuch")


def unknown_model(place: Place) -> list[str]:
    cause = RepositoryNotFoundError("404 Client Error", response=Mock(headers={}))
    error = OSError("user/nosuch is not a local folder")
    error.__cause__ = cause
    place.patch.setattr("lit_mlm.nets.pretrained.AutoTokenizer.from_pretrained", Mock(side_effect=error))
    return place.fit(model="user/nosuch")


def maskless(place: Place) -> list[str]:
    folder = copy_model(place, "maskless", "*token*")
    backend = AutoTokenizer.from_pretrained(place.bert).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]").save_pretrained(folder)
    return place.fit(model=str(folder))


def wide_tokenizer(place: Place) -> list[str]:
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(200)} | {"[MASK]": 200, "[UNK]": 201}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", unk_token="[UNK]")
    made.save_pretrained(place.folder / "wide")
    model = copy_model(place, "model", "*token*")
    return place.fit("--data.tokenizer", place.folder / "wide", model=str(model))


def other_tokenizer(place: Place) -> list[str]:
    return place.fit("--data.tokenizer", place.bert, model=place.roberta)


def no_gpu(accelerator: str) -> Callable[[Place], list[str]]:
    """A GPU that is not there."""

    def make(place: Place) -> list[str]:
        place.patch.setattr(torch.cuda, "is_available", lambda: False)
        place.patch.setattr(torch.backends.mps, "is_available", lambda: False)
        return place.fit("--trainer.accelerator", accelerator)

    return make


def emulated_bf16(accelerator: str, precision: str) -> Callable[[Place], list[str]]:
    """A GPU such as a T4, which says that it has bfloat16 unless it is asked without emulation."""

    def make(place: Place) -> list[str]:
        place.patch.setattr(torch.cuda, "is_available", lambda: True)
        place.patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
        place.patch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
        return place.fit("--trainer.accelerator", accelerator, "--trainer.precision", precision)

    return make


def slow_tokenizer(task: str) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        folder = copy_model(place, "slow", "*token*")
        place.write("slow/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na")
        place.write("slow/tokenizer_config.json", json.dumps({"tokenizer_class": "BertJapaneseTokenizer"}))
        return getattr(place, task)(model=str(folder))  # type: ignore[no-any-return]

    return make


def lacking(package: str, file: str, task: str = "fit") -> Callable[[Place], list[str]]:
    """A tokenizer in a file that `transformers` reads with a package which is not installed."""

    def make(place: Place) -> list[str]:
        for name in ("sentencepiece", "protobuf"):
            place.patch.setattr(f"lit_mlm.nets.loading.is_{name}_available", lambda name=name: name != package)
        place.patch.setitem(sys.modules, "tiktoken.load", None)
        # What `transformers` itself looks for: with one of the two missing it reads no file of SentencePiece.
        missing = Mock(side_effect=ImportError(f"requires the {package} library"))
        place.patch.setattr(SentencePieceExtractor, "__init__", missing)
        AutoConfig.for_model("deberta-v2", hidden_size=8, num_hidden_layers=1).save_pretrained(place.folder / "lacking")
        place.write(f"lacking/{file}", b"IQ== 0\n")
        return getattr(place, task)(model=str(place.folder / "lacking"))  # type: ignore[no-any-return]

    return make


def other_labels(place: Place) -> list[str]:
    folder = place.write_tagged(TAGGED.replace("LOC", "CITY"), TAGGED.replace("LOC", "CITY"))
    return place.tag("--ckpt_path", place.tag_run / "checkpoints" / "last.ckpt", "--data.data_dir", folder)


def taken_port(place: Place) -> list[str]:
    server = place.opened.enter_context(socket.create_server(("", 0)))
    place.patch.setenv("MASTER_PORT", str(server.getsockname()[1]))
    return place.fit("--trainer.strategy", "ddp", "--trainer.devices", 1)


def other_options(place: Place) -> list[str]:
    """Goes on with a run under other options, in a copy of its folder."""
    shutil.copytree(place.fill_run, place.folder / "run")
    return place.fit("--ckpt_path", "last", "--model.lr", "1.0")


BAD_INPUTS: list[BadInput] = [
    BadInput("class in YAML", config("data: {class_path: Nosuch}"), ("my.yaml", "no class Nosuch")),
    BadInput(
        "option in YAML",
        config("model: {class_path: MaskedLM, init_args: {larning_rate: 1}}"),
        ("my.yaml", "model.larning_rate", "there are model"),
    ),
    BadInput(
        "type in YAML",
        config("data: {class_path: TextFilesDataModule, init_args: {batch_size: many}}"),
        ("my.yaml", "data.batch_size is 'many'", "expected int"),
    ),
    BadInput(
        "file in YAML",
        config("data: {class_path: TextFilesDataModule, init_args: {val_files: nosuch.txt}}"),
        ("data.val_files", "no file matches nosuch.txt"),
    ),
    BadInput("missing YAML", give("--config", "imbd.yaml"), ("no config imbd.yaml", "did you mean imdb.yaml?")),
    BadInput("data set script", script, ("reviews", "is a loading script", "refs/convert/parquet")),
    BadInput(
        "missing data set",
        unknown_dataset,
        ("data.dataset user/nosuch", "doesn't exist on the Hub", "HF_TOKEN", "a folder"),
    ),
    BadInput("missing model", unknown_model, ("user/nosuch", "no such repository", "check the name")),
    BadInput(
        "data set without network",
        give("--data.dataset", "user/nosuch"),
        ("data.dataset user/nosuch", "can't be reached", "give a folder"),
    ),
    BadInput(
        "model without network",
        lambda place: place.fit(model="user/nosuch"),
        ("user/nosuch", "can't be reached", "give a folder that has it"),
    ),
    BadInput("packed stream", give("--data.pack_length", 64), ("data.pack_length 64", "block_policy document or line")),
    BadInput(
        "packed rows of other lengths",
        give_tags("--data.pack_length", 64, "--data.max_tokens_per_batch", 500),
        ("data.pack_length and data.max_tokens_per_batch", "data.batch_size"),
    ),
    BadInput("old data set id", give("--data.dataset", "imdb"), ("data.dataset imdb", "stanfordnlp/imdb")),
    BadInput(
        "old tagged data set id",
        give_tags("--data.dataset", "conll2003"),
        ("data.dataset conll2003", "lhoestq/conll2003"),
    ),
    BadInput(
        "column of JSON lines",
        train_file("a.jsonl", '{"txet": "a b"}\n'),
        ("a.jsonl, line 1", "no column 'text'", "only 'txet'", "data.text_column"),
    ),
    BadInput(
        "column of CSV", train_file("a.csv", "id,txet\n1,a b\n"), ("a.csv", "no column 'text'", "data.text_column txet")
    ),
    BadInput(
        "column of a data set",
        give("--data.dataset", FIXTURES / "imdb_hub", "--data.text_column", "txet"),
        ("imdb_hub, train", "no column 'txet'", "data.text_column text"),
    ),
    BadInput(
        "column of tags",
        lambda place: place.tag(
            "--data.data_dir", Path(place.write("j/train.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n')).parent
        ),
        ("train.jsonl, line 1", "no column 'ner_tags'", "data.tags_column"),
    ),
    BadInput("empty text file", train_file("a.txt", ""), ("a.txt is empty", "data.skip_bad")),
    BadInput("blank text file", train_file("a.txt", " \n\n"), ("a.txt is empty",)),
    BadInput("empty column file", tagged_files(val=""), ("valid.txt is empty",)),
    BadInput("column file of boundaries", tagged_files(val="-DOCSTART- -X- O O\n\n"), ("val split has no words",)),
    BadInput(
        "Latin-1 text",
        train_file("a.txt", "ol\xe9 a\n".encode("latin-1")),
        ("a.txt, line 1", "byte 0xe9", "data.encoding latin-1"),
    ),
    BadInput(
        "Latin-1 columns",
        lambda place: place.tag(
            "--data.data_dir", Path(place.write("t/train.txt", "Jos\xe9 B-PER\n".encode("latin-1"))).parent
        ),
        ("train.txt, line 1", "data.encoding latin-1"),
    ),
    BadInput(
        "broken JSON line",
        train_file("a.jsonl", '{"text": "a"}\n{"text": \n'),
        ("a.jsonl, line 2", "not a JSON object", "data.skip_bad"),
    ),
    BadInput(
        "null text",
        train_file("a.jsonl", '{"text": "a"}\n{"text": null}\n'),
        ("a.jsonl, line 2", "no text in the column 'text'", "data.skip_bad"),
    ),
    BadInput(
        "ragged column file",
        tagged_files(train="Tom NNP B-NP B-PER\nruns O\n"),
        ("train.txt, line 2", "2 columns", "expected 4"),
    ),
    BadInput(
        "unknown tag",
        tagged_files(val=TAGGED.replace("LOC", "CITY")),
        ("valid.txt, line 4 ('Paris')", "'B-CITY'", "B-LOC"),
    ),
    BadInput(
        "impossible tag",
        tagged_files(TAGGED + "runs VBZ B-VP O\nfar RB O I-LOC\n\n" + TAGGED * 9, TAGGED, "--data.strict_tags", "true"),
        ("train.txt", "'I-LOC'", "expected", "data.strict_tags false"),
    ),
    BadInput("labels of another checkpoint", other_labels, ("the checkpoint has the labels", "CITY", "model.model")),
    BadInput(
        "block longer than the model", give("--data.block_size", 65), ("data.block_size is 65", "at most 64 tokens")
    ),
    BadInput(
        "window longer than the model", give_tags("--data.window", 65), ("data.window is 65", "at most 64 tokens")
    ),
    BadInput("no mask token", maskless, ("maskless", "no mask token")),
    BadInput(
        "vocabulary larger than the model's",
        wide_tokenizer,
        ("the tokenizer has 202 tokens", "only 150", "data.tokenizer"),
    ),
    BadInput("vocabulary of another model", other_tokenizer, ("data.tokenizer", "vocabulary")),
    BadInput(
        "trained vocabulary",
        train_file(
            "a.txt", "\u0430 \u0431\u0432 \u0433\n" * 9, "--data.document_per", "line", "--data.vocab_size", "50"
        ),
        ("data.vocab_size 50", "model.config"),
    ),
    BadInput("no validation documents", give("--data.val_fraction", 0), ("val", "data.val_fraction")),
    BadInput("one document", train_file("a.txt", "a b c"), ("1 documents are too few", "data.val_fraction")),
    BadInput(
        "no validation blocks", give("--data.num_val_blocks", 0), ("data.num_val_blocks must be at least 1, got 0",)
    ),
    BadInput(
        "no full validation block",
        lambda place: place.fit("--data.val_files", place.write("val.txt", "a b"), "--data.drop_tail", "true"),
        ("val split has no blocks", "data.drop_tail"),
    ),
    BadInput(
        "checkpoint of tags",
        lambda place: place.fit("--ckpt_path", place.tag_run / "checkpoints" / "last.ckpt"),
        ("AutoModelForTokenClassification", "hf folder", "model.model"),
    ),
    BadInput(
        "checkpoint of masks",
        lambda place: place.tag("--ckpt_path", place.fill_run / "checkpoints" / "last.ckpt"),
        ("AutoModelForMaskedLM", "hf folder", "model.model"),
    ),
    BadInput("missing checkpoint", give("--ckpt_path", "nosuch.ckpt"), ("--ckpt_path", "no checkpoint nosuch.ckpt")),
    BadInput("gpu", no_gpu("gpu"), ("trainer.accelerator", "'gpu'", "overlays/cpu.yaml")),
    BadInput("cuda", no_gpu("cuda"), ("trainer.accelerator", "'cuda'", "overlays/cpu.yaml")),
    BadInput(
        "bf16-mixed", emulated_bf16("gpu", "bf16-mixed"), ("trainer.precision", "'bf16-mixed'", "Tesla T4", "16-mixed")
    ),
    BadInput("bf16-true", emulated_bf16("auto", "bf16-true"), ("trainer.precision", "'bf16-true'", "16-mixed")),
    BadInput("slow tokenizer", slow_tokenizer("fit"), ("slow", "BertJapaneseTokenizer", "needs a fast one")),
    BadInput("slow tokenizer for tags", slow_tokenizer("tag"), ("slow", "BertJapaneseTokenizer", "needs a fast one")),
    BadInput(
        "no sentencepiece", lacking("sentencepiece", "spm.model"), ("lacking", "spm.model", "pip install sentencepiece")
    ),
    BadInput(
        "no sentencepiece for tags",
        lacking("sentencepiece", "spm.model", "tag"),
        ("lacking", "spm.model", "pip install sentencepiece"),
    ),
    BadInput("no protobuf", lacking("protobuf", "spm.model"), ("lacking", "spm.model", "pip install protobuf")),
    BadInput(
        "no tiktoken", lacking("tiktoken", "tiktoken.model"), ("lacking", "tiktoken.model", "pip install tiktoken")
    ),
    BadInput(
        "other options for a checkpoint",
        other_options,
        ("model.lr 5e-05, not 1.0", "another folder", "--allow_changes true"),
    ),
    BadInput("port in use", taken_port, ("MASTER_PORT=", "in use", "unset it")),
]
