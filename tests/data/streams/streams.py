"""Streams for tests: a run on reviews; and a corpus of numbers, where a token tells its document and its place."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.reading.files import OnBad
from lit_mlm.data.streams.chunks import Chunk
from lit_mlm.data.streams.dataset import StreamedBlocks
from lit_mlm.data.streams.sampler import StreamedBatch, StreamSampler
from lit_mlm.data.streams.shards import Shard, StreamSource, WorkerCursor
from lit_mlm.text.blocks import cut_blocks
from lit_mlm.text.masking.masking import Masking
from lit_mlm.text.special_tokens import SpecialTokens
from tests.conftest import read_reviews

BLOCK, CHUNK, SEED, VOCABULARY = 4, 3, 11, 20_000


def make_source(number: int, sizes: Sequence[int], weight: float = 1.0) -> StreamSource:
    """A source whose shards have so many documents; a document is a number."""

    def read(shard: int, on_bad: OnBad) -> Iterator[str]:
        return (str((number * 10 + shard) * 30 + document) for document in range(sizes[shard]))

    return StreamSource([Shard(f"{number}/{i}", "", partial(read, i)) for i in range(len(sizes))], weight)


def tokenize(text: str) -> list[int]:
    """Three to six tokens of its own for each document."""
    number = int(text)
    return [number * 6 + i for i in range(3 + number % 4)]


def cut(texts: Sequence[str]) -> Chunk:
    ids = [tokenize(text) for text in texts]
    lengths = np.array([len(document) for document in ids], dtype=np.int64)
    flat = np.array([i for document in ids for i in document], dtype=np.int32)
    return Chunk(list(texts), flat, lengths, cut_blocks(lengths, BLOCK), flat % 2 == 0)


def make_stream(*sources: StreamSource, num_workers: int = 1, **options: Any) -> StreamedBlocks:
    masking = Masking(VOCABULARY, np.append(np.ones(VOCABULARY, np.bool_), False), mask_prob=0.5)
    make_blocks = partial(MaskedBlocks, special_tokens=SpecialTokens([], []), masking=masking, seed=SEED, pad_id=0)
    defaults: dict[str, Any] = {"chunk_documents": CHUNK, "cut": cut, "make_blocks": make_blocks, "seed": SEED}
    return StreamedBlocks(sources, **{**defaults, "batch_size": 5, "num_workers": num_workers, **options})


def run_rank(
    sources: Sequence[StreamSource],
    rank: int,
    num_ranks: int,
    num_workers: int,
    num_batches: int,
    start: int = 0,
    cursors: Mapping[int, WorkerCursor] | None = None,
    **options: Any,
) -> list[StreamedBatch]:
    """The batches of a rank, its workers one after the other in this process."""
    order = StreamSampler(num_batches, num_workers, rank, num_ranks, lambda: start, lambda: cursors or {})
    num = order.num_workers
    streams = [make_stream(*sources, num_workers=num * num_ranks, **options) for _ in range(num)]
    # torch deals what a sampler gives to its workers in turn, whatever number a run goes on with.
    found = [streams[i % num][key] for i, key in enumerate(order)]
    return [batch for batch in found if isinstance(batch, StreamedBatch)]


def read_rows(tensors: Mapping[str, Any]) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Each example of a batch without its padding: the block, the ids that the model reads, and the labels."""
    rows = []
    for masked, labels, is_token in zip(*(tensors[n] for n in ("input_ids", "labels", "attention_mask")), strict=True):
        ids, scored = masked[is_token == 1].tolist(), labels[is_token == 1].tolist()
        block = (i if label == IGNORE_INDEX else label for i, label in zip(ids, scored, strict=True))
        rows.append((tuple(block), tuple(ids), tuple(scored)))
    return rows


def write_stream(folder: Path, model: str, cache_dir: str) -> None:
    """Three files of reviews to train on, one to validate on, and ``stream.yaml``.

    That is a run of 8 steps, of two batches each, with validations in its middle and at its end.
    """
    folder.mkdir(exist_ok=True)
    reviews = read_reviews()
    for name, texts in {**{f"train{i}": reviews[i:-4:3] for i in range(3)}, "val": reviews[-4:]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    files = {"train_files": str(folder / "train*.jsonl"), "val_files": str(folder / "val.jsonl")}
    options = {"streaming": True, "chunk_documents": 3, "block_size": 16, "batch_size": 4, "cache_dir": cache_dir}
    steps = {"max_steps": 8, "accumulate_grad_batches": 2, "val_check_interval": 8}
    content = {
        "model": {"class_path": "MaskedLM", "init_args": {"model": model, "lr": 3e-3}},
        "data": {"class_path": "TextFilesDataModule", "init_args": files | options},
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, **steps},
    }
    (folder / "stream.yaml").write_text(yaml.safe_dump(content))
