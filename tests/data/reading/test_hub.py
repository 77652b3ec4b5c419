"""Data sets that can't be had from the Hub."""

import gzip
import io
import json
import re
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from lit_mlm.data.reading import hub as hub_module
from lit_mlm.data.reading.hub import RENAMED, load_split
from lit_mlm.data.sets.conll import CoNLLDataModule
from lit_mlm.data.sets.eli5 import ELI5DataModule
from lit_mlm.data.sets.imdb import HUB_REVISION, IMDBDataModule
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES
from tests.hub_server import Hub

FOLDER = FIXTURES / "imdb_hub"


@pytest.mark.parametrize("old", RENAMED)
def test_old_ids_name_today_s(old: str) -> None:
    with pytest.raises(InputError, match=f"data.dataset {old} is a loading script.*use {RENAMED[old]}"):
        load_split(old, "train")


def test_no_network(tmp_path: Path) -> None:
    expected = r"data.dataset some/one, revision v1, is neither a folder nor in the cache, .*: run prepare with"
    with pytest.raises(InputError, match=expected):
        load_split("some/one", "train", "v1")
    with pytest.raises(InputError, match=r"data.dataset some/one is neither"):
        load_split("some/one", "train")


def test_folders_without_the_split_or_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'Unknown split "trian". Should be one of .*train'):
        load_split(str(FIXTURES / "imdb_hub"), "trian")
    with pytest.raises(InputError, match="doesn't contain any data files"):
        load_split(str(tmp_path), "train")
    with pytest.raises(InputError, match="BuilderConfig 'plain' not found"):
        load_split(str(FIXTURES / "imdb_hub"), "train", subset="plain")


def test_broken_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n{"text": ')
    with pytest.raises(InputError, match=r"data.dataset .* can't be read: .*JSON"):
        load_split(str(tmp_path), "train")


@pytest.mark.parametrize("message", ["Dataset scripts are no longer supported, but found x.py", "something else"])
def test_scripts_are_told_from_other_faults(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(hub_module, "load_dataset", fail)
    with pytest.raises(InputError if "scripts" in message else RuntimeError, match=r"refs/convert|something else"):
        load_split("some/one", "train")


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_those_that_are_read_one_by_one(streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "NUM_ROWS", 5)
    rows = load_split(str(FIXTURES / "imdb_hub"), "train", subset="plain_text", streaming=streaming)
    expected = list(rows)
    assert len(expected) % 5 != 0
    assert list(expected[0]) == ["text", "label"]
    assert list(hub_module.iterate_rows(rows)) == expected


IMDB = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}


@pytest.mark.parametrize("streaming", [False, True])
def test_imdb_is_loaded_by_revision(streaming: bool, hub: Hub) -> None:
    repo = hub.add_repo("datasets", f"user/imdb-{streaming}", IMDB)
    first = repo.branches["main"]
    texts = IMDB["plain_text/test-00000-of-00001.parquet"]
    repo.commit("other texts", IMDB | {"plain_text/train-00000-of-00001.parquet": texts})
    local = [row["text"] for row in load_split(str(FOLDER), "train")]
    tests = [row["text"] for row in load_split(str(FOLDER), "test")]
    for revision, expected in ((first, local), (None, tests), ("main", tests)):
        rows = load_split(repo.name, "train", revision, streaming=streaming)
        assert [row["text"] for row in hub_module.iterate_rows(rows)] == expected
    with pytest.raises(
        InputError, match=rf"{repo.name}: Revision 'v9' doesn't exist .*; data.dataset_revision must be"
    ):
        load_split(repo.name, "train", "v9", streaming=streaming)


def test_cached_commit_does_not_stand_in_for_another(hub: Hub, waits: list[float]) -> None:
    repo = hub.add_repo("datasets", "user/cached", IMDB)
    first = repo.branches["main"]
    other = repo.commit(
        "other", IMDB | {"plain_text/train-00000-of-00001.parquet": IMDB["plain_text/test-00000-of-00001.parquet"]}
    )
    load_split("user/cached", "train", first)
    hub.fail("user/cached")
    assert load_split("user/cached", "train", first).num_rows == 24
    with pytest.raises(InputError, match=rf"revision {other}, is not in the cache, which has {first}"):
        load_split("user/cached", "train", other)


def test_default_imdb_is_pinned(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add_repo("datasets", "stanfordnlp/imdb")
    repo.commits[HUB_REVISION] = "pinned", IMDB
    documents = IMDBDataModule(cache_dir=str(tmp_path)).load_documents(["train", "test"])
    assert len(documents["train"]) + len(documents["val"]) == 24
    assert hub.count("resolve") == hub.count(f"resolve/{HUB_REVISION}")


def test_eli5_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    records = [{"q_id": str(n), "answers": {"a_id": ["a", "b"], "text": [f"no {n}", "yes"]}} for n in range(9)]
    content = gzip.compress(json.dumps(records).encode())
    files = {f"eli5-category-{split}.json.gz": content for split in ("train", "validation-1", "validation-2", "test")}
    hub.add_repo("datasets", "dany0407/eli5_category", files)
    documents = ELI5DataModule(cache_dir=str(tmp_path), val_fraction=0.2).load_documents(["train", "val"])
    found = sorted(row["text"] for split in documents.values() for row in split)
    assert found == [f"no {n} yes" for n in range(9)]


def test_conll_of_the_hub(hub: Hub) -> None:
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    words = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))})
    rows = {"tokens": [["EU", "rejects"], ["Peter", "Blackburn"]], "ner_tags": [[3, 0], [1, 2]]}
    buffer = io.BytesIO()
    Dataset.from_dict(rows, features=words).to_parquet(buffer)
    splits = ("train", "validation", "test")
    hub.add_repo(
        "datasets", "lhoestq/conll2003", {f"data/{s}-00000-of-00001.parquet": buffer.getvalue() for s in splits}
    )
    script = hub.add_repo("datasets", "eriktks/conll2003", {"conll2003.py": b""})
    converted = {f"conll2003/{split}/0000.parquet": buffer.getvalue() for split in splits}
    script.commit("convert", converted, branch="refs/convert/parquet")
    old = CoNLLDataModule(dataset="eriktks/conll2003", dataset_revision="refs/convert/parquet")
    for data in (CoNLLDataModule(), old):
        sentences = data.load_sentences(["train", "val", "test"])
        assert [sentence.tags for sentence in sentences["val"]] == [["B-ORG", "O"], ["B-PER", "I-PER"]]


