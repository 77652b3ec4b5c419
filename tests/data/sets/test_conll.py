"""CoNLL-2003 in the layouts that it is published in, and what else is laid out so."""

import gzip
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import List as ListFeature

from lit_mlm import TokenClassification
from lit_mlm.data.sets.conll import FILES, HUB_ID, HUB_SPLITS, CoNLLDataModule
from lit_mlm.data.tagged import sentences as sentences_file
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import find_scheme
from tests.conftest import FIXTURES
from tests.fixtures.make_fixtures import NEWS_COUNTS

IOB1, IOB2 = str(FIXTURES / "conll_iob1"), str(FIXTURES / "conll")
TYPES = ["PER", "ORG", "LOC", "MISC"]


def load(split: str = "train", **options: Any) -> list[TaggedSentence]:
    return CoNLLDataModule(**options).load_sentences({split})[split]


@pytest.fixture
def make_data(cache_dir: str) -> Any:
    def make(stage: str = "fit", **options: Any) -> CoNLLDataModule:
        data = CoNLLDataModule(vocab_size=200, cache_dir=cache_dir, **({"data_dir": IOB2} | options))
        data.setup(stage)
        return data

    return make


def convert(source: Path, target: Path, change: Any) -> str:
    """A copy of the files with another first line or columns."""
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_text("".join(f"{change(line)}\n" for line in file.read_text().splitlines()))
    return str(target)


@pytest.mark.parametrize("task", ["ner", "pos", "chunk"])
def test_both_layouts_give_the_same_examples(make_data: Any, task: str) -> None:
    old, new = make_data(data_dir=IOB1, task=task), make_data(task=task)
    assert (old.labels, old.fingerprint) == (new.labels, new.fingerprint)
    assert old.describe_split("val") == new.describe_split("val")
    for batches in zip(old.train_dataloader(), new.train_dataloader(), strict=True):
        assert all(batches[0][name].equal(batches[1][name]) for name in batches[0])
    assert {find_scheme(s.tags for s in load(data_dir=folder, task=task)) for folder in (IOB1, IOB2)} == (
        {None} if task == "pos" else {"IOB1", "IOB2"}
    )


def test_tasks_have_their_own_columns(make_data: Any) -> None:
    for task, words in {"ner": "B-PER B-LOC", "pos": "NNP VBD", "chunk": "B-NP B-VP"}.items():
        assert set(words.split()) <= set(chain(*(s.tags for s in load(data_dir=IOB2, task=task))))
    assert make_data().labels == ["O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BI")]
    assert make_data(task="pos").scheme is None


@pytest.mark.parametrize("folder", [IOB1, IOB2])
def test_counts_are_those_of_the_files(make_data: Any, folder: str) -> None:
    data = make_data(data_dir=folder)
    data.setup("test")
    for split, names in FILES.items():
        lines = next(Path(folder, name) for name in names if Path(folder, name).is_file()).read_text().splitlines()
        words = [line for line in lines if line and not line.startswith("-DOCSTART-")]
        facts = data.describe_split(split)
        assert facts["num_words"] == len(words)
        assert facts["num_sentences"] == NEWS_COUNTS["valid" if split == "val" else split]
        if folder == IOB2:
            assert facts["num_gold_entities"] == sum(line.split()[3].startswith("B-") for line in words)


ORIGINAL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O
to TO I-VP O
boycott VB I-VP O
British JJ I-NP I-MISC
lamb NN I-NP O
. . O O

-DOCSTART- -X- -X- O

Bonn NNP I-NP I-LOC
Reuter NNP B-NP I-ORG
Telekom NNP B-NP B-ORG
AG NNP I-NP I-ORG
Peter NNP I-NP I-PER
Novak NNP I-NP I-PER
Anna NNP B-NP B-PER
- : O O
U.S. NNP I-NP I-LOC
's POS B-NP O
week NN I-NP O
ago RB I-ADVP O
that IN I-SBAR O
if IN B-SBAR O

