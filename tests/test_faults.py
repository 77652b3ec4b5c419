"""The fault suite can fail, and what it checks by is right; its rows are run by `make faults`."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lit_mlm.callbacks.stop_on_signal import handle_signals
from tests.faults import __main__ as suite
from tests.faults import caches, damage, disks, kills, launchers, ranks, refusals, signals
from tests.faults.bad_inputs import BAD_INPUTS
from tests.faults.rank_deaths import DEATHS
from tests.faults.runs import Lab, find_error, find_orphans, is_equal
from tests.faults.table import Fault, Skipped, print_table, run_faults, time_rows


def fail() -> str:
    raise AssertionError("exit status 0")


def skip() -> str:
    raise Skipped("no mount")


GOOD, BAD = Fault("good fault", "an error", lambda: "an | error"), Fault("bad fault", "an error", fail)


def test_table_fails_with_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    skipped = Fault("skipped fault", "an error", skip)
    assert print_table(run_faults([GOOD, skipped, GOOD])) == 0
    assert print_table(run_faults([GOOD, BAD, GOOD])) == 1
    assert print_table(run_faults([])) == 2
    printed = capsys.readouterr().out
    assert printed.count("| good fault | an error | an / error | 0 | ok |") == 4
    assert "| skipped fault | an error | skipped: no mount | 0 | skipped |" in printed
    assert "| bad fault | an error | AssertionError: exit status 0 | 0 | FAILED |" in printed
    assert "3 faults in 0 s: 2 ok, 0 skipped, 1 FAILED" in printed


def test_a_word_picks_rows_in_their_order() -> None:
    assert [row.injected for row in run_faults([GOOD, BAD, GOOD], "GOOD", num_jobs=2)] == ["good fault"] * 2
    assert [row.state for row in run_faults([GOOD, BAD, GOOD], num_jobs=3)] == ["ok", "FAILED", "ok"]


def test_other_tables_can_fail() -> None:
    rows = [("a", "b", "c", True), ("a", "b", "d", False)]
    assert [row.state for row in time_rows(rows)] == ["ok", "FAILED"]


def test_suite_ends_with_the_status_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "Lab", lambda folder: folder)
    monkeypatch.setattr(suite, "TABLES", ())
    for faults, status in (([GOOD], 0), ([GOOD, BAD], 1)):
        monkeypatch.setattr(suite, "make_faults", lambda lab, faults=faults: iter(faults))
        assert suite.main([]) == status
        assert suite.main(["--only", "good"]) == 0
        assert suite.main(["--only", "nosuch"]) == 2


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


def test_every_row_is_there(lab: Lab) -> None:
    faults = list(suite.make_faults(lab))
    names = [fault.injected for fault in faults]
    assert len(set(names)) == len(names)
    parts = {
        part: len(list(part.make_faults(lab)))
        for part in (kills, signals, launchers, disks, caches, damage, ranks, refusals)
    }
    assert sum(parts.values()) == len(faults)
    assert min(parts.values()) > 0
    assert parts[ranks] == 2 + len(DEATHS)
    assert parts[refusals] > len(BAD_INPUTS)
    assert all(callable(fault.check) and fault.expected for fault in faults)


@pytest.mark.parametrize("name", [damage.truncate, damage.empty, damage.flip_bit])
def test_damage_damages(name: damage.Damage, lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(range(256)))
    name(lab, path)
    assert path.read_bytes() != bytes(range(256))


def test_comparison_sees_a_bit() -> None:
    ours = {"a": [torch.ones(2), {"b": 1}]}
    assert is_equal(ours, {"a": [torch.ones(2), {"b": 1}]})
    for other in (
        {"a": [torch.tensor([1, 1 + 2**-23]), {"b": 1}]},
        {"a": [torch.ones(2), {"b": 2}]},
        {"a": [torch.ones(2)]},
        {"a": [torch.ones(2), {"b": 1, "c": 1}]},
    ):
        assert not is_equal(ours, other)


def test_orphans_and_errors_are_found(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert find_orphans(tmp_path) == []
    (tmp_path / "checkpoints" / ".last.ckpt.unfinished").touch()
    assert find_orphans(tmp_path) == ["checkpoints/.last.ckpt.unfinished"]
    assert find_error("warning\nerror: a;\nb\n") == "error: a;\nb"
    for log in ("", "error: a\nerror: b", "Traceback\nerror: a"):
        with pytest.raises(AssertionError):
            find_error(log)


@pytest.fixture
def handlers() -> Iterator[None]:
    with handle_signals():
        yield


def test_signal_ends_a_process_whatever_stands_in_its_place() -> None:
    """`datasets` raises a TimeoutError of its own where the exit passes through its pool."""

    def stop_in_pool() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("a pool")

    with pytest.raises(SystemExit) as stop, handle_signals():
        stop_in_pool()
    assert stop.value.code == 143
    with pytest.raises(RuntimeError, match="no signal"), handle_signals():
        raise RuntimeError("no signal")


def test_forked_process_dies_of_a_signal(handlers: None) -> None:
    """One that raised `SystemExit` would hang in what it shares with others."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"1")  # one that comes within the fork is lost
            while True:
                time.sleep(0.01)
        finally:
            os._exit(1)
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
