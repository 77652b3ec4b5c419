"""A data module that streams: what it takes and refuses, and runs that go on."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.cli.main import main
from lit_mlm.data.reading.sources import Source
from lit_mlm.data.sets.imdb import IMDBDataModule
from lit_mlm.data.sets.text_files import TextFilesDataModule
from lit_mlm.data.show.documents import describe_cache
from lit_mlm.data.streams.shards import deal_shards
from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint
from lit_mlm.text.masking.strategies import WordMasking
from tests.conftest import FIXTURES
from tests.data.streams.streams import write_stream
from tests.ranks import name_rank, run_ranks
from tests.resumed_runs import KEEP, NO_DIFFERENCES, find_differences

Run = Callable[..., Path]


@pytest.fixture
def config(tiny_bert: str, cache_dir: str, tmp_path: Path) -> str:
    """A run of 8 steps, of two batches each, with dropout and validations in its middle and at its end."""
    write_stream(tmp_path, tiny_bert, cache_dir)
    return str(tmp_path / "stream.yaml")


@pytest.fixture
def make_data(config: str, tiny_bert: str, cache_dir: str, tmp_path: Path) -> Callable[..., TextFilesDataModule]:
    files = {"train_files": str(tmp_path / "train*.jsonl"), "val_files": str(tmp_path / "val.jsonl")}
    defaults: dict[str, Any] = {"tokenizer": tiny_bert, "block_size": 16, "batch_size": 4, "cache_dir": cache_dir}
    defaults |= {"chunk_documents": 3, "streaming": True, **files}
    return lambda **options: TextFilesDataModule(**(defaults | options))


# Runs that go on


@pytest.mark.parametrize(
    ("num_workers", "steps"), [(0, ("01", "03", "04-before", "04", "08-before")), (2, ("03", "04-before", "07"))]
)
def test_run_goes_on_bit_for_bit(
    num_workers: int, steps: tuple[str, ...], config: str, run_cli: Run, tmp_path: Path
) -> None:
    args = ("fit", "--config", config, "--data.num_workers", num_workers, *KEEP)
    run_cli(*args, "--run_dir", "whole")
    for step in steps:
        shutil.copytree(tmp_path / "whole-kept" / step, tmp_path / step)
        run_cli(*args, "--run_dir", step)
        assert find_differences(tmp_path / "whole", tmp_path / step) == NO_DIFFERENCES
    progress = read_checkpoint(tmp_path / "whole" / "checkpoints" / "last.ckpt")["progress"]
    assert list(progress["stream_places"][0]) == list(range(max(1, num_workers)))
    assert sum(place[1] for place in progress["stream_places"][0].values()) == 8 * 2 * 4
    assert len(pickle.dumps(progress["stream_places"])) < 500
    figures = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert (figures["last/step"], figures["epoch"]) == (8, 0)


def test_run_that_has_ended_goes_on_to_a_later_end(config: str, run_cli: Run, tmp_path: Path) -> None:
    """Where the learning rate doesn't depend on the end, it is the run that had this end from the start."""
    args = ("fit", "--config", config, "--model.schedule", "constant", "--trainer.max_steps")
    run_cli(*args, 12, "--run_dir", "whole")
    run_cli(*args, 8, "--run_dir", "run")
    run_cli(*args, 12, "--run_dir", "run", "--allow_changes", "true")
    assert find_differences(tmp_path / "whole", tmp_path / "run") == NO_DIFFERENCES


