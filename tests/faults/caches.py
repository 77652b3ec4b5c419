"""Runs that end while they write texts and tokens into the cache, and caches that are damaged."""

import json
import resource
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

from tests.conftest import read_reviews
from tests.faults.damage import DAMAGES, Damage
from tests.faults.disks import mount
from tests.faults.runs import Lab, Run, find_error
from tests.faults.table import Fault

NUM_COPIES = 2000
"""Of each review: 3 MiB of text, so that there is time to interrupt."""


def make_faults(lab: Lab) -> Iterator[Fault]:
    mended = "what is half-written is gone; the same command ends with the cache of an uninterrupted run"
    for part in ("texts", "tokens"):
        yield Fault(f"SIGKILL while {part} are written into the cache", mended, partial(kill, lab, part))
        refused = f"exit status 2, one error that names the folder; {mended}"
        yield Fault(f"files limited (RLIMIT_FSIZE) below the {part} of the cache", refused, partial(limit, lab, part))
    yield Fault("cache on a disk that is too small (tmpfs)", refused, lambda: fill_disk(lab))
    told = "it is named, the cache is made anew, and the metrics are equal"
    for name, damage in {**DAMAGES, "with other numbers": change_numbers}.items():
        for file in ("input_ids", "document_bytes", "tokenizer.json"):
            yield Fault(f"cached {file} {name}", told, partial(damage_file, lab, damage, file))


def kill(lab: Lab, part: str) -> str:
    cache = lab.folder / f"cache-killed-{part}"
    run = start(lab, cache)
    run.wait(lambda: list_unfinished(cache / part))
    run.process.kill()
    run.end(-signal.SIGKILL)
    left = [path.name for path in list_unfinished(cache / part)]
    assert left, "nothing was left: the signal came too late"
    return f"left {', '.join(left)}; {finish(lab, cache)}"


def limit(lab: Lab, part: str) -> str:
    cache = lab.folder / f"cache-limited-{part}"
    whole = make_whole(lab)
    size = max(path.stat().st_size for path in (whole / part).rglob("*")) // 2
    if part == "tokens":  # the texts are there
        shutil.copytree(whole / "texts", cache / "texts")
    run = start(lab, cache)
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (size, size))
    return f"{refuse(run, cache / part)}; {finish(lab, cache)}"


def fill_disk(lab: Lab) -> str:
    with mount(lab.folder / "cache-small", 2**20) as cache:
        return refuse(start(lab, cache), cache / "texts")


def damage_file(lab: Lab, damage: Damage, name: str) -> str:
    """Damages a file of a cache, and gives the command again."""
    whole = lab.make_once("trained", lambda folder: train(lab, folder).end(0))
    folder = lab.folder / f"damaged-{damage.__name__}-{name}"
    shutil.copytree(whole / "cache", folder / "cache")
    damaged = next(folder.rglob(name))
    damage(lab, damaged)
    log = train(lab, folder).end(0)
    assert log.count(f"the cache {damaged.parent} is damaged") == 1, log
    assert read_cache(folder / "cache") == read_cache(whole / "cache")
    ours, theirs = (json.loads((each / "run" / "metrics.json").read_text()) for each in (folder, whole))
    assert ours == theirs
    return f"it was named, the cache is equal, start/val/perplexity {ours['start/val/perplexity']:.4f} both times"


def change_numbers(lab: Lab, path: Path) -> None:
    """Leaves the file as long as it was, and readable."""
    content = path.read_bytes()
    if path.suffix == ".json":
        path.write_bytes(content.replace(b'"##e"', b'"##%"'))
    else:
        path.write_bytes(bytes.fromhex("00ca9a3b") + content[4:])  # 1,000,000,000


def train(lab: Lab, folder: Path) -> Run:
    """One step of a small net from scratch with a tokenizer of its own; everything lies in the folder."""
    folder.mkdir(exist_ok=True)
    text = lab.make_once("few", lambda few: write_text(few, 20)) / "reviews.txt"
    data = ("--data", "TextFilesDataModule", "--data.train_files", str(text), "--data.document_per", "line")
    size = ("--data.vocab_size", "150", "--data.block_size", "32", "--trainer.max_steps", "1")
    rest = (
        "--model.num_warmup_steps",
        "0",
        "--trainer.enable_progress_bar",
        "false",
        "--data.cache_dir",
        str(folder / "cache"),
    )
    return lab.start(folder / "run", "--config", "quickstart.yaml", *data, *size, *rest)


def refuse(run: Run, folder: Path) -> str:
    """Waits for the end of a run that can't write its cache."""
    error = find_error(run.end(2))
    assert error.startswith(f"error: can't write to the cache {folder}"), error
    assert not list_unfinished(folder)
    return error.replace(str(folder.parent), "...")


def finish(lab: Lab, cache: Path) -> str:
    """Gives the command again."""
    start(lab, cache).end(0)
    assert not [*list_unfinished(cache / "texts"), *list_unfinished(cache / "tokens")]
    assert read_cache(cache) == read_cache(make_whole(lab))
    return "went on, the cache is equal"


def make_whole(lab: Lab) -> Path:
    return lab.make_once("cache-whole", lambda cache: start(lab, cache).end(0))


def start(lab: Lab, cache: Path) -> Run:
    """One step on much text."""
    text = lab.make_once("many", write_text) / "reviews.txt"
    model = ("--config", "imdb.yaml", "--config", "overlays/cpu.yaml", "--model.model", lab.get_model())
    data = ("--data", "TextFilesDataModule", "--data.train_files", str(text), "--data.document_per", "line")
    size = ("--data.block_size", "32", "--data.num_train_blocks", "20", "--data.num_val_blocks", "20")
    rest = ("--trainer.max_steps", "1", "--trainer.enable_progress_bar", "false", "--data.cache_dir", str(cache))
    return lab.start(lab.folder / f"run-{uuid4().hex}", *model, *data, *size, *rest)


def write_text(folder: Path, num_copies: int = NUM_COPIES) -> None:
    folder.mkdir()
    lines = [f"{i} {' '.join(text.split())}" for i in range(num_copies) for text in read_reviews()]
    (folder / "reviews.txt").write_text("\n".join(lines))


def list_unfinished(folder: Path) -> list[Path]:
    """The files that are being written, and hold something."""
    found = [*folder.glob(".*.unfinished"), *folder.glob(".*.unfinished/*")]
    return [path for path in found if path.is_file() and path.stat().st_size]


def read_cache(cache: Path) -> dict[str, set[tuple[str, int, bytes]]]:
    """The files of texts, tokens and tokenizers: name, size and content."""
    return {
        part: {
            (str(path.relative_to(cache)), path.stat().st_size, path.read_bytes())
            for path in (cache / part).rglob("*")
            if path.is_file() and not path.name.endswith(".lock")
        }
        for part in ("texts", "tokens", "tokenizers")
    }
