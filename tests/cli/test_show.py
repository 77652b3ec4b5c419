"""Examples on the terminal."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_mlm.cli.main import main
from lit_mlm.data.tokens import tokenize
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES, imdb_args


def test_documents_and_masked_blocks(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for split, number in (("train", 2), ("test", 1)):
        options = ("--num_examples", number, "--num_blocks", 1, "--split", split)
        folder = run_cli("show", *imdb_args(tiny_bert, cache_dir), *options)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{split}: ")
        assert sum(line.startswith("document ") for line in lines) == number
        assert sum(line.startswith("  block ") for line in lines) == number
        assert any("-> [MASK]}" in line for line in lines)
        assert not list(folder.iterdir())  # nothing is trained or written


def test_documents_by_number(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_cli("show", *imdb_args(tiny_bert, cache_dir), "--indices", 5, 2, "--num_blocks", 1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("document ")] == ["document 5", "document 2"]


def test_tagged_sentences(
    cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    options = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    folder = run_cli("show", *options, "--split", "val", "--indices", 0, 4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("420 train sentences (3,702 words, 860 entities), 100 val sentences (848 words, ")
    valid = FIXTURES / "conll" / "valid.txt"
    assert lines[3] == f"sentence 0 ({valid}, line 3): 4 words, 4 tokens"
    assert lines[9:] == [
        f"sentence 4 ({valid}, line 41): 6 words, 6 tokens",
        "  Duarte joined Siemag in Osaka .",
        "  B-PER  O      B-ORG  O  B-LOC O",
        "  [CLS] Duarte joined Siemag in Osaka . [SEP]",
        "  -100  B-PER  O      B-ORG  O  B-LOC O -100",
    ]
    assert not list(folder.iterdir())
    run_cli("show", *options)
    assert sum(line.startswith("sentence ") for line in capsys.readouterr().out.splitlines()) == 3


def test_trained_tagger_s_labels_and_window_are_those_of_its_checkpoint(
    cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    run_cli("fit", *options, "--data.scheme", "BIOES", "--trainer.max_steps", 1, "--run_dir", "out")
    capsys.readouterr()
    run_cli("show", *options, "--ckpt_path", "out/checkpoints/last.ckpt", "--num_examples", 1)
    assert "E-PER" in capsys.readouterr().out.splitlines()[-1]


def test_trained_model_s_tokenizer_is_that_of_its_checkpoint(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = imdb_args(tiny_bert, cache_dir)
    run_cli("fit", *args, "--data.new_words", "[gladly]", "--trainer.max_epochs", 1, "--run_dir", "out")
    capsys.readouterr()
    run_cli("show", *args, "--ckpt_path", "out/checkpoints/last.ckpt", "--num_examples", 20)
    assert "gladly" in capsys.readouterr().out.partition("block 0: ")[2]


def test_unknown_options_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["show", "--config", "imdb.yaml", "--num_exampels", "3"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: there is no option --num_exampels; did you mean --num_examples?\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--indices", 0, 99), "--indices 99: the train split has 22 documents, numbered from 0 to 21"),
        (("--indices", 0, "--num_examples", 3), "--indices and --num_examples are mutually exclusive: "),
        (("--indices",), "--indices has no value"),
        (("--indices", "a"), "indices has 'a', expected int"),
    ],
)
def test_numbers_that_do_not_fit(
    options: tuple[object, ...], message: str, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=message):
        run_cli("show", *imdb_args(tiny_bert, cache_dir), *options)


def test_other_data_is_refused(run_cli: Callable[..., Path]) -> None:
    other = ("--data", "lightning.pytorch.demos.boring_classes.BoringDataModule")
    with pytest.raises(
        InputError, match="show, audit and prepare need a TextDataModule, but BoringDataModule is not one"
    ):
        run_cli("show", "--model", "TokenClassification", "--model.config.model_type", "bert", *other)


def test_masks_of_tokens_words_and_spans_stand_below_each_other(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--num_examples", 1, "--num_blocks", 1, "--compare_maskings", "true", "--data.mask_prob", 0.5)
    run_cli("show", *imdb_args(tiny_bert, cache_dir), *options, "--data.masking", "SpanMasking")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  block 0, ")]
    blocks = {line.split(", ")[1].partition("(")[0]: line.partition("): ")[2] for line in lines}
    assert list(blocks) == ["TokenMasking", "WordMasking", "SpanMasking"]
    originals = {re.sub(r"\{(\S+)(?: -> \S+)?\}", r"\1", text) for text in blocks.values()}
    assert len(originals) == 1
    assert len(set(blocks.values())) == 3


def test_nothing_to_compare_in_tagged_words(cache_dir: str, run_cli: Callable[..., Path]) -> None:
    options = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    with pytest.raises(InputError, match="--compare_maskings has no effect on CoNLLDataModule, which masks nothing"):
        run_cli("show", *options, "--compare_maskings", "true")


def test_negative_number_of_blocks_is_refused(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="--num_blocks must be at least 0, got -2"):
        run_cli("show", *imdb_args(tiny_bert, cache_dir), "--num_blocks", -2)


def test_audit_of_documents(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = imdb_args(tiny_bert, cache_dir)
    folder = run_cli("audit", *args)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"documents of IMDBDataModule, tokenizer {tiny_bert}"
    assert lines[2].split() == ["train", "val", "test"]
    assert lines[3].split() == ["documents", "22", "2", "12"]
    run_cli("audit", *args, "--json", "--splits", "test", "train", "--near_threshold", 0.5, "--num_examples", 1)
    report = json.loads(capsys.readouterr().out)
    assert list(report["splits"]) == ["train", "test"]
    assert report["near_threshold"] == 0.5
    assert report["limit"] == 32
    assert not list(folder.iterdir())  # nothing is trained or written


def test_audit_of_tagged_sentences(
    cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    run_cli("audit", *options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["sentences", "420", "100", "100"]
    assert ["entities", "860"] in [line.split()[:2] for line in lines]
    run_cli("audit", *options, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["splits"]["val"]["num_sentences"] == 100
    assert report["splits"]["train"]["entities"].keys() == {"PER", "ORG", "LOC", "MISC"}
    assert sum(report["splits"]["train"]["entities"].values()) == 860


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--splits", "dev"), "splits"),
        (("--near_threshold", 0), "--near_threshold must be above 0 and at most 1, got 0"),
        (("--near_threshold", "a"), "near_threshold is 'a', expected float"),
        (("--num_examples", -1), "--num_examples must be at least 0, got -1"),
    ],
)
def test_audit_s_options_that_do_not_fit(
    options: tuple[object, ...], message: str, tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=message):
        run_cli("audit", *imdb_args(tiny_bert, cache_dir), *options)


def test_prepared_run_tokenises_nothing(
    tiny_bert: str,
    tmp_path: Path,
    run_cli: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache_dir = tmp_path / "cache"
    args = [*imdb_args(tiny_bert, str(cache_dir)), "--data.masking", "WordMasking", "--trainer.max_epochs", 1]
    run_cli("prepare", *args)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[0] for line in lines[:3]] == [
        "train: 22 documents",
        "val: 2 documents",
        "test: 12 documents",
    ]
    assert all(re.search(r", [\d,]+ tokens, tokenised in [\d.]+ s \([\d,]+ tokens/s\)$", line) for line in lines[:3])
    assert lines[3] == f"cache: {cache_dir / 'tokens'}"
    assert len([path for path in (cache_dir / "tokens").iterdir() if path.is_dir()]) == 3

    def fail(*_args: object, **_options: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(tokenize, "tokenize_batch", fail)
    run_cli("prepare", *args)
    assert all(line.endswith(" tokens, were in the cache") for line in capsys.readouterr().out.splitlines()[:3])
    run_cli("fit", *args, "--run_dir", "out")
    run_cli("test", *args, "--ckpt_path", "out/checkpoints/last.ckpt")
    with pytest.raises(AssertionError, match="tokenised again"):
        run_cli("fit", *args, "--data.masking", "TokenMasking", "--run_dir", "other")


def test_prepare_says_that_there_is_no_test_split(
    tiny_bert: str, tmp_path: Path, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*imdb_args(tiny_bert, str(tmp_path)), "--data.train_splits", "[test]"]
    run_cli("prepare", *args)
    assert "no test split: data.train_splits is ['test']" in capsys.readouterr().out


def test_prepare_reads_tagged_words(
    cache_dir: str, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A data set of the Hub is downloaded so, for a machine without a network."""
    options = ("--config", "ner-sample.yaml", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    run_cli("prepare", *options)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("420 train sentences (3,702 words, 860 entities), 100 val sentences")
    assert last.endswith(" s; a run with these options finds its data set in the cache")
