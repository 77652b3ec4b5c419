"""The report on the data of a config: each finding planted."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lit_mlm.data.audit.report import FORMAT, audit
from lit_mlm.data.audit.table import format_report
from lit_mlm.data.reading.sources import Source
from lit_mlm.data.sets.conll import CoNLLDataModule
from lit_mlm.data.sets.imdb import IMDBDataModule
from lit_mlm.data.sets.python_docs import PythonDocsDataModule
from lit_mlm.data.sets.text_files import TextFilesDataModule
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import load_tokenizer
from tests.conftest import FIXTURES

STORY = " ".join(a + b for a in "aeiost" for b in "aeiorstlnd")  # 60 words

DOCUMENTS_SCHEMA = {
    *("num_documents", "num_words", "num_tokens", "fertility", "split_fraction", "num_unknown_tokens"),
    *("unknown_words", "num_without_tokens", "num_long", "lengths", "histogram"),
}
SENTENCES_SCHEMA = (DOCUMENTS_SCHEMA - {"num_documents"}) | {
    *("num_sentences", "num_empty", "tags", "entities", "wrong_tags"),
}
UNSEEN_SCHEMA = {"num_unseen_words", "unseen_word_fraction", "unseen_words", "unseen_tags", "entities_in_train"}
HEAD = {"format", "kind", "data", "tokenizer", "limit", "near_threshold", "notes", "unreadable", "splits", "duplicates"}


def make_model(tokenizer: str, max_length: int | None = 64) -> Any:
    return SimpleNamespace(
        load_tokenizer=lambda: load_tokenizer(tokenizer),
        has_final_tokenizer=False,
        max_length=max_length,
        label_names=None,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents with one of each fault."""
    for name in ("train", "val", "test"):
        (tmp_path / name).mkdir()
    texts = {
        "train/a.txt": "a film",
        "train/b.txt": STORY,
        "train/c.txt": "a\nfilm",
        "train/d.txt": "the \u4e2d cast",
        "train/empty.txt": "\n",
        "train/rows.jsonl": '{"text": "the cast"}\n{"text": " "}\n{"text": "\\ud800"}\nbroken\n',
        "val/a.txt": STORY.removesuffix("td") + "end",
        "val/b.txt": "the cast ",
        "test/a.txt": "nothing of this",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "train" / "latin.txt").write_bytes(b"caf\xe9")
    return tmp_path


def make_data(folder: Path, cache_dir: str, **options: Any) -> TextFilesDataModule:
    files: Any = {f"{name}_files": str(folder / name) for name in ("train", "val", "test")}
    return TextFilesDataModule(**files, cache_dir=cache_dir, **options)


def test_each_finding_in_documents(folder: Path, tiny_bert: str, cache_dir: str) -> None:
    report = audit(make_data(folder, cache_dir), make_model(tiny_bert))
    json.dumps(report)
    assert set(report) == HEAD
    assert (report["format"], report["kind"], report["data"]) == (FORMAT, "documents", "TextFilesDataModule")
    assert (report["tokenizer"], report["limit"], report["notes"]) == (tiny_bert, 64, [])
    assert [set(facts) for facts in report["splits"].values()] == [DOCUMENTS_SCHEMA] * 3
    train = report["splits"]["train"]
    assert {name: facts["num_documents"] for name, facts in report["splits"].items()} == {
        "train": 5,
        "val": 2,
        "test": 1,
    }
    assert (train["num_unknown_tokens"], train["unknown_words"]) == (1, [{"word": "\u4e2d", "num": 1}])
    assert (train["num_long"], report["splits"]["val"]["num_long"], report["splits"]["test"]["num_long"]) == (1, 1, 0)
    assert sum(found["num"] for found in train["histogram"]) == 5
    counts = {
        (found["first"], found["second"]): (found["num_exact"], found["num_near"]) for found in report["duplicates"]
    }
    planted = {("train", "train"): (1, 0), ("train", "val"): (1, 1)}
    others = {("val", "val"), ("test", "test"), ("train", "test"), ("val", "test")}
    assert counts == planted | dict.fromkeys(others, (0, 0))