def test_two_processes_go_on_bit_for_bit(config: str, tmp_path: Path) -> None:
    ddp = ("--config", "overlays/ddp.yaml", "--trainer.devices", 2, "--trainer.accumulate_grad_batches", 1)
    args = ["fit", "--config", config, *ddp, "--trainer.accelerator", "cpu", "--trainer.val_check_interval", 4, *KEEP]
    ranks = [name_rank(rank, 2) for rank in range(2)]
    run_ranks(tmp_path, [*args, "--run_dir", "whole"], ranks)
    cursors = read_checkpoint(tmp_path / "whole" / "checkpoints" / "last.ckpt")["progress"]["stream_places"]
    assert [list(rank) for rank in cursors] == [[0], [1]]
    for step in ("03", "04-before"):
        shutil.copytree(tmp_path / "whole-kept" / step, tmp_path / step)
        run_ranks(tmp_path, [*args, "--run_dir", step], ranks)
        assert find_differences(tmp_path / "whole", tmp_path / step) == NO_DIFFERENCES
    one = (
        "fit",
        "--config",
        config,
        "--trainer.accumulate_grad_batches",
        "2",
        "--ckpt_path",
        "03/checkpoints/last.ckpt",
    )
    found = run_ranks(tmp_path, [*one, "--run_dir", "one"], [{}], status=2)
    assert "streaming (devices) 2, not 1" in found


def test_another_order_is_refused_with_both_values(config: str, run_cli: Run, tmp_path: Path) -> None:
    """`allow_changes` would go on with the next epoch, and a stream has none."""
    run_cli("fit", "--config", config, *KEEP, "--run_dir", "whole")
    start = ("--ckpt_path", tmp_path / "whole-kept" / "03" / "checkpoints" / "last.ckpt", "--run_dir", "run")
    for options, message in [
        (("--data.num_workers", 2), r"data.num_workers 0, not 2"),
        (("--data.batch_size", 2, "--trainer.accumulate_grad_batches", 4), r"data.batch_size 4, not 2"),
        (("--data.chunk_documents", 4), r"data.chunk_documents 3, not 4"),
        (("--data.streaming", "false", "--data.chunk_documents", "null"), r"data.streaming True, not False"),
    ]:
        for allowed in ("false", "true"):
            with pytest.raises(InputError, match=rf"made with .*{message}.*a stream has no next epoch"):
                run_cli("fit", "--config", config, *options, *start, "--allow_changes", allowed)
    shutil.copy(tmp_path / "train1.jsonl", tmp_path / "train9.jsonl")
    with pytest.raises(InputError, match=r"data \(training files by their names and sizes\) of the fingerprint"):
        run_cli("fit", "--config", config, *start)


