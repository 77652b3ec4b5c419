"""Any text files, their splits, and several corpora mixed."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import yaml

from lit_mlm.batch import BATCH_KEYS, IGNORE_INDEX
from lit_mlm.cli.main import main
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.masked.mixture import find_sources
from lit_mlm.data.reading.sources import Source
from lit_mlm.data.sets.text_files import TextFilesDataModule
from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import FIXTURES, read_reviews


def load(splits: set[str], **options: Any) -> dict[str, list[str]]:
    documents = TextFilesDataModule(**options).load_documents(splits)
    return {name: list(part["text"]) for name, part in documents.items() if name in splits}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("train", 20), ("val", 3), ("test", 2)):
        (tmp_path / f"{name}.jsonl").write_text(
            "\n".join(json.dumps({"body": f"{name} {i}", "id": i}) for i in range(count))
        )
    return tmp_path


def test_splits_of_their_own_files(folder: Path) -> None:
    files: dict[str, Any] = {f"{name}_files": [str(folder / f"{name}.jsonl")] for name in ("train", "val", "test")}
    parts = load({"train", "val", "test"}, **files, text_column="body")
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "val": 3, "test": 2}
    assert parts["val"] == [f"val {i}" for i in range(3)]


def test_splits_by_fraction(folder: Path) -> None:
    options: dict[str, Any] = {"train_files": [str(folder / "train.jsonl")], "text_column": "body"}
    parts = load({"train", "val", "test"}, **options, val_fraction=0.2, test_fraction=0.1)
    assert {name: len(part) for name, part in parts.items()} == {"train": 14, "val": 4, "test": 2}
    assert len({text for part in parts.values() for text in part}) == 20
    assert load({"train"}, **options, val_fraction=0.2, test_fraction=0.1)["train"] == parts["train"]
    own = load({"train", "val", "test"}, **options, val_files=[str(folder / "val.jsonl")], test_fraction=0.1)
    assert {name: len(part) for name, part in own.items()} == {"train": 18, "val": 3, "test": 2}
    with pytest.raises(ValueError, match=r"no test text: give data.test_files"):
        load({"test"}, **options)


def test_documents_by_file_and_by_line() -> None:
    pattern = str(FIXTURES / "aclImdb" / "train" / "[np]*" / "*.txt")
    parts = load({"train", "val"}, train_files=pattern)
    assert sorted(parts["train"] + parts["val"]) == sorted(read_reviews())
    assert (len(parts["train"]), len(parts["val"])) == (22, 2)


def test_lines_as_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\nfour\n")
    parts = load({"train", "val"}, train_files=[str(tmp_path)], document_per="line")
    assert sorted(parts["train"] + parts["val"]) == ["four", "one", "three", "two"]


def test_copy_of_a_hub_set() -> None:
    options: dict[str, Any] = {"dataset": str(FIXTURES / "imdb_hub"), "subset": "plain_text"}
    parts = load({"train", "val", "test"}, **options, val_split="unsupervised", test_split="test")
    assert {name: len(part) for name, part in parts.items()} == {"train": 24, "val": 8, "test": 12}
    with pytest.raises(ValueError, match=r"imdb_hub, train has no column 'txt', only 'text', 'label'; did you mean"):
        load({"train"}, **options, text_column="txt")


def test_only_the_column_of_the_text_is_read_of_the_hub(tiny_bert: str) -> None:
    data = TextFilesDataModule(dataset=str(FIXTURES / "imdb_hub"), tokenizer=tiny_bert)
    rows = list(data.corpus.read_hub(str(FIXTURES / "imdb_hub"), "train", subset="plain_text", column="text"))
    assert {tuple(row.fields) for row in rows} == {("text",)}
    assert rows[23].place.endswith("imdb_hub, train, row 24")


def test_skipped_rows_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tiny_bert: str, cache_dir: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a b c"}\nbroken\n{"text": null}\n{"text": "d e"}\n{"text": "f g"}\n')
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    data = TextFilesDataModule(
        train_files=[str(tmp_path)], skip_bad=True, tokenizer=tiny_bert, block_size=8, cache_dir=cache_dir
    )
    data.setup("fit")
    assert data.describe_split("val")["num_skipped"] == 3
    assert "train: bad records skipped: 3, the first: " in caplog.text
    assert "a.jsonl, line 2: not a JSON object" in caplog.text


def test_nothing_left_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}')
    with pytest.raises(ValueError, match=r"the train text is empty: .*a.jsonl, line 1: no text in the column"):
        load({"train"}, train_files=str(tmp_path), skip_bad=True)


def test_latin1_is_read_when_it_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_bytes(f"café {name}".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a.txt, line 1: byte 0xe9 at position 4 is not valid utf-8"):
        load({"train"}, train_files=[str(tmp_path)])
    parts = load({"train", "val"}, train_files=[str(tmp_path)], encoding="latin-1")
    assert sorted(parts["train"] + parts["val"]) == ["café a", "café b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no text: give data.train_files, data.dataset or"),
        ({"train_files": ["a"], "dataset": "b"}, r"data.train_files \(\['a'\]\) and data.dataset \(b, .* are mut"),
        ({"train_files": ["a"], "val_split": "val"}, r"data.val_split \(val\) has no effect without data.dataset"),
        ({"train_files": ["a"], "test_files": ["b"], "test_fraction": 0.1}, "test_fraction 0.1 has no effect"),
        ({"dataset": "a", "val_split": "train"}, "must differ, got train, train"),
        ({"dataset": "a", "encoding": "latin-1"}, "data.encoding latin-1 has no effect on data.dataset"),
        ({"train_files": ["a"], "encoding": "utf-9"}, "data.encoding utf-9 is not a text encoding"),
        ({"train_files": ["a"], "sources": {"b": Source("c")}}, r"data.sources \(b\) and data.train_files .* are mut"),
        ({"dataset": "a", "sources": {"b": Source("c")}}, r"data.sources \(b\) and data.dataset \(a, .* are mut"),
        ({"train_split": "a", "sources": {"b": Source("c")}}, "data.train_split a has no effect on data.sources"),
        ({"subset": "a", "sources": {"b": Source("c")}}, r"data.subset \(a\) has no effect without data.dataset"),
        ({"sources": {"b": Source()}}, "data.sources.b needs one of files and dataset"),
        (
            {"train_files": ["a"], "val_files": ["b"], "val_source": "train_blocks", "num_val_blocks": 3},
            "train_blocks excludes data.val_files and data.val_split",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextFilesDataModule(**options)


def test_file_in_two_splits_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"val.jsonl is in both data.train_files and data.val_files"):
        load({"train"}, train_files=[str(folder)], val_files=[str(folder / "val.jsonl")])


REVIEWS = FIXTURES / "aclImdb"
PLACES: dict[str, dict[str, Any]] = {
    "bad": {"files": str(REVIEWS / "train" / "neg")},
    "hub": {"dataset": str(FIXTURES / "imdb_hub"), "split": "unsupervised"},
    "good": {"files": [str(REVIEWS / "train" / "pos")]},
}
WEIGHTS = {"bad": 5.0, "hub": 1.0, "good": 2.0}
VAL = str(REVIEWS / "test" / "neg")


@pytest.fixture
def make_data(tiny_bert: str, cache_dir: str) -> Callable[..., TextFilesDataModule]:
    def make(weights: dict[str, float] | None = None, **options: Any) -> TextFilesDataModule:
        defaults: dict[str, Any] = {"tokenizer": tiny_bert, "block_size": 16, "batch_size": 4, "cache_dir": cache_dir}
        if not {"train_files", "val_fraction", "val_source"} & set(options):
            defaults["val_files"] = VAL
        if "train_files" not in options:
            sources = {name: Source(**PLACES[name], weight=weight) for name, weight in (weights or WEIGHTS).items()}
            defaults["sources"] = sources
        data = TextFilesDataModule(**(defaults | options))
        data.setup("fit")
        return data

    return make


Make = Callable[..., TextFilesDataModule]


def list_blocks(data: TextFilesDataModule, split: str = "train") -> list[list[int]]:
    examples = data.examples[split]
    chosen = zip(examples.table.starts[examples.chosen], examples.table.ends[examples.chosen], strict=True)
    return [examples.stream[start:end].tolist() for start, end in chosen]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"drop_tail": True},
        {"map_batch_size": 5},
        {"special_tokens": "block"},
        {"block_policy": "document"},
        {"block_policy": "document", "truncate": True, "drop_tail": "unless_alone"},
        {"block_policy": "line"},
    ],
)
def test_blocks_are_those_of_each_source_by_itself(make_data: Make, tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "lines.txt").write_text("one film\n\nanother film\nthe cast was dull and the story was long")
    places = {name: {"weight": weight, **PLACES[name]} for name, weight in WEIGHTS.items()}
    places["lines"] = {"files": str(tmp_path / "lines.txt")}
    alone = [list_blocks(make_data(sources={"one": Source(**place)}, **options)) for place in places.values()]
    data = make_data(sources={name: Source(**place) for name, place in places.items()}, **options)
    assert list_blocks(data) == [block for blocks in alone for block in blocks]
    assert data.splits["train"].mixture is not None
    assert data.splits["train"].mixture.sizes == [len(blocks) for blocks in alone]
    files = {"train_files": PLACES["bad"]["files"], "val_files": VAL}
    assert alone[0] == list_blocks(make_data(**files, **options))


def go_through(data: TextFilesDataModule, epoch: int, num_ranks: int = 1) -> list[tuple[int, int, tuple[int, ...]]]:
    """Example, pass and labels of each place of an epoch, in the order of the epoch."""
    found = []
    for rank in range(num_ranks):
        with patch.object(TextFilesDataModule, "rank", (rank, num_ranks)):
            loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for key, batch in zip(loader.sampler, loader, strict=True):
            assert tuple(batch) == BATCH_KEYS
            for i, example in enumerate(key.examples):
                labels = batch["labels"][i][batch["attention_mask"][i].bool()].tolist()
                found.append((key.position + i, int(example), int(key.source_epochs[i]), tuple(labels)))
    return [place[1:] for place in sorted(found)]


def test_shares_order_and_masks_are_equal_for_any_batches_workers_and_ranks(make_data: Make) -> None:
    data = make_data()
    assert data.splits["train"].mixture is not None
    for epoch in (0, 1):
        places = go_through(data, epoch)
        assert len(places) == len(data.examples["train"])
        counts = Counter(data.splits["train"].mixture.sources[example] for example, _, _ in places)
        assert [counts[source] for source in range(3)] == data.splits["train"].mixture.quotas
        assert abs(data.splits["train"].mixture.quotas[0] - len(places) * 5 / 8) < 1
        assert places == go_through(make_data(batch_size=7, num_workers=2), epoch)
        assert places == go_through(make_data(batch_size=5), epoch, num_ranks=3)
        assert places == go_through(
            make_data(batch_size=len(places) // 2), epoch, num_ranks=3
        )  # the last batch is empty
    assert go_through(data, 0) != go_through(data, 1)
    quota, size = data.splits["train"].mixture.quotas[0], data.splits["train"].mixture.sizes[0]
    assert f"mixed: bad {quota / len(places):.1%} ({size} blocks, {quota / size:.2g} times per epoch), hub " in (
        data.describe()
    )


def test_block_that_comes_again_has_other_masks(make_data: Make) -> None:
    data = make_data(mask_prob=0.5)
    labels: dict[int, list[tuple[int, ...]]] = {}
    for epoch in range(3):
        for example, number, found in sorted(go_through(data, epoch), key=lambda place: place[1]):
            assert number == len(labels.setdefault(example, []))
            labels[example].append(found)
            alone = data.examples["train"][BatchKey(number, np.array([example]))]["labels"][0].tolist()
            assert tuple(alone) == found
    assert max(map(len, labels.values())) > 3
    repeated = [rows for rows in labels.values() if len(rows) > 1 and len(rows[0]) == 16]
    assert len(repeated) > 50
    assert all(len(set(rows)) == len(rows) for rows in repeated)


def test_sources_are_mixed_by_packed_rows(make_data: Make) -> None:
    options: dict[str, Any] = {"block_policy": "document", "block_size": 32, "pack_length": 64}
    data = make_data(**options)
    packed, mixture = data.splits["train"].packed, data.splits["train"].mixture
    assert packed is not None
    assert mixture is not None
    assert len(packed) == len(mixture.sources) < len(data.examples["train"])
    assert f"({mixture.sizes[0]} rows, " in data.describe()
    table, lengths = data.examples["train"].table, data.texts["train"].tokens.document_lengths
    of_examples = find_sources(table.starts, lengths, data.texts["train"].num_documents)
    for row, source in enumerate(mixture.sources):
        sequences, _ = packed.rows.find(np.array([row]))
        assert set(of_examples[sequences]) == {source}
    assert sorted(packed.rows.sequences) == list(range(len(data.examples["train"])))
    loader = data.train_dataloader()
    keys = list(loader.sampler)
    counts = Counter(mixture.sources[row] for key in keys for row in key.examples)
    assert [counts[source] for source in range(3)] == mixture.quotas
    key = next(key for key in keys if max(key.source_epochs) > 0)
    place = int(np.argmax(key.source_epochs))
    sequences, row_of = packed.rows.find(key.examples)
    first = int(np.searchsorted(row_of, place))  # sequence of the row
    alone = data.examples["train"][BatchKey(int(key.source_epochs[place]), np.array([sequences[first]]))]["labels"][0]
    assert packed[key]["labels"][first, : len(alone)].tolist() == alone.tolist()


def test_masks_of_a_mixture_follow_a_schedule(make_data: Make, make_trainer: Callable[..., Any]) -> None:
    data = make_data(mask_schedule="steps", train_mask_probs=[0.9, 0.05])
    data.trainer = make_trainer(max_epochs=2)
    shares = [
        np.mean([label != IGNORE_INDEX for _, _, labels in go_through(data, epoch) for label in labels])
        for epoch in (0, 1)
    ]
    assert shares[0] > 0.7
    assert shares[1] < 0.15


def test_evaluation_text_is_split_off_by_document(make_data: Make) -> None:
    data = make_data(val_fraction=0.3)
    train, val = (data.read_documents(split) for split in ("train", "val"))
    hub = {"dataset": PLACES["hub"]["dataset"], "train_split": "unsupervised"}
    texts = [*read_reviews(), *load({"train"}, **hub, val_fraction=0.0)["train"]]
    assert sorted(texts) == sorted([*train["text"], *val["text"]])
    assert len(val) == round(0.3 * (len(train) + len(val)))
    assert data.splits["train"].mixture is not None
    assert sum(data.splits["train"].mixture.sizes) == len(data.examples["train"])
    held_out = make_data(val_source="train_blocks", num_val_blocks=9)
    whole, part = make_data().splits["train"].mixture, held_out.splits["train"].mixture
    assert whole is not None
    assert part is not None
    assert len(part.sources) == sum(whole.sizes) - 9
    sample = make_data(num_train_blocks=40).splits["train"].mixture
    assert sample is not None
    assert sum(sample.quotas) == sum(sample.sizes) == 40
    assert sample.quotas == [25, 5, 10]


def test_fingerprints_know_sources_and_weights(make_data: Make) -> None:
    data = make_data()
    others = [
        make_data(WEIGHTS | {"bad": 6.0}),
        make_data({name: WEIGHTS[name] for name in ("hub", "bad", "good")}),
        make_data({"bad": 5.0, "good": 2.0}),
        make_data(
            sources={new: Source(**PLACES[old], weight=WEIGHTS[old]) for old, new in zip(WEIGHTS, "abc", strict=True)}
        ),
    ]
    assert len({other.fingerprint for other in [data, *others]}) == 5
    assert make_data({"bad": 5, "hub": 1, "good": 2}).fingerprint == data.fingerprint
    plain = make_data(train_files=PLACES["bad"]["files"], val_files=VAL)
    facts = [other.describe_split("val") for other in (data, *others, plain)]
    assert len({str(fact["data_fingerprint"]) for fact in facts}) == 1  # of its own text
    assert len({str(fact["mask_fingerprint"]) for fact in facts}) == 1
    mixtures = [make_data(weights, val_fraction=0.3) for weights in (WEIGHTS, WEIGHTS | {"bad": 6.0})]
    split = [mixture.describe_split("val") for mixture in mixtures]
    assert split[0] == split[1]


def test_sources_are_kept_as_plain_data(make_data: Make) -> None:
    class Mine(TextFilesDataModule):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.save_hyperparameters()

    for cls in (TextFilesDataModule, Mine):
        kept = cls(sources={"a": Source("x", weight=2)}).hparams["sources"]
        assert kept == {
            "a": dict.fromkeys(("dataset", "dataset_revision", "subset", "text_column", "document_per", "encoding"))
            | {"files": "x", "split": "train", "weight": 2}
        }
        assert type(kept["a"]) is dict


def test_options_of_a_source_are_those_of_the_data_unless_it_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("body,text\none,two\n")
    (tmp_path / "b.csv").write_text("body,text\none,two\n")
    (tmp_path / "a.txt").write_bytes("caf\xe9\nth\xe9".encode("latin-1"))
    (tmp_path / "b.txt").write_bytes("caf\xe9\nth\xe9".encode())
    (tmp_path / "val.txt").write_text("val")
    sources = {
        "a": Source(f"{tmp_path}/a.*", encoding="latin-1", document_per="line"),
        "b": Source([f"{tmp_path}/b.txt", f"{tmp_path}/b.csv"], text_column="text"),
    }
    parts = load({"train"}, sources=sources, val_files=str(tmp_path / "val.txt"), text_column="body")
    assert parts["train"] == ["one", "café", "thé", "café\nthé", "two"]
    with pytest.raises(InputError, match=r"^data.sources.b: .*b.txt, line 1: byte 0xc3 .* is not valid ascii"):
        load({"train"}, sources=sources, encoding="ascii")
    (tmp_path / "val.txt").write_text("")
    with pytest.raises(InputError, match=r"^data.sources.c: the c text is empty: .*val.txt is empty"):
        load({"train"}, sources={"c": Source(str(tmp_path / "val.txt"))}, skip_bad=True)


def test_file_in_two_sources_or_in_another_split_is_refused(folder: Path) -> None:
    sources = {"a": Source(str(folder / "t*.jsonl")), "b": Source(str(folder / "train.jsonl"))}
    with pytest.raises(InputError, match=r"train.jsonl is in both data.sources.a.files and data.sources.b.files"):
        load({"train"}, sources=sources)
    with pytest.raises(InputError, match=r"test.jsonl is in both data.test_files and data.sources.a.files"):
        load({"train"}, sources={"a": sources["a"]}, test_files=str(folder / "test.jsonl"))
    with pytest.raises(InputError, match=r"^data.sources.a: data.dataset some/one is neither a folder"):
        load({"train"}, sources={"a": Source(None, "some/one")})


def test_source_whose_documents_all_went_to_validation_is_refused(make_data: Make, tmp_path: Path) -> None:
    names = []
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text(f"the cast {number}")
        names.append(f"{tmp_path}/{number}.txt")
    refused = set()
    for number in range(9):
        sources = {"all": Source([n for n in names if n != names[number]]), "one": Source(names[number])}
        try:
            make_data(sources=sources, val_fraction=0.3, split_seed=number)
        except InputError as error:
            refused.add(str(error))
    assert refused == {"data.sources.one has no block to train on; add text or remove the source"}


Run = Callable[..., Path]


@pytest.fixture
def args(tiny_bert: str, cache_dir: str, run_cli: Run, tmp_path: Path) -> list[str]:
    """A run of 2 epochs on two sources."""
    sources = {"bad": PLACES["bad"] | {"weight": 3}, "good": PLACES["good"]}
    options = {"sources": sources, "val_files": VAL, "block_size": 32, "batch_size": 4, "cache_dir": cache_dir}
    config = {
        "data": {"class_path": "TextFilesDataModule", "init_args": options},
        "model": {"class_path": "MaskedLM", "init_args": {"model": tiny_bert, "lr": 3e-3}},
    }
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(config))
    quick = ["--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false"]
    return ["--config", "mixed.yaml", "--config", "overlays/cpu.yaml", *quick]


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_interrupted_run_goes_on_with_the_same_mixture(
    args: list[str], run_cli: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed within an epoch and run again: the weights of the run that was not."""
    from lit_mlm.modules.masked_lm import MaskedLM

    folder = run_cli("fit", *args, "--run_dir", "whole", "--save_every_n_steps", 1)
    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "mixed: bad 76.1% (22 blocks, 1.6 times per epoch), good 23.9% (24 blocks, " in printed
    figures = json.loads((folder / "whole" / "metrics.json").read_text())
    assert figures["val/perplexity"] < figures["start/val/perplexity"]
    num_steps = figures["last/step"]
    training_step, seen = MaskedLM.training_step, []

    def die(self: Any, *batch: Any) -> Any:
        seen.append(1)
        if len(seen) == num_steps // 2 + 3:
            raise KeyError("killed")
        return training_step(self, *batch)

    monkeypatch.setattr(MaskedLM, "training_step", die)
    with pytest.raises(KeyError):
        run_cli("fit", *args, "--run_dir", "parts", "--save_every_n_steps", 1)
    monkeypatch.setattr(MaskedLM, "training_step", training_step)
    last = ("--run_dir", "other", "--ckpt_path", "parts/checkpoints/last.ckpt")
    with pytest.raises(InputError, match=r"the checkpoint was made with data.sources.bad.weight 3.0, not 2.0: "):
        run_cli("fit", *args, *last, "--data.sources.bad.weight", 2)
    run_cli("fit", *args, "--run_dir", "parts", "--data.num_workers", 2)
    whole, parts = (read_checkpoint(folder / name / "checkpoints" / "last.ckpt") for name in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == num_steps
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, parts["state_dict"][name]), name
    run_cli("validate", "--config", "whole/config.yaml", "--run_dir", "whole", "--ckpt_path", "best")
    again = json.loads((folder / "whole" / "metrics.json").read_text())
    assert again["val/perplexity"] == figures["val/perplexity"]