def test_places_of_findings(folder: Path, tiny_bert: str, cache_dir: str) -> None:
    report = audit(make_data(folder, cache_dir), make_model(tiny_bert))
    examples = [found["examples"] for found in report["duplicates"] if found["examples"]]
    repeated, across = examples
    assert repeated == [
        {
            "kind": "exact",
            "similarity": 1.0,
            "first": {"split": "train", "index": 0, "place": str(folder / "train" / "a.txt")},
            "second": {"split": "train", "index": 2, "place": str(folder / "train" / "c.txt")},
        }
    ]
    assert [(pair["kind"], Path(pair["first"]["place"]).name) for pair in across] == [
        ("exact", "rows.jsonl, line 1"),
        ("near", "b.txt"),
    ]
    assert across[1]["similarity"] == pytest.approx(55 / 57, abs=1e-4)
    unreadable = report["unreadable"]
    assert set(unreadable) == {"train", "val", "test"}
    assert {kind: found["num"] for kind, found in unreadable["train"].items()} == (
        {"empty": 2, "undecodable": 2, "damaged": 1}
    )
    messages = [message for found in unreadable["train"].values() for message in found["examples"]]
    places = [
        "empty.txt is empty",
        "line 2: str",
        "latin.txt, line 1: byte 0xe9",
        "line 3: lone surrogate",
        "line 4: not a JSON",
    ]
    assert all(place in message for place, message in zip(places, messages, strict=True))
    assert all(found["num"] == 0 for found in unreadable["val"].values())


def test_data_that_is_trained_on_keeps_its_columns(folder: Path, tiny_bert: str, cache_dir: str) -> None:
    data = make_data(folder, cache_dir, skip_bad=True, tokenizer=tiny_bert, block_size=16)
    assert data.load_documents({"train"})["train"].column_names == ["text"]


def test_options(folder: Path, tiny_bert: str, cache_dir: str) -> None:
    def run(**options: Any) -> dict[str, Any]:
        return audit(make_data(folder, cache_dir), make_model(tiny_bert), **options)

    assert list(run(splits=["val", "train"])["splits"]) == ["train", "val"]
    assert all(not found["examples"] for found in run(num_examples=0)["duplicates"])
    near = {found["second"]: found["num_near"] for found in run(near_threshold=0.97)["duplicates"]}
    assert near["val"] == 0
    for options, message in (
        ({"near_threshold": 0.0}, "--near_threshold must be above 0 and at most 1, got 0.0"),
        ({"near_threshold": 1.5}, "--near_threshold must be above 0 and at most 1, got 1.5"),
        ({"num_examples": -1}, "--num_examples must be at least 0, got -1"),
    ):
        with pytest.raises(InputError, match=message):
            run(**options)


def test_split_that_is_not_there(folder: Path, tiny_bert: str, cache_dir: str) -> None:
    data = TextFilesDataModule(train_files=str(folder / "test"), val_files=str(folder / "val"), cache_dir=cache_dir)
    report = audit(data, make_model(tiny_bert))
    assert list(report["splits"]) == ["train", "val"]
    assert report["notes"][0].startswith("no test split: no test text: give data.test_files")
    with pytest.raises(InputError, match="no test text"):
        audit(data, make_model(tiny_bert), splits=["test"])


def test_validation_on_blocks_of_training_documents(tiny_bert: str, cache_dir: str) -> None:
    options: dict[str, Any] = {"val_source": "train_blocks", "num_val_blocks": 2, "cache_dir": cache_dir}
    report = audit(IMDBDataModule(data_dir=str(FIXTURES / "aclImdb"), **options), make_model(tiny_bert))
    assert list(report["splits"]) == ["train", "test"]
    assert report["notes"] == ["val: held-out blocks of the train documents"]
    assert report["splits"]["train"]["num_documents"] == 24


def test_lines_as_documents(tmp_path: Path, tiny_bert: str, cache_dir: str) -> None:
    (tmp_path / "train.txt").write_text("one film\n\nthe cast\none film\n")
    (tmp_path / "val.txt").write_text("dull\n\nthe cast\n")
    files: Any = {f"{name}_files": str(tmp_path / f"{name}.txt") for name in ("train", "val")}
    choices: list[dict[str, Any]] = [{"document_per": "line"}, {"block_policy": "line"}]
    for options in choices:
        data = TextFilesDataModule(**files, **options, cache_dir=cache_dir)
        found = audit(data, make_model(tiny_bert))["duplicates"]
        assert [(overlap["num_exact"], overlap["num_near"]) for overlap in found] == [(1, 0), (0, 0), (1, 0)]
        places = [found[i]["examples"][0][side]["place"] for i in (0, 2) for side in ("first", "second")]
        assert [place.rpartition(" ")[2] for place in places] == ["1", "4", "3", "3"]


