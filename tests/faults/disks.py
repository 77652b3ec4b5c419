"""Disks that are full or read-only."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.runs import SHORT, Lab, Run, find_error, find_orphans, read_step
from tests.faults.table import Fault, Skipped


def make_faults(lab: Lab) -> Iterator[Fault]:
    intact = "exit status 2, one error, the old checkpoint intact; goes on after it is mended, equal bit for bit"
    yield Fault("files limited to half a checkpoint (RLIMIT_FSIZE) in training", intact, lambda: limit_files(lab))
    yield Fault("disk full (tmpfs) in training", intact, lambda: fill_disk(lab))
    yield Fault("checkpoints immutable (chattr +i) in training", intact, lambda: freeze_folder(lab))
    refused = "exit status 2 before the first step, the error names the folder, nothing is written"
    yield Fault("disk too small (tmpfs) at the start", refused, lambda: start_on_small_disk(lab))
    yield Fault("run folder read-only (mount) at the start", refused, lambda: start_read_only(lab))
    yield Fault("run folder immutable (chattr +i) at the start", refused, lambda: start_immutable(lab))
    yield Fault("checkpoints immutable (chattr +i) of a run that goes on", refused, lambda: go_on_immutable(lab))


def limit_files(lab: Lab) -> str:
    process = lab.start(lab.folder / "limited", *lab.args(*SHORT))
    process.wait_for_saves(5)
    size = (process.folder / "checkpoints" / "last.ckpt").stat().st_size // 2
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, size))
    return fail_save(process) + finish(lab, process)


def fill_disk(lab: Lab) -> str:
    with mount(lab.folder / "small", 8 * 2**20) as disk:
        process = lab.start(disk / "run", *lab.args(*SHORT))
        process.wait_for_saves(5)
        ballast = disk / "ballast"
        fill(ballast)
        happened = fail_save(process)
        ballast.unlink()
        return happened + finish(lab, process)


def freeze_folder(lab: Lab) -> str:
    process = lab.start(lab.folder / "frozen", *lab.args(*SHORT))
    process.wait_for_saves(5)
    with immutable(process.folder / "checkpoints"):
        happened = fail_save(process, is_frozen=True)
    return happened + finish(lab, process)


def fail_save(process: Run, is_frozen: bool = False) -> str:
    """Waits for the end of a run that can't save any more.

    Args:
        process: of the run.
        is_frozen: whether nothing can be removed from its folder: what was half-written then goes when the run goes on.
    """
    error = find_error(process.end(2))
    last = process.folder / "checkpoints" / "last.ckpt"
    assert error.startswith(f"error: the checkpoint {last} can't be written; the existing one is intact: "), error
    assert is_frozen or not find_orphans(process.folder), find_orphans(process.folder)
    assert read_step(process.folder) >= 5
    return f"{error.replace(str(process.folder), '...')[:230]} (step {read_step(process.folder)} is there)"


def finish(lab: Lab, process: Run) -> str:
    lab.finish(process.folder, *SHORT)
    return "; went on, all is equal"


def start_on_small_disk(lab: Lab) -> str:
    with mount(lab.folder / "tiny", 2**19) as disk:
        return refuse(lab, disk / "run")


def start_read_only(lab: Lab) -> str:
    with mount(lab.folder / "fixed", 2**20) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        return refuse(lab, disk / "run")


def start_immutable(lab: Lab) -> str:
    folder = lab.folder / "immutable"
    folder.mkdir()
    with immutable(folder):
        return refuse(lab, folder)


def go_on_immutable(lab: Lab) -> str:
    process = lab.start(lab.folder / "immutable-later", *lab.args(*SHORT))
    process.wait_for_saves(5)
    process.process.kill()
    process.process.wait()
    with immutable(process.folder / "checkpoints"):
        error = refuse(lab, process.folder)
    return error + finish(lab, process)


def refuse(lab: Lab, run: Path) -> str:
    """Starts a run that must be refused; its folder must stay as it is."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    log = lab.start(run, *lab.args(*SHORT)).end(2)
    error = find_error(log)
    assert str(run) in error, error
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    before = {path: changed for path, changed in before.items() if path.name != ".lock"}
    assert set(after) == set(before), f"written: {sorted(str(path) for path in set(after) ^ set(before))}"
    return error.replace(str(lab.folder), "...")


@contextmanager
def mount(folder: Path, num_bytes: int) -> Iterator[Path]:
    """A small disk in memory."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        raise Skipped("no mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def immutable(folder: Path) -> Iterator[None]:
    """Takes from everybody, root too, the right to change a folder."""
    tool = shutil.which("chattr")
    made = None if tool is None else subprocess.run([tool, "+i", str(folder)], capture_output=True, check=False)
    if tool is None or made is None or made.returncode:
        raise Skipped("no chattr")
    try:
        yield
    finally:
        subprocess.run([tool, "-i", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes a file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            os.fsync(file.fileno())
