"""ELI5 in every layout that it is published in."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_mlm.data.sets.eli5 import ELI5DataModule
from lit_mlm.errors import InputError

ANSWERS = [["Because it is.", "Light is a wave."], ["Tides."], [], ["One.", "Two.", "Three."], ["Salt melts ice."]]
JOINED = ["Because it is. Light is a wave.", "Tides.", "", "One. Two. Three.", "Salt melts ice."]


def make_record(number: int, answers: list[str], urls: dict[str, Any]) -> dict[str, Any]:
    return {
        "q_id": f"q{number}",
        "title": "Why?",
        "selftext": "",
        "subreddit": "explainlikeimfive",
        "answers": {"a_id": [f"a{i}" for i in range(len(answers))], "text": answers, "score": [1] * len(answers)},
    } | urls


NEW = [make_record(i, answers, {"category": "Physics", "title_urls": ["url"]}) for i, answers in enumerate(ANSWERS)]
OLD = [
    make_record(i, answers, {"document": "", "answers_urls": {"url": []}, "title_urls": {"url": []}})
    for i, answers in enumerate(ANSWERS)
]
LISTED = [record | {"answers": [{"text": text, "score": 1} for text in ANSWERS[i]]} for i, record in enumerate(NEW)]
FLAT = [{"q_id": str(i), "answers.text": answers} for i, answers in enumerate(ANSWERS)]
PAIRS = [{"question": "Why?", "answer": text} for text in JOINED]


def load(splits: set[str], **options: Any) -> dict[str, list[str]]:
    return {name: list(part["text"]) for name, part in ELI5DataModule(**options).load_documents(splits).items()}


@pytest.mark.parametrize("records", [NEW, OLD, LISTED, FLAT, PAIRS], ids=["new", "old", "listed", "flat", "pairs"])
@pytest.mark.parametrize("kind", [".json", ".json.gz", ".jsonl", ".jsonl.gz"])
def test_every_layout_gives_the_same_documents(tmp_path: Path, records: list[Any], kind: str) -> None:
    lines = "\n".join(map(json.dumps, records)) if "jsonl" in kind else json.dumps(records)
    content = lines.encode()
    path = tmp_path / f"eli5-category-train{kind}"
    path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    for place in (tmp_path, path):
        parts = load({"train", "val"}, data_dir=str(place), val_fraction=0.4)
        assert sorted(parts["train"] + parts["val"]) == sorted(JOINED)
        assert (len(parts["train"]), len(parts["val"])) == (3, 2)


def test_copy_of_the_hub_s_layout(tmp_path: Path) -> None:
    for split, records in (("train", NEW), ("test", NEW[:2]), ("validation1", NEW[:1])):
        pq.write_table(pa.Table.from_pylist(records), tmp_path / f"{split}-00000-of-00001.parquet")
    parts = load({"train", "val", "test"}, dataset=str(tmp_path))
    assert sorted(parts["train"] + parts["val"]) == sorted(JOINED)
    assert parts["test"] == JOINED[:2]


def test_file_to_train_on_is_not_tested_on(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(NEW))
    with pytest.raises(ValueError, match=r"train.json is a training file"):
        load({"test"}, data_dir=str(tmp_path / "train.json"))


def test_split_is_by_question_and_its_seed(tmp_path: Path) -> None:
    records = [{"question": "Why?", "answer": str(i)} for i in range(6000)]
    (tmp_path / "train.json").write_text(json.dumps(records))
    parts = load({"train"}, data_dir=str(tmp_path))
    assert (len(parts["train"]), len(parts["val"])) == (4000, 1000)
    assert {int(text) for text in parts["train"] + parts["val"]} == set(range(5000))
    assert load({"train"}, data_dir=str(tmp_path)) == parts != load({"train"}, data_dir=str(tmp_path), split_seed=1)
    assert len(load({"train"}, data_dir=str(tmp_path), num_examples=None)["train"]) == 4800


def test_test_split_is_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "eli5-train.json").write_text(json.dumps(NEW))
    (tmp_path / "eli5-test.json").write_text(json.dumps(OLD[3:]))
    assert load({"test"}, data_dir=str(tmp_path)) == {"test": JOINED[3:]}
    (tmp_path / "eli5-test-2.jsonl").touch()
    with pytest.raises(ValueError, match=r"needs one \*test\*.json .* found eli5-test-2.jsonl, eli5-test.json"):
        load({"test"}, data_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"needs one \*train_asks\*.json .* found none"):
        load({"train"}, data_dir=str(tmp_path), train_split="train_asks")


@pytest.mark.parametrize(
    "record", [{"title": "Why?"}, {"answers": None}, {"answers": {"text": ["a", None]}}, {"answers": {"score": [1]}}]
)
def test_records_without_answers_are_named_or_counted(tmp_path: Path, record: dict[str, Any]) -> None:
    (tmp_path / "train.json").write_text(json.dumps([*NEW, record]))
    with pytest.raises(ValueError, match=r"train.json, record 6: answers.text or answer must be text, got"):
        load({"train"}, data_dir=str(tmp_path))
    data = ELI5DataModule(data_dir=str(tmp_path), skip_bad=True)
    assert len(data.load_documents({"train"})["train"]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_dir": "a", "dataset": "b"}, r"data.data_dir \(a\) and data.dataset \(b, revision None\) are mut"),
        ({"num_examples": 1}, "data.num_examples must be at least 2, got 1"),
        ({"dataset": "eli5"}, "use dany0407/eli5_category"),
        ({"test_split": "train"}, "data.train_split and data.test_split are both train; they must differ"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load({"train"}, **options)


@pytest.mark.parametrize("split", ["validation-2", "validation2", "validation_2"])
def test_splits_are_found_by_the_names_of_files_and_of_the_hub(
    split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, records in (("train", NEW), ("validation-1", NEW[:1]), ("validation-2", NEW[3:])):
        (tmp_path / f"eli5-category-{name}.json").write_text(json.dumps(records))
    assert load({"test"}, data_dir=str(tmp_path), test_split=split) == {"test": JOINED[3:]}

    def ask(dataset: str, split: str, *_: object) -> Any:
        raise InputError(f"{dataset}, {split}")

    monkeypatch.setattr("lit_mlm.data.reading.corpus.load_split", ask)
    with pytest.raises(InputError, match=r"^dany0407/eli5_category, validation2$"):
        load({"test"}, test_split=split)


def test_test_split_is_trained_on_by_request(tmp_path: Path) -> None:
    """Where nobody asked for a test."""
    (tmp_path / "test.json").write_text(json.dumps(NEW))
    parts = load({"train", "val"}, data_dir=str(tmp_path), train_split="test")
    assert sorted(parts["train"] + parts["val"]) == sorted(JOINED)
    with pytest.raises(ValueError, match=r"data.train_split and data.test_split are both test; they must differ"):
        load({"test"}, data_dir=str(tmp_path), train_split="test")
