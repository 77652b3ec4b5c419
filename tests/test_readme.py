"""What the README and the documentation say runs: every command, every snippet, every config that they show."""

import importlib
import importlib.util
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Trainer

from lit_mlm import MaskedLM
from lit_mlm.cli.adapt_plan import check_plan, read_plan
from lit_mlm.cli.configs import find_config
from lit_mlm.cli.table import OTHER_COMMANDS
from lit_mlm.cli.trials import read_space
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES

ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}


def find_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def find_commands(page: str) -> list[str]:
    """The commands of a page's bash blocks, a continued one as one line; no comments."""
    lines = "".join(find_blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def find_cli_args(command: str) -> list[str] | None:
    """What a command gives to `python -m lit_mlm`, by whatever starts that; None if it starts something else."""
    words = shlex.split(command.replace("$SLURM_NNODES", "2").replace("$SLURM_NTASKS_PER_NODE", "4"))
    words = words[: words.index(">")] if ">" in words else words
    if words[:2] == ["docker", "run"]:
        return words[next(i for i, word in enumerate(words) if word.startswith("lit-mlm")) + 1 :]
    return words[words.index("lit_mlm") + 1 :] if "lit_mlm" in words[:-1] and "-m" in words else None


COMMANDS = sorted({command for page in PAGES for command in find_commands(page)})

FILES = {"speeches/2005-Bush.txt": b"Mr. Speaker,\nmembers of Congress,\nfellow citizens: \xa1hola!\n"}
"""What a console shows errors about."""


def list_unique(*languages: str) -> list[str]:
    return sorted({block for page in PAGES for language in languages for block in find_blocks(page, language)})


def make_runs(folder: Path, text: str) -> None:
    """A config for each run, and each config of one's own, that is named."""
    for run, config in re.findall(r"(runs/([\w-]+)/(?:version_0|sweep_0/trial_3/seed_42))", text):
        (folder / run).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "configs" / f"{config}.yaml", folder / run / "config.yaml")
    for config in re.findall(r"--config ((?:own|theirs)\.yaml)", text):
        shutil.copy(ROOT / "configs" / "quickstart.yaml", folder / config)


