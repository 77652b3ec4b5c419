"""What the README says runs."""

import importlib
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_mlm.cli.table import OTHER_COMMANDS
from tests.conftest import FIXTURES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def find_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in find_blocks("bash") for line in block.splitlines()]


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python -m lit_mlm")])
def test_commands_parse(command: str, run_cli: Callable[..., Path], tmp_path: Path) -> None:
    _, _, _, name, *args = shlex.split(command)
    if name in OTHER_COMMANDS:
        _, args = importlib.import_module(OTHER_COMMANDS[name][0]).make_parser().parse_known_args(args)
        assert not args
        return
    for folder, config in re.findall(r"(runs/([\w-]+)/version_0)", command):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "configs" / f"{config}.yaml", tmp_path / folder / "config.yaml")
    with pytest.raises(SystemExit) as stop:
        run_cli(name, *args, "--print_config")
    assert stop.value.code == 0


def test_chinese_quick_start_runs(
    tmp_path: Path, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands as they stand, but for fewer epochs; the model learns what the weather goes with."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    fit, fill, show = (
        shlex.split(line)[3:] for line in COMMANDS if "chinese/demo" in line or "show --config ch" in line
    )
    run_cli(*fit, "--trainer.max_epochs", 10, "--data.cache_dir", "cache")
    run_cli(*show, "--data.cache_dir", "cache")
    shown = capsys.readouterr().out
    assert re.search(r"block 0: \| \[CLS\] \S ", shown)  # a character a token
    run_cli(*fill)
    best = capsys.readouterr().out.splitlines()[1]
    assert best.endswith("\u5468\u672b\u5929\u6c14\u5f88\u597d\uff0c\u6211\u53bb\u516c\u56ed\u6563\u6b65\u3002")


def test_benchmarks_and_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in COMMANDS:
        if line.startswith("make "):
            assert f"\n{line.split()[1]}:" in makefile
        if line.startswith("python -m benchmarks."):
            assert (ROOT / "benchmarks" / f"{line.split()[2].removeprefix('benchmarks.')}.py").exists()


def test_python_runs(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (script,) = find_blocks("python")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("aclImdb").symlink_to(FIXTURES / "aclImdb")
    for written, small in (
        ("distilbert-base-uncased", tiny_bert),
        ("block_size=128", "block_size=32"),
        ("max_epochs=3", "max_epochs=1, accelerator='cpu', logger=False, log_every_n_steps=1"),
    ):
        assert written in script
        script = script.replace(written, small)
    exec(compile(script, "README.md", "exec"), {})
    assert float(capsys.readouterr().out.splitlines()[-1]) > 1


def test_no_figure_is_missing() -> None:
    assert not re.findall(r"[A-Z]+_(?:OUTPUT|TABLE|TEXT)", README)


def test_every_config_and_option_is_known() -> None:
    for config in (ROOT / "configs").rglob("*.yaml"):
        assert f"`{config.relative_to(ROOT / 'configs')}`" in README