def test_commands_read_sources(args: list[str], run_cli: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli("prepare", *args)
    assert "train: 24 documents" in capsys.readouterr().out
    run_cli("show", *args, "--data.sources.bad.weight", 1, "--num_examples", 1)
    assert "mixed: bad 50.0% (" in capsys.readouterr().out
    run_cli("audit", *args, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["unreadable"].keys() >= {"bad", "good"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "--data.sources.bad.wieght 2",
            "there is no option --data.sources.bad.wieght; did you mean --data.sources.bad.weight?",
        ),
        ("--data.sources.bad.weight two", "data.sources.bad.weight is 'two', expected float"),
        (
            "--data.sources.bad.document_per word",
            "data.sources.bad.document_per is 'word', expected file, line or null",
        ),
        ("--data.sources.bda.weight 2", "data.sources.bda needs one of files and dataset, got neither"),
        ("--data.sources.bad texts", "data.sources.bad is 'texts': a source is given with all its options"),
        ('--data.sources {"bad":null}', "data.sources.bad is 'None': a source is given with all its options"),
        (
            "--data.sources null --data.sources.news.files texts",
            "data.sources.news.files is 'texts': a source is given with all its options",
        ),
        ("--data.sources.bad.weight 0", "data.sources.bad.weight must be above 0 and finite, got 0.0"),
    ],
)
def test_mistakes_name_the_source(
    args: list[str], typed: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["show", *args, *typed.split()])
    assert f"error: {message}" in capsys.readouterr().err