def test_names_that_the_hub_does_not_have(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"stanfordnlp/imbd' doesn't exist .*; did you mean stanfordnlp/imdb\?"):
        load_split("stanfordnlp/imbd", "train")
    hub.add_repo("datasets", "user/gated", IMDB, is_gated=True)
    with pytest.raises(InputError, match=r"user/gated' is a gated dataset .*ask for access. If it is private or gated"):
        load_split("user/gated", "train")
    hub.add_repo("datasets", "user/own", IMDB, private=True)
    assert load_split("user/own", "train").num_rows == 24
    hub.add_repo("datasets", "user/theirs", IMDB, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(InputError, match=r"user/theirs' doesn't exist on the Hub or cannot be accessed\. If it is"):
        load_split("user/theirs", "train")


@pytest.mark.parametrize("pattern", ["/api/datasets/", "HEAD .*train.*parquet", "GET .*train.*parquet"])
@pytest.mark.parametrize("status", [0, 429, 503])
def test_requests_that_fail_once_are_repeated(status: int, pattern: str, hub: Hub, waits: list[float]) -> None:
    name = f"user/{re.sub(r'[^a-z]', '', pattern.lower())}-{status}"
    hub.add_repo("datasets", name, IMDB)
    hub.fail(pattern, status, times=1)
    assert load_split(name, "train").num_rows == 24
    assert hub.faults[0].times == 0


@pytest.mark.parametrize("pattern", ["/api/datasets/", "HEAD .*train.*parquet", "GET .*train.*parquet"])
@pytest.mark.parametrize("status", [0, 503])
def test_hub_that_fails_for_good(status: int, pattern: str, hub: Hub, waits: list[float]) -> None:
    name = f"user/{re.sub(r'[^a-z]', '', pattern.lower())}-{status}-away"
    hub.add_repo("datasets", name, IMDB)
    hub.fail(pattern, status)
    reason = "the Hub answers 503" if status else r"the Hub can't be reached \(.*disconnected.*\)"
    with pytest.raises(InputError, match=rf"data.dataset {name} can't be downloaded: {reason}; repeat the command"):
        load_split(name, "train")