def test_file_may_change_that_a_checkpoint_has_not_read_to_its_end(
    config: str, run_cli: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is the one that would have had the new file from the start; what it has read must not change."""
    args = ("fit", "--config", config, *KEEP)
    run_cli(*args, "--run_dir", "old")
    progress = read_checkpoint(tmp_path / "old-kept" / "03" / "checkpoints" / "last.ckpt")["progress"]
    ((_, _, ((epoch, number, chunk, _, chunk_hash),)),) = progress["stream_places"][0].values()
    assert (epoch, len(chunk_hash)) == (0, 16)
    order = [part.shard for part in deal_shards(3, int(progress["seed"]), epoch, 0, 0, 1)]
    current, others = order[number], order[number + 1 :]
    assert number > 0 or chunk > 0
    texts = {shard: (tmp_path / f"train{shard}.jsonl").read_text() for shard in range(3)}

    def write(shard: int, text: str) -> None:
        (tmp_path / f"train{shard}.jsonl").write_text(text)

    def resume(folder: str) -> None:
        shutil.copytree(tmp_path / "old-kept" / "03", tmp_path / folder)
        run_cli(*args, "--run_dir", folder)

    for shard in (current, *others[:1]):
        write(shard, texts[shard] + '{"text": "one more of the films was long"}\n')
    run_cli(*args, "--run_dir", "whole")
    resume("resumed")
    assert find_differences(tmp_path / "whole", tmp_path / "resumed") == NO_DIFFERENCES
    assert f"changed since the checkpoint, which had not read all of it: {tmp_path}/train" in caplog.text
    write(current, "\n".join(reversed(texts[current].splitlines())) + "\n\n")
    with pytest.raises(InputError, match=rf"train{current}.jsonl: documents .* are not those that the checkpoint has"):
        resume("other")
    for shard in order[:number]:
        write(current, texts[current])
        write(shard, texts[shard] + "\n")
        with pytest.raises(InputError, match=rf"train{shard}.jsonl is not the file that the checkpoint has read"):
            resume(f"read-{shard}")


# What is streamed


def test_batches_are_the_training_text_in_blocks(
    make_data: Any, make_trainer: Any, wordpiece: Any, tmp_path: Path
) -> None:
    data = make_data(special_tokens="block")
    data.trainer = make_trainer(max_steps=40)
    data.setup("fit")
    expected = set()
    for path in tmp_path.glob("train*"):
        ids = [
            wordpiece(json.loads(x)["text"], add_special_tokens=False)["input_ids"]
            for x in path.read_text().splitlines()
        ]
        for start in range(0, len(ids), 3):
            flat = [i for document in ids[start : start + 3] for i in document]
            expected |= {tuple(flat[i : i + 14]) for i in range(0, len(flat), 14)}
    found = []
    for batch in data.train_dataloader():
        originals = batch["input_ids"].where(batch["labels"] == IGNORE_INDEX, batch["labels"])
        for row, is_token in zip(originals, batch["attention_mask"], strict=True):
            ids = row[is_token == 1].tolist()
            assert (ids[0], ids[-1]) == (wordpiece.cls_token_id, wordpiece.sep_token_id)
            found.append(tuple(ids[1:-1]))
    assert len(found) == 160
    assert set(found) == expected


def test_sources_are_streamed_by_their_weights(
    make_data: Any, make_trainer: Any, tiny_bert: str, cache_dir: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lines.txt").write_text("the film was long\n" * 5)
    sources = {
        "films": Source(files=str(tmp_path / "train*.jsonl"), weight=3),
        "other": Source(files=str(tmp_path / "other"), document_per="line"),
    }
    data = make_data(train_files=None, sources=sources, block_policy="document", mask_prob=0.5)
    data.trainer = make_trainer(max_steps=100)
    data.setup("fit")
    assert data.describe().endswith("streamed: 4 shards, chunks of 3 documents, mixed: films 75.0%, other 25.0%")
    line = data.tokenizer("the film was long")["input_ids"]
    rows = []
    for batch in data.train_dataloader():
        originals = batch["input_ids"].where(batch["labels"] == IGNORE_INDEX, batch["labels"])
        rows += [
            tuple(labels.tolist())
            for ids, labels in zip(originals, batch["labels"], strict=True)
            if ids[: len(line)].tolist() == line
        ]
    assert 70 <= len(rows) <= 130  # of 400, within 3.5 deviations of 100
    assert len(set(rows)) > 10  # the five lines come again and again, each time with other masks


def test_a_source_that_is_streamed_names_itself(make_data: Any, make_trainer: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n')
    data = make_data(train_files=None, sources={"bad": Source(files=str(tmp_path / "empty.jsonl"))})
    data.trainer = make_trainer(max_steps=1)
    with pytest.raises(InputError, match=r"empty.jsonl, line 2: no column 'text'"):
        data.setup("fit")
    source = Source(dataset=str(FIXTURES / "imdb_hub"), subset="plain_text", text_column="body")
    with pytest.raises(InputError, match=r"^data.sources.worse: .*imdb_hub, train has no column 'body'"):
        make_data(train_files=None, sources={"worse": source}).setup("fit")


def test_description_and_figures(make_data: Any, make_trainer: Any) -> None:
    data = make_data()
    data.setup("fit")
    assert data.describe().endswith("val blocks of 16 (concatenate), train streamed: 3 shards, chunks of 3 documents")
    assert data.sequence_length == 16
    assert data.describe_split("val")["num_blocks"] == len(data.examples["val"])
    assert next(iter(describe_cache(data))).startswith("train: streamed: 3 shards")
    assert data.stream.cursors == {}


def test_fingerprint_is_of_names_sizes_and_options(make_data: Any, tmp_path: Path) -> None:
    def find(**options: Any) -> str:
        data = make_data(**options)
        data.setup("fit")
        return str(data.fingerprint)

    before = find()
    assert before == find(batch_size=2, num_workers=1, skip_bad=True)
    options: list[dict[str, Any]] = [
        {"chunk_documents": 4},
        {"encoding": "latin-1"},
        {"block_size": 8},
        {"mask_prob": 0.2},
    ]
    assert len({before, *(find(**option) for option in options)}) == 5
    (tmp_path / "train0.jsonl").rename(tmp_path / "train9.jsonl")
    assert find() != before


def test_data_set_on_the_hub(tiny_bert: str, cache_dir: str, make_trainer: Any) -> None:
    """Of one shard, which two workers share."""
    options: dict[str, Any] = {"dataset": str(FIXTURES / "imdb_hub"), "subset": "plain_text", "val_split": "test"}
    data = TextFilesDataModule(
        streaming=True,
        tokenizer=tiny_bert,
        block_size=16,
        chunk_documents=5,
        num_workers=2,
        cache_dir=cache_dir,
        **options,
    )
    data.trainer = make_trainer(max_steps=6)
    data.setup("fit")
    loader = data.train_dataloader()
    assert [batch["input_ids"].shape for batch in loader] == [(32, 16)] * 6
    assert "1 shard," in data.describe()


def test_schedule_of_masks_ends_with_the_steps(make_data: Any, make_trainer: Any) -> None:
    data = make_data(mask_schedule="steps", train_mask_probs=[0.1, 1.0])
    data.trainer = make_trainer(max_steps=6, accumulate_grad_batches=2)
    data.setup("fit")
    shares = [float((b["labels"] != IGNORE_INDEX).sum() / b["attention_mask"].sum()) for b in data.train_dataloader()]
    assert len(shares) == 12
    assert max(shares[:6]) < 0.5 < min(shares[6:])
    assert data.order_options["mask_schedule (batches)"] == 12


# Commands beside fit


def test_show_audit_and_prepare(config: str, run_cli: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli("show", "--config", config, "--num_examples", 1, "--compare_maskings", "true")
    shown = capsys.readouterr().out
    assert "train, chunk 0 of " in shown
    assert "train0.jsonl: 3 documents, " in shown
    assert "block 0, WordMasking" in shown
    with pytest.raises(InputError, match=r"--indices 3: the train split has 3 documents"):
        run_cli("show", "--config", config, "--indices", 3)
    run_cli("prepare", "--config", config)
    assert "train: streamed: 3 shards, chunks of 3 documents, tokenised in the run" in capsys.readouterr().out
    with pytest.raises(
        InputError, match=r"data.streaming: the training text is never read as a whole; use another split"
    ):
        run_cli("audit", "--config", config)
    run_cli("audit", "--config", config, "--splits", "val")
    assert "val" in capsys.readouterr().out


# Mistakes


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_line_ends_a_run_with_one_line_and_may_be_left_out_then(
    num_workers: int, config: str, run_cli: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The run that goes on is the one that would have left it out from the start."""
    path = tmp_path / "train2.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    args = ["fit", "--config", config, "--data.num_workers", str(num_workers), "--save_every_n_steps", "1"]
    with pytest.raises(SystemExit) as found:
        main([*args, "--run_dir", "run"])
    error = capfd.readouterr().err
    assert found.value.code == 2
    assert f"error: {path}, line 7: not a JSON object" in error
    assert "Traceback" not in error
    assert 0 < read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] < 8
    run_cli(*args, "--data.skip_bad", "true", "--run_dir", "whole")
    run_cli(*args, "--data.skip_bad", "true", "--run_dir", "run", "--allow_changes", "true")
    assert find_differences(tmp_path / "whole", tmp_path / "run") == NO_DIFFERENCES