Anna NNP I-NP I-PER
"""
"""As eng.train is written: in IOB1, with a B only where another entity, or chunk, of the same type ends right before;
an entity may open with I after one of another type, or at the start of a sentence."""


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("tail", ["", "\n\n\n", "-DOCSTART- -X- O O\n\n"], ids=["none", "blank", "boundary"])
def test_the_original_layout(make_data: Any, tmp_path: Path, end: str, tail: str) -> None:
    for name in ("eng.train", "eng.testa"):
        (tmp_path / name).write_bytes((ORIGINAL + tail).replace("\n", end).encode())
    entities, chunks = (make_data(data_dir=str(tmp_path), task=task) for task in ("ner", "chunk"))
    for data, expected in (
        (
            entities,
            [
                "B-ORG O B-MISC O O O B-MISC O O",
                "B-LOC B-ORG B-ORG I-ORG B-PER I-PER B-PER O B-LOC O O O O O",
                "B-PER",
            ],
        ),
        (
            chunks,
            [
                "B-NP B-VP B-NP I-NP B-VP I-VP B-NP I-NP O",
                "B-NP B-NP B-NP I-NP I-NP I-NP B-NP O B-NP B-NP I-NP B-ADVP B-SBAR B-SBAR",
                "B-NP",
            ],
        ),
    ):
        for split in ("train", "val"):
            assert [" ".join(sentence.tags) for sentence in data.sentences[split]] == expected
            assert [sentence.document for sentence in data.sentences[split]] == [1, 2, 2]
        assert data.describe_split("val")["num_words"] == 24
        assert data.describe_split("val")["num_gold_entities"] == sum(tags.count("B-") for tags in expected)
    assert entities.labels == ["O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BI")]


PUBLISHED = """-DOCSTART- -X- O O

at IN I-PP O
Aldra NNP I-NP B-MISC
Games NNPS I-NP I-MISC
Mira NNP I-NP I-PER
Kell NNP I-NP I-PER