def test_documents_without_places_and_a_trained_tokenizer(cache_dir: str) -> None:
    data = PythonDocsDataModule(vocab_size=400, block_size=32, cache_dir=cache_dir)
    report = audit(data, make_model("none", max_length=None))
    assert list(report["splits"]) == ["train", "val", "test"]
    assert report["limit"] == 32
    places = [pair["first"]["place"] for overlap in report["duplicates"] for pair in overlap["examples"]]
    assert all(place is None for place in places)


def test_sentences(cache_dir: str, tiny_bert: str) -> None:
    data = CoNLLDataModule(data_dir=str(FIXTURES / "conll"), cache_dir=cache_dir)
    report = audit(data, make_model(tiny_bert))
    json.dumps(report)
    assert set(report) == HEAD | {"scheme", "inconsistent_entities", "inconsistent_sentences"}
    assert (report["kind"], report["scheme"], report["limit"]) == ("sentences", "IOB2", 64)
    schemas = {name: set(facts) for name, facts in report["splits"].items()}
    evaluation = SENTENCES_SCHEMA | UNSEEN_SCHEMA
    assert schemas == {"train": SENTENCES_SCHEMA, "val": evaluation, "test": evaluation}
    assert report["splits"]["train"]["num_sentences"] == 420


def test_lines_of_columns_that_can_not_be_read(tmp_path: Path, cache_dir: str, tiny_bert: str) -> None:
    (tmp_path / "train.txt").write_bytes(b"EU B-ORG\nrejects O\n\nonly\n\nlamb\xe9 O\n")
    (tmp_path / "valid.txt").write_text("lamb O\n")
    data = CoNLLDataModule(data_dir=str(tmp_path), cache_dir=cache_dir)
    report = audit(data, make_model(tiny_bert))
    counts = {kind: found["num"] for kind, found in report["unreadable"]["train"].items()}
    assert counts == {"empty": 0, "undecodable": 1, "damaged": 1}
    assert report["notes"][0].startswith(f"no test split: data.data_dir {tmp_path}: the test split needs one of")
    with pytest.raises(InputError, match=r"line 4: 1 column"):
        CoNLLDataModule(data_dir=str(tmp_path), cache_dir=cache_dir).load_sentences({"train"})


def test_other_data_is_refused(cache_dir: str, tiny_bert: str) -> None:
    with pytest.raises(InputError, match=r"audit needs a method load_texts, .* but SimpleNamespace has none"):
        audit(SimpleNamespace(), make_model(tiny_bert))  # type: ignore[arg-type]


def test_sources_are_reported_one_by_one(folder: Path, tiny_bert: str, cache_dir: str) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "a.txt").write_text("the \u4e2d cast")
    (folder / "more" / "b.txt").write_text("films\n")
    sources = {"own": Source(str(folder / "train")), "of_other_people": Source(str(folder / "more"))}
    data = TextFilesDataModule(
        sources=sources, val_files=str(folder / "val"), skip_bad=True, tokenizer=tiny_bert, cache_dir=cache_dir
    )
    report = audit(data, make_model(tiny_bert))
    assert {name: facts["num_documents"] for name, facts in report["splits"].items()} == {
        "own": 5,
        "of_other_people": 2,
        "val": 2,
    }
    assert report["unreadable"]["own"]["undecodable"]["num"] == 2
    pairs = {(overlap["first"], overlap["second"]): overlap for overlap in report["duplicates"]}
    assert pairs["own", "of_other_people"]["num_exact"] == 1
    assert pairs["own", "of_other_people"]["examples"][0]["second"]["place"].endswith("more/a.txt")
    lines = list(format_report(report))
    assert ["own", "of_other_people", "val"] in [line.split() for line in lines]
    assert "duplicates of own in of_other_people" in lines