@pytest.mark.parametrize("num_workers", [0, 2])
def test_run_that_stopped_at_a_damaged_file_resumes_once_it_is_repaired(
    num_workers: int, config: str, run_cli: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    args = ["fit", "--config", config, "--data.num_workers", str(num_workers), "--save_every_n_steps", "1"]
    path = tmp_path / "train2.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-20])  # within its last line
    with pytest.raises(SystemExit):
        main([*args, "--run_dir", "run"])
    assert f"error: {path}, line 6: not a JSON object" in capfd.readouterr().err
    assert 0 < read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] < 8
    path.write_bytes(content)
    run_cli(*args, "--run_dir", "run")
    run_cli(*args, "--run_dir", "whole")
    assert find_differences(tmp_path / "whole", tmp_path / "run") == NO_DIFFERENCES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_files": None}, r"needs separate validation text: give data.val_files; data.val_fraction would"),
        ({"test_fraction": 0.1}, "data.test_fraction needs the whole training text"),
        ({"tokenizer": None, "vocab_size": 200}, "data.vocab_size 200 trains a tokenizer on the whole text"),
        ({"num_new_words": 3}, "data.num_new_words 3 counts the words of the whole text"),
        ({"num_train_blocks": 3}, "data.num_train_blocks 3 samples all blocks; give trainer.max_steps"),
        ({"map_batch_size": 3}, "data.map_batch_size 3 cuts the text as a whole"),
        ({"val_source": "train_blocks", "num_val_blocks": 3, "val_files": None}, "train_blocks holds out blocks of"),
        ({"chunk_documents": 0}, "data.chunk_documents must be at least 1"),
    ],
)
def test_options_that_need_the_whole_text_are_refused(make_data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_data(**options)


def test_options_of_streaming_alone() -> None:
    with pytest.raises(InputError, match=r"data.chunk_documents \(5\) has no effect without data.streaming true"):
        TextFilesDataModule(train_files="a", chunk_documents=5)
    with pytest.raises(InputError, match=r"give data.val_split"):
        TextFilesDataModule(dataset="a", streaming=True)
    with pytest.raises(TypeError, match="streaming"):
        IMDBDataModule(data_dir="a", streaming=True)


def test_an_end_and_one_epoch(make_data: Any, make_trainer: Any) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"max_epochs": 2}, "a stream has no end; give trainer.max_steps"),
        ({"max_steps": 6, "limit_train_batches": 4}, "trainer.limit_train_batches 4 would end the only epoch"),
        ({"max_steps": 6, "limit_train_batches": 0.5}, "trainer.limit_train_batches 0.5 would end the only epoch"),
    ]
    for options, message in cases:
        data = make_data()
        data.trainer = make_trainer(**options)
        with pytest.raises(InputError, match=message):
            data.setup("fit")