@pytest.mark.parametrize("command", [command for command in COMMANDS if find_cli_args(command) is not None])
def test_commands_parse(
    command: str, run_cli: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *args = find_cli_args(command) or []
    if name == "adapt":
        monkeypatch.chdir(tmp_path)
        own = next(block for block in list_unique("yaml") if block.startswith("model: MINILM\n"))
        Path("adaptation.yaml").write_text(own)
        check_plan(read_plan(find_config(args[1]), None, None, args[2:]))
        return
    if name in OTHER_COMMANDS:
        _, args = importlib.import_module(f"lit_mlm.cli.{name}").make_parser().parse_known_args(args)
        assert not args
        return
    if name == "--help":
        run_cli(name)
        return
    make_runs(tmp_path, command)
    monkeypatch.syspath_prepend(tmp_path)
    for package in re.findall(r"--trust (\S+)", command):
        (tmp_path / f"{package}.py").touch()
    asks_help = any(arg.endswith("help") for arg in args)
    with pytest.raises(SystemExit) as stop:
        run_cli(name, *args, *([] if asks_help else ["--print_config"]))
    assert stop.value.code == 0


@pytest.mark.parametrize("command", [command for command in COMMANDS if find_cli_args(command) is None])
def test_other_commands_start_what_is_there(command: str) -> None:
    program, *args = shlex.split(command)
    if program == "make":
        assert f"\n{args[0]}:" in (ROOT / "Makefile").read_text()
    elif program == "python":
        assert args[0] == "-m"
        assert importlib.util.find_spec(args[1]) is not None
    elif program == "pip":
        assert args[0] == "install"
        assert all((ROOT / file).is_file() for file in re.findall(r"--constraint (\S+)", command))
    elif program == "docker":
        assert args[0] == "build"
        dockerfile = (ROOT / "Dockerfile").read_text()
        assert all(f"ARG {name}=" in dockerfile for name in re.findall(r"--build-arg (\w+)=", command))
    else:
        assert program in ("check-jsonschema", "hf", "tensorboard")


@pytest.mark.parametrize("block", list_unique("yaml"))
def test_configs_parse(block: str, run_cli: Callable[..., Path], tmp_path: Path) -> None:
    """Over a config that it may stand in, as the space of a sweep or the config of an adaptation."""
    (tmp_path / "block.yaml").write_text(block)
    if yaml.safe_load(block) is None:  # the head of a config
        assert block.strip() == (ROOT / "configs" / "quickstart.yaml").read_text().splitlines()[0]
        return
    if "adaptation" in yaml.safe_load(block):
        check_plan(read_plan(tmp_path / "block.yaml", None, None, []))
        return
    if any("." in name for name in yaml.safe_load(block)):
        assert read_space(tmp_path / "block.yaml")
        return
    with pytest.raises(SystemExit) as stop:
        run_cli("fit", "--config", "quickstart.yaml", "--config", "block.yaml", "--print_config")
    assert stop.value.code == 0


@pytest.mark.parametrize("block", list_unique("console"))
def test_consoles_show_what_is_printed(
    block: str,
    run_cli: Callable[..., Path],
    tmp_path: Path,
    cache_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each line in its place; "..." stands for the rest of a line, or for lines."""
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for part in block.removeprefix("$ ").split("\n$ "):
        command, *expected = part.rstrip("\n").split("\n")
        args = find_cli_args(command) or []
        capsys.readouterr()
        try:
            run_cli(*args, *(["--data.cache_dir", cache_dir] if "--config" in args else []))
            message = ""
        except InputError as error:
            message = f"error: {error}"
        printed = [*capsys.readouterr().out.splitlines(), *message.splitlines()]
        rest = iter(printed)
        for line in expected:
            start = line.removesuffix("...")
            is_there = any(found.startswith(start) if start != line else found == line for found in rest)
            assert is_there, f"{line!r} is not in {printed}"


def test_chinese_quick_start_runs(
    tmp_path: Path, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands as they stand, but for fewer epochs; the model learns what the weather goes with."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    commands = find_commands("docs/chinese.md")
    assert set(commands) > {command for command in find_commands("README.md") if "chinese" in command}
    fit, fill, show = (
        shlex.split(line)[3:] for line in commands if "chinese/demo" in line or "show --config ch" in line
    )
    run_cli(*fit, "--trainer.max_epochs", 10, "--data.cache_dir", "cache")
    run_cli(*show, "--data.cache_dir", "cache")
    shown = capsys.readouterr().out
    assert re.search(r"block 0: \| \[CLS\] \S ", shown)  # a character a token
    run_cli(*fill)
    best = capsys.readouterr().out.splitlines()[1]
    assert best.endswith("\u5468\u672b\u5929\u6c14\u5f88\u597d\uff0c\u6211\u53bb\u516c\u56ed\u6563\u6b65\u3002")


REPLACED = {
    '"distilbert-base-uncased"': "TINY",
    '"bert-base-cased"': "TINY",
    "block_size=128": "block_size=32",
    "max_epochs=3": "max_epochs=1",
    ", enable_progress_bar=False": "",  # which comes with the next
    "Trainer(": "Trainer(accelerator='cpu', enable_progress_bar=False, log_every_n_steps=1, ",
}
"""What is smaller in a test than in a snippet."""


@pytest.fixture
def run_snippets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bert: str, news_tagger: str
) -> Callable[[str], dict[str, Any]]:
    """Runs the Python of a page from top to bottom, where the runs and texts that it names are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, target in {"aclImdb": FIXTURES / "aclImdb", "tests": ROOT / "tests"}.items():
        Path(name).symlink_to(target)
    for name, model in {"imdb": tiny_bert, "ner-sample": news_tagger}.items():
        (Path("runs") / name / "version_0").mkdir(parents=True)
        (Path("runs") / name / "version_0" / "hf").symlink_to(model)
    Path("reviews.txt").write_text("\n".join(f"the story of film {i} was dull" for i in range(40)))

    def run(page: str) -> dict[str, Any]:
        names: dict[str, Any] = {"TINY": tiny_bert}
        for script in find_blocks(page, "python"):
            for written, small in REPLACED.items():
                script = script.replace(written, small)
            exec(compile(script, page, "exec"), names)
        return names

    return run


@pytest.mark.parametrize("page", [page for page in PAGES if find_blocks(page, "python") and page != "README.md"])
def test_snippets_run(page: str, run_snippets: Callable[[str], dict[str, Any]]) -> None:
    assert run_snippets(page).keys() > {"TINY", "__builtins__"}


def test_readme_s_snippets_run(
    run_snippets: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str], tiny_bert: str
) -> None:
    names = run_snippets("README.md")
    assert float(capsys.readouterr().out.splitlines()[-1]) > 1
    trainer = Trainer(accelerator="cpu", fast_dev_run=True, enable_progress_bar=False)
    trainer.fit(MaskedLM(tiny_bert), names["PoemsDataModule"](block_size=16, batch_size=4))
    assert trainer.global_step == 1


def test_what_is_replaced_is_there() -> None:
    scripts = "".join(list_unique("python"))
    assert all(written in scripts for written in REPLACED)


def test_every_block_is_of_a_language_that_is_tested() -> None:
    """Text is what is run elsewhere: notebooks' cells."""
    for page, content in PAGES.items():
        opened = re.findall(r"^```(\w*)$", content, re.MULTILINE)[::2]
        assert set(opened) <= {"bash", "python", "yaml", "console", "text"}, page
        assert "text" not in opened or page == "docs/guides/notebooks.md"
