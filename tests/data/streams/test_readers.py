"""Files and sets from the Hub as shards."""

import json
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from lit_mlm.data.reading.files import refuse
from lit_mlm.data.streams.readers import make_file_shards, make_hub_shards
from lit_mlm.data.streams.shards import Shard
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(5):
        (tmp_path / f"{i}.txt").write_text(f"one {i}\ntwo {i}\n")
        (tmp_path / f"{i}.jsonl").write_text("".join(f'{{"body": "{i} {j}"}}\n' for j in range(3)))
    return tmp_path


def test_a_file_is_a_shard_but_documents_are_put_together(folder: Path) -> None:
    files = [*sorted(folder.glob("*.jsonl")), *sorted(folder.glob("*.txt"))]
    shards = make_file_shards(files, "body", "utf-8", by_line=False, chunk_documents=3)
    assert [shard.name.removeprefix(f"{folder}/") for shard in shards] == [
        *(f"{i}.jsonl" for i in range(5)),
        *("0.txt and 2 more", "3.txt and 1 more"),
    ]
    assert list(shards[1].read(refuse)) == list(shards[1].read(refuse)) == ["1 0", "1 1", "1 2"]
    assert list(shards[6].read(refuse)) == ["one 3\ntwo 3\n", "one 4\ntwo 4\n"]
    lines = make_file_shards(files, "body", "utf-8", by_line=True, chunk_documents=3)
    assert len(lines) == 10
    assert list(lines[5].read(refuse)) == ["one 0", "two 0"]


def test_key_changes_with_names_sizes_and_how_a_file_is_read(folder: Path) -> None:
    files = sorted(folder.glob("*.jsonl"))

    def make_key(column: str = "body", encoding: str = "utf-8") -> str:
        return make_file_shards(files[:1], column, encoding, by_line=False, chunk_documents=3)[0].key

    before = make_key()
    assert len({before, make_key("text"), make_key(encoding="latin-1")}) == 3
    moved = folder / "other"
    moved.mkdir()
    (moved / "0.jsonl").write_bytes(files[0].read_bytes())
    assert make_file_shards([moved / "0.jsonl"], "body", "utf-8", by_line=False, chunk_documents=3)[0].key == before
    files[0].write_text('{"body": "another"}\n')
    assert make_key() != before


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder laid out as a copy of a data set of three files."""
    (tmp_path / "data").mkdir()
    for i in range(3):
        rows = [json.dumps({"id": j, "text": f"{i} {j}"}) for j in range(250)]
        (tmp_path / "data" / f"train-0000{i}-of-00003.jsonl").write_text("\n".join(rows))
    return tmp_path


class _Texts(Dataset[list[str]]):
    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards

    def __getitem__(self, index: int) -> list[str]:
        return [str(text) for text in self.shards[index].read(refuse)]

    def __len__(self) -> int:
        return len(self.shards)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shards_of_a_data_set(hub: Path, num_workers: int) -> None:
    """In a worker, too, a shard is read whole: `datasets` would deal its rows once more."""
    shards = make_hub_shards(str(hub), "train", None, None, "text")
    assert [shard.name for shard in shards] == [f"{hub}, train, shard {i} of 3" for i in (1, 2, 3)]
    assert len({shard.key for shard in shards}) == 3
    loader = DataLoader(_Texts(shards), batch_size=None, num_workers=num_workers)
    assert list(loader) == [[f"{i} {j}" for j in range(250)] for i in range(3)]


def test_parquet_and_its_columns() -> None:
    dataset = str(FIXTURES / "imdb_hub")
    (shard,) = make_hub_shards(dataset, "unsupervised", None, "plain_text", "text")
    assert len(list(shard.read(refuse))) == 8
    with pytest.raises(InputError, match=r"imdb_hub, train has no column 'txt', .*did you mean data.text_column text"):
        make_hub_shards(dataset, "train", None, "plain_text", "txt")
    with pytest.raises(InputError, match=r"data.dataset .*imdb_hub: .*trian"):
        make_hub_shards(dataset, "trian", None, "plain_text", "text")


def test_damage_within_a_shard_names_the_place(hub: Path) -> None:
    path = hub / "data" / "train-00001-of-00003.jsonl"
    path.write_text(path.read_text()[:4000] + '\n{"text": ')
    texts = make_hub_shards(str(hub), "train", None, None, "text")[1].read(refuse)
    with pytest.raises(InputError, match=r"train, shard 2 of 3, after row \d+: can't be read: .*JSON"):
        list(texts)