def test_loader_needs_the_end(make_data: Any) -> None:
    data = make_data()
    data.setup("fit")
    with pytest.raises(InputError, match=r"data.streaming needs a trainer"):
        data.train_dataloader()


def test_workers_may_be_started_afresh(make_data: Any, make_trainer: Any) -> None:
    """As where they are no forks of this process."""
    data = make_data(masking=WordMasking())
    data.trainer = make_trainer(max_steps=5)
    data.setup("fit")
    order, blocks = (getattr(data.train_dataloader(), name) for name in ("sampler", "dataset"))
    again = pickle.loads(pickle.dumps(blocks))
    for key in order:
        one, two = blocks[key], again[key]
        assert one.cursor == two.cursor
        assert all(one.tensors[name].equal(two.tensors[name]) for name in one.tensors)


def test_text_is_looked_for_before_the_training(make_data: Any, tmp_path: Path) -> None:
    (tmp_path / "train0.jsonl").write_text('{"body": "a"}\n')
    with pytest.raises(InputError, match=r"train0.jsonl, line 1: no column 'text'"):
        make_data().setup("fit")
    for path in tmp_path.glob("train*"):
        path.write_text("\n")
    with pytest.raises(InputError, match=r"data.streaming: .*train0.jsonl and 2 more: no block to train on"):
        make_data(skip_bad=True).setup("fit")
