"""Completion in shells."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lit_mlm.cli.completion import HOOKS
from lit_mlm.cli.configs import list_configs
from lit_mlm.cli.main import main
from lit_mlm.cli.table import OTHER_COMMANDS, SHOW_COMMANDS, TRAINER_COMMANDS

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    with pytest.MonkeyPatch.context() as patch:
        for shell in HOOKS:
            lines: list[str] = []
            patch.setattr("lit_mlm.cli.completion.print_result", lambda text, is_escaped, into=lines: into.append(text))
            main(["completion", shell])
            (folder / shell).write_text(lines[0])
    return folder


def complete(scripts: Path, line: str) -> list[str]:
    """What bash proposes for the last word of a line."""
    words = line.split(" ")
    script = f"""
        source {scripts / "bash"}
        COMP_WORDS=({" ".join(repr(word) for word in words)}) COMP_CWORD={len(words) - 1}
        _lit_mlm_python
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    found = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, cwd=scripts)
    assert found.stderr == ""
    return [word for word in found.stdout.splitlines() if word]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_what_bash_proposes(scripts: Path) -> None:
    (scripts / "imdb_own.yaml").touch()
    assert complete(scripts, "python -m lit_mlm ") == [*TRAINER_COMMANDS, *SHOW_COMMANDS, *OTHER_COMMANDS]
    assert complete(scripts, "/opt/venv/bin/python3 -m lit_mlm pre") == ["predict", "prepare"]
    assert complete(scripts, "python -m lit_mlm fit --config imdb_") == ["imdb_own.yaml"]
    assert set(complete(scripts, "python -m lit_mlm test --config ")) >= {*list_configs(), "imdb_own.yaml"}
    assert complete(scripts, "python -m lit_mlm fit --model T") == ["TextClassification", "TokenClassification"]
    assert complete(scripts, "python -m lit_mlm fit --model.help M") == ["MaskedLM"]
    assert complete(scripts, "python -m lit_mlm fit --config imdb.yaml --data.mask_p") == ["--data.mask_prob"]
    assert complete(scripts, "python -m lit_mlm audit --data.masking Sp") == ["SpanMasking"]
    assert complete(scripts, "python -m lit_mlm audit --js") == ["--json"]
    assert complete(scripts, "python -m lit_mlm fit --trainer.precision bf16-") == ["bf16-true", "bf16-mixed"]
    assert complete(scripts, "python -m lit_mlm fit --trainer.sync_batchnorm ") == ["true", "false"]
    assert complete(scripts, "python -m lit_mlm fit --print") == ["--print_config"]
    assert complete(scripts, "python -m lit_mlm predict --split t") == ["train", "test"]
    assert complete(scripts, "python -m lit_mlm fill --joint c") == ["confident"]
    assert complete(scripts, "python -m lit_mlm repeat --seeds 1 2 --model.schedule cos") == ["cosine"]
    assert complete(scripts, "python -m lit_mlm configs wn") == ["wnut17.yaml"]
    assert complete(scripts, "python -m json.tool ") == []


@pytest.mark.parametrize("shell", HOOKS)
def test_scripts_are_small_and_valid(shell: str, scripts: Path) -> None:
    assert (scripts / shell).stat().st_size < 300_000
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(scripts / shell)], check=True)