Velan JJ I-NP I-MISC
Talb JJ B-NP B-MISC
"""
"""As a sentence of the published eng.train is written: the first B-MISC follows no MISC, the second rightly does."""


def test_the_published_file_is_read_as_its_iob2_edition(
    make_data: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edition = PUBLISHED.replace("I-PER\nKell", "B-PER\nKell").replace("Velan JJ I-NP I-", "Velan JJ I-NP B-")
    found = []
    for folder, text in (("published", PUBLISHED), ("edition", edition)):
        (tmp_path / folder).mkdir()
        for name in ("eng.train", "eng.testa"):
            (tmp_path / folder / name).write_text(text)
        found.append(make_data(data_dir=str(tmp_path / folder)))
    assert [message[: message.index(", the first")] for message in caplog.messages] == [
        f"{split}: tags out of place, read as in conlleval: 1" for split in ("train", "val")
    ]
    assert f"{tmp_path / 'published' / 'eng.train'}, line 4 ('Aldra'): tag 'B-MISC', expected I-MISC" in caplog.text
    assert [" ".join(s.tags) for s in found[0].sentences["train"]] == ["O B-MISC I-MISC B-PER I-PER", "B-MISC B-MISC"]
    assert found[0].fingerprint == found[1].fingerprint
    assert found[0].describe_split("val") == found[1].describe_split("val")
    assert found[0].describe_split("val")["num_gold_entities"] == 4


def test_documents_are_kept(make_data: Any) -> None:
    numbers = [sentence.document for sentence in load(data_dir=IOB2)]
    assert len(set(numbers)) == -(-NEWS_COUNTS["train"] // 7)
    assert all("-DOCSTART-" not in sentence.words for sentence in load(data_dir=IOB2))
    plain, wide = make_data(), make_data(context_tokens=10)
    assert wide.sequence_length >= plain.sequence_length
    assert wide.describe_split("val")["num_words"] == plain.describe_split("val")["num_words"]


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_two_columns(make_data: Any, tmp_path: Path, separator: str) -> None:
    def change(line: str) -> str:
        return "" if line.startswith("-DOCSTART-") else separator.join(line.split()[::3])

    folder = convert(Path(IOB2), tmp_path / "two", change)
    assert (
        make_data(data_dir=folder).describe_split("val")["num_gold_entities"]
        == make_data().describe_split("val")["num_gold_entities"]
    )
    with pytest.raises(InputError, match=r"data.task is pos, but most tags are of entities \(IOB2\), as in ner"):
        make_data(data_dir=folder, task="pos")
    with pytest.raises(InputError, match=r"train.txt, line 3: 2 columns .*expected at least 3"):
        make_data(data_dir=folder, task="chunk")


def test_entities_that_are_none(make_data: Any, tmp_path: Path) -> None:
    folder = convert(Path(IOB2), tmp_path / "pos", lambda line: " ".join(line.split()[:2]))
    with pytest.raises(InputError, match=r"data.task is ner, but most tags are plain, as in pos, from .*line 3"):
        make_data(data_dir=folder)
    assert make_data(data_dir=folder, task="pos").labels == make_data(task="pos").labels


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_json_lines(make_data: Any, tmp_path: Path, suffix: str) -> None:
    for split, names in FILES.items():
        rows = [json.dumps({"words": s.words, "tags": s.tags}) for s in load(split, data_dir=IOB2)]
        content = "\n".join(rows).encode()
        (tmp_path / f"{names[2]}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    data = make_data(data_dir=str(tmp_path), words_column="words", tags_column="tags")
    facts = [{k: v for k, v in d.describe_split("val").items() if "fingerprint" not in k} for d in (data, make_data())]
    assert (data.labels, facts[0]) == (make_data().labels, facts[1])
    with pytest.raises(InputError, match=r"train.jsonl.*, line 1: no column 'tokens', only 'words', 'tags'"):
        make_data(data_dir=str(tmp_path))


@pytest.mark.parametrize("kind", ["class labels", "strings"])
def test_hub_layout(make_data: Any, tmp_path: Path, kind: str) -> None:
    for split, name in HUB_SPLITS.items():
        columns: dict[str, Any] = {"tokens": [s.words for s in load(split, data_dir=IOB2)]}
        features = {"tokens": ListFeature(Value("string"))}
        for task in ("ner", "pos", "chunk"):
            columns[f"{task}_tags"] = [s.tags for s in load(split, data_dir=IOB2, task=task)]
            names = sorted(set(chain(*columns[f"{task}_tags"])), reverse=True)
            features[f"{task}_tags"] = ListFeature(ClassLabel(names=names) if kind != "strings" else Value("string"))
        Dataset.from_dict(columns, features=Features(features)).to_parquet(tmp_path / f"{name}-00000-of-00001.parquet")
    for task in ("ner", "pos", "chunk"):
        hub, files = (make_data(task=task, **place) for place in ({"data_dir": None, "dataset": str(tmp_path)}, {}))
        assert hub.labels == files.labels
        assert [s.tags for s in hub.sentences["val"]] == [s.tags for s in files.sentences["val"]]
    with pytest.raises(InputError, match=r"train, row 1 does not have: column files mark them with -DOCSTART- lines"):
        make_data(data_dir=None, dataset=str(tmp_path), context_tokens=5)


def test_hub_id(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_split(*place: Any) -> Dataset:
        asked.append(place)
        return Dataset.from_dict({})

    monkeypatch.setattr(sentences_file, "load_split", load_split)
    for options in ({}, {"dataset": "eriktks/conll2003", "dataset_revision": "refs/convert/parquet", "subset": "a"}):
        with pytest.raises(InputError, match="no column 'tokens'"):
            load("val", **options)
    assert asked == [
        (HUB_ID, "validation", None, None),
        ("eriktks/conll2003", "validation", "refs/convert/parquet", "a"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_dir": "a", "dataset": "b"}, r"data.data_dir \(a\) and data.dataset \(b\) are mutually exclusive"),
        ({"data_dir": "a", "subset": "b"}, r"data.data_dir \(a\) and data.subset \(b\) are mutually exclusive"),
        ({"encoding": "latin-1"}, r"data.encoding \(latin-1\) has no effect without data.data_dir"),
        ({"data_dir": "a", "encoding": "latin-0"}, r"data.encoding latin-0 is not a text encoding"),
        ({"data_dir": "a"}, r"data.data_dir a: the train split needs one of eng.train, train.txt, train.jsonl"),
        ({"data_dir": IOB2, "tags_column": "b"}, r"data.tags_column \(b\) has no effect on .*train.txt"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(**options)


def test_two_files_of_a_split(tmp_path: Path) -> None:
    for name in ("eng.testb", "test.txt.gz"):
        (tmp_path / name).write_text("a O\n")
    with pytest.raises(InputError, match=r"eng.testb and test.txt.gz are both the test split"):
        load("test", data_dir=str(tmp_path))


def test_first_bad_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a O\nb\n\nc\n")
    with pytest.raises(InputError, match=r"train.txt, line 2: 1 column separated by spaces, expected 2"):
        load(data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("esp.train", "esp.testa", "esp.testb"),
        ("ned.train.gz", "ned.testa", "ned.testb"),
        ("train.txt", "dev.txt", "test.txt"),
        ("train.tsv", "devel.tsv", "test.tsv"),
        ("en_ewt-ud-train.conllu", "en_ewt-ud-dev.conllu", "en_ewt-ud-test.conllu"),
        ("wnut17train.conll", "emerging.dev.conll", "emerging.test.conll"),
        ("train.bio", "validation.bio", "test.bio"),
        ("train.txt", "val.iob2", "x.test"),
    ],
)
def test_file_names_of_other_corpora(train: str, val: str, test: str, tmp_path: Path) -> None:
    for name in (train, val, test):
        content = f"{name} B-X\n"
        (tmp_path / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    (tmp_path / "README.md").write_text("train and test")
    (tmp_path / "train_dev.tsv").write_text("both O\n")
    found = CoNLLDataModule(data_dir=str(tmp_path)).load_sentences({"train", "val", "test"})
    assert [found[split][0].words for split in ("train", "val", "test")] == [[train], [val], [test]]


def test_files_by_option(make_data: Any, tmp_path: Path) -> None:
    for name in ("one.foo", "two.foo", "three"):
        (tmp_path / name).write_text(f"-DOCSTART- O\n\n{name} B-X\n\n-DOCSTART- O\n\nb O\n")
    files = {"train_files": str(tmp_path / "*.foo"), "val_files": [str(tmp_path / "three")]}
    data = make_data(data_dir=None, **files)
    assert [s.words for s in data.sentences["train"]] == [["one.foo"], ["b"], ["two.foo"], ["b"]]
    assert [s.document for s in data.sentences["train"]] == [1, 2, 4, 5]
    assert data.sentences["val"][0].words == ["three"]
    for options, message in (
        ({"train_files": "a", "data_dir": "b"}, r"data.data_dir \(b\) and data.train_files \(a\) are mutually"),
        ({"val_files": "a", "dataset": "b"}, r"data.val_files \(a\) and data.dataset \(b\) are mutually exclusive"),
        (files | {"val_files": files["train_files"]}, "is in both data.train_files and data.val_files"),
        ({"train_files": str(tmp_path / "none")}, "data.train_files: no file matches"),
        ({"val_files": files["val_files"]}, "no train sentences: give data.train_files"),
        ({"word_column": 2}, r"data.word_column \(2\) has no effect without data.data_dir"),
    ):
        with pytest.raises(InputError, match=message):
            load(**options)
    with pytest.raises(InputError, match=r"no test sentences: give data\.test_files"):
        load("test", **files)


def test_each_set_has_the_metrics_of_that_set_alone(news_tagger: str, cache_dir: str, make_trainer: Any) -> None:
    """And all together those of a list of their files, whose documents are as many."""
    files = {"news": f"{IOB2}/valid.txt", "more": [f"{IOB2}/test.txt"]}
    module = TokenClassification(news_tagger)

    def score(val_files: Any) -> dict[str, Any]:
        data = CoNLLDataModule(val_files=val_files, window=24, context_tokens=8, cache_dir=cache_dir)
        make_trainer().validate(module, data, verbose=False)
        return {name: value for name, value in module.results["val"].items() if not name.endswith("_fingerprint")}

    metrics, pooled = score(files), score([f"{IOB2}/valid.txt", f"{IOB2}/test.txt"])
    alone = {name: score(found) for name, found in files.items()}
    assert {name: value for name, value in metrics.items() if name.startswith(("news/", "more/"))} == {
        f"{name}/{key}": value for name, found in alone.items() for key, value in found.items()
    }
    assert 0.2 < metrics["news/f1"] < 1
    assert metrics["f1_interval_unit"] == "document"
    of_batches = ("loss", "padding_fraction")  # a sum in another order; and of other batches
    assert metrics["loss"] == pytest.approx(pooled["loss"], rel=1e-6)
    assert {name: metrics[name] for name in pooled if name not in of_batches} == {
        name: value for name, value in pooled.items() if name not in of_batches
    }


def test_sets_are_predicted_as_one(cache_dir: str) -> None:
    files: dict[str, Any] = {"b": f"{IOB2}/test.txt", "a": f"{IOB2}/valid.txt"}
    data = CoNLLDataModule(train_files=f"{IOB2}/train.txt", val_files=files, vocab_size=200, cache_dir=cache_dir)
    data.predict_split = "val"
    data.setup("predict")
    assert {int(i) for batch in data.predict_dataloader() for i in batch["sentences"]} == set(
        range(len(data.predicted_sentences))
    )
    expected = [sentence.words for name in ("test", "val") for sentence in load(name, data_dir=IOB2)]
    assert [sentence.words for sentence in data.predicted_sentences] == expected


def test_validation_sentences_are_held_out(make_data: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = (Path(IOB2) / "train.txt").read_text()
    (tmp_path / "train.txt").write_text(train)
    data = make_data(data_dir=str(tmp_path), val_fraction=0.25)
    whole = load(data_dir=IOB2)
    assert len(data.sentences["train"]) + len(data.sentences["val"]) == len(whole)
    documents = [{s.document for s in data.sentences[split]} for split in ("train", "val")]
    assert not documents[0] & documents[1]
    num = len(data.sentences["val"])
    assert f"no file for the val split: {num} of {len(whole)} sentences of train held out" in caplog.messages
    assert make_data("validate", data_dir=str(tmp_path), val_fraction=0.25).sentences["val"] == data.sentences["val"]
    other = make_data(data_dir=str(tmp_path), val_fraction=0.25, split_seed=1)
    assert other.sentences["val"] != data.sentences["val"]
    with pytest.raises(InputError, match=r"the test split needs one of eng.testb, .* or name it by data.test_files"):
        load("test", data_dir=str(tmp_path))


@pytest.mark.parametrize("kind", ["doccano", "prodigy", "label_studio"])
def test_exports_of_annotation_tools(kind: str, make_data: Any, tmp_path: Path) -> None:
    text, spans = "Mira Kell visited Porto.", [(0, 9, "PER"), (18, 23, "LOC")]
    named = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    values = [{"value": {"start": start, "end": end, "labels": [label]}} for start, end, label in spans]
    record: Any = {
        "doccano": {"text": text, "label": spans},
        "prodigy": {"text": text, "spans": named, "answer": "accept"},
        "label_studio": {"data": {"text": text}, "annotations": [{"result": values}]},
    }[kind]
    for name in ("train", "valid"):
        file = tmp_path / (f"{name}.json" if kind == "label_studio" else f"{name}.jsonl")
        file.write_text(json.dumps([record]) if kind == "label_studio" else json.dumps(record))
    data = make_data(data_dir=str(tmp_path))
    assert data.sentences["val"][0].words == ["Mira", "Kell", "visited", "Porto", "."]
    assert " ".join(data.sentences["val"][0].tags) == "B-PER I-PER O B-LOC O"


def test_bad_records_are_skipped_on_request(make_data: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train.txt", "valid.txt"):
        (tmp_path / name).write_text("a O\nb\n\nc B-X\n\nd O e\n")
    with pytest.raises(InputError, match=r"line 2: 1 column.*; set data.skip_bad true to skip bad records"):
        make_data(data_dir=str(tmp_path))
    data = make_data(data_dir=str(tmp_path), skip_bad=True)
    assert [s.words for s in data.sentences["train"]] == [["c"]]
    assert data.describe_split("val")["num_skipped"] == 2
    assert [m.partition(", the first")[0] for m in caplog.messages] == [
        *(
            "train: all 1 words have the tag 'B-X', so there is nothing to learn; data.tag_column or data.tags_column "
            "names the column of the tags",
        ),
        *(f"{split}: bad records skipped: 2" for split in ("train", "val")),
    ]


def test_a_part_of_speech_may_be_named_o(make_data: Any, tmp_path: Path) -> None:
    for name in ("train.txt", "valid.txt"):
        (tmp_path / name).write_text("she O\nran Vb\nhome Nn\n")
    assert make_data(data_dir=str(tmp_path), task="pos").labels == ["Nn", "O", "Vb"]


def test_options_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"tokens": ["a"], "ner_tags": ["O"]}')
    with pytest.raises(
        InputError, match=r"data.word_column \(2\) has no effect on .*, whose columns data.words_column na"
    ):
        load(data_dir=str(tmp_path), word_column=2)
    with pytest.raises(
        InputError, match=r"data.tags_column \(b\) has no effect on .*, whose columns data.tag_column na"
    ):
        load(data_dir=IOB2, tags_column="b")
    (tmp_path / "a.csv").write_text("a,O\n")
    with pytest.raises(InputError, match=r"a.csv: columns separated by commas are not supported"):
        load(train_files=str(tmp_path / "a.csv"))
