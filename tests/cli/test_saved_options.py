"""User errors that are found before torch is imported: the same as after it, or left to the check after it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.cli.configs import find_configs, list_experiments
from lit_mlm.cli.option_checker import OptionChecker
from lit_mlm.cli.save_options import save_options
from lit_mlm.cli.saved_options import SavedOptions, check_early, check_saved, find_file, read_options
from lit_mlm.cli.signatures import UnsureError
from lit_mlm.cli.trust import Trust
from lit_mlm.errors import InputError
from tests import test_errors
from tests.cli import test_option_checker
from tests.cli.test_option_checker import Check, check, parser

__all__ = ["check", "parser"]  # fixtures

CODE = """
import sys
from lit_mlm.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("with torch" if "torch" in sys.modules else "without torch")
"""

UNNUMBERED = '{"sources": [], "classes": [], "options": {}, "flags": [], "names": {}, "paths": {"a.B": 3}}'
"""Options of a class that is not among them."""

TYPO = ("fit", "--config", "imdb.yaml", "--data.batch_sizes", "3")


def list_commands(test: Any) -> list[str]:
    """The command lines of a parametrized test."""
    return [case if isinstance(case, str) else case[0] for case in test.pytestmark[0].args[1]]


def try_out(function: Callable[..., None], *args: Any) -> str:
    """The message of a check, or what else it ends with."""
    try:
        function(*args)
    except InputError as error:
        return str(error)
    except UnsureError:
        return "unsure"
    except Exception as error:
        return repr(error)  # of code of the user's own
    return "right"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """What two commands with the same typo print, each in a process of its own; the first one saves the options."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    command = [sys.executable, "-c", CODE, *TYPO]
    found = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2)]
    return [(process.stdout.strip(), process.stderr.strip()) for process in found]


@pytest.fixture(scope="module")
def saved(runs: list[tuple[str, str]]) -> SavedOptions:
    """The options that the first command has saved."""
    options = read_options("fit")
    assert options is not None
    return options


def test_typo_is_told_without_torch(runs: list[tuple[str, str]]) -> None:
    assert [out for out, _ in runs] == ["with torch", "without torch"]
    assert runs[0][1] == runs[1][1] == "error: there is no option --data.batch_sizes; did you mean --data.batch_size?"


def test_messages_are_those_of_the_check_after_it(saved: SavedOptions, check: Check) -> None:
    for name, text in test_errors.YAML.items():
        Path(name).write_bytes(text.encode("latin-1"))
    tests = (test_option_checker.test_what_is_right, test_option_checker.test_what_is_wrong)
    commands = [*map(list_commands, (*tests, test_errors.test_mistakes_are_told_in_a_few_lines))]
    commands[2] = [f"--config imdb.yaml {command}" for command in commands[2]]
    unsure = []
    for command in [command for part in commands for command in part]:
        early = try_out(lambda command: check_saved(find_configs(["fit", *command.split()]), saved), command)
        if early == "unsure":
            unsure.append(command)
        else:
            assert early == try_out(check, command), command
    assert len(unsure) < 0.3 * sum(map(len, commands)), unsure


@pytest.mark.parametrize("config", list_experiments())
def test_configs_are_decided(config: str, saved: SavedOptions) -> None:
    assert try_out(check_saved, find_configs(["fit", "--config", config]), saved).startswith(("right", "missing: "))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"sources": []}', "{", UNNUMBERED])
def test_damaged_file_is_not_used(content: str, saved: SavedOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_file("fit").read_text()
    find_file("fit").write_text(content)
    assert read_options("fit") is None
    find_file("fit").write_text(before)
    assert read_options("fit") is not None


def test_options_of_changed_files_are_not_used(saved: SavedOptions) -> None:
    before = find_file("fit").read_text()
    content = json.loads(before)
    assert {Path(path).name for path, *_ in content["sources"]} > {"trainer.py", "masked_lm.py", "site-packages"}
    content["sources"][5][1] += 1
    find_file("fit").write_text(json.dumps(content))
    assert read_options("fit") is None
    find_file("fit").write_text(before)


def test_a_home_is_not_needed(saved: SavedOptions, monkeypatch: pytest.MonkeyPatch, parser: Any) -> None:
    """As in a container that runs as a user of a number alone."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert read_options("fit") is None
    save_options("fit", OptionChecker(parser, Trust((), frozenset())))


def test_options_of_another_search_path_are_not_used(saved: SavedOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have another version of a package."""
    assert read_options("fit") is not None
    monkeypatch.setenv("PYTHONPATH", "packages")
    assert read_options("fit") is None


def test_nothing_is_checked_early_where_torch_is_imported() -> None:
    assert check_early(TYPO)
