"""Help as a user reads it."""

from collections.abc import Callable

import pytest

from lit_mlm.cli.main import main

Help = Callable[..., str]


@pytest.fixture
def get_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Help:
    """Prints help, without line breaks."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(args)
        assert not stop.value.code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(("command", "text"), [("fit", "train a model"), ("show", "print documents with their masks")])
def test_help_of_a_command(command: str, text: str, get_help: Help) -> None:
    found = get_help(command, "--help")
    assert found.startswith(f"usage: python -m lit_mlm {command} [options]\n\n{text}")
    titles = [line for line in found.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "options:",
        "options of Lightning's Trainer (devices, precision, length of training, loggers, callbacks):",
        "options of the model (task, pretrained model, optimizer):",
        "options of the data (data set, tokenizer, masking, batches):",
        "checkpoint:",
    ]
    assert "a checkpoint, or best or last for those of the run" in found
    assert "--model.help CLASS lists its options" in found


@pytest.mark.parametrize(
    ("args", "option"),
    [
        (["--model.help", "MaskedLM"], "(type: float at least 0 and finite, default: 5e-05)"),
        (["--data.help", "IMDBDataModule"], "(type: int at least 1, default: 32)"),
    ],
)
def test_help_of_a_class(args: list[str], option: str, get_help: Help) -> None:
    found = get_help("fit", *args)
    assert found.startswith(f"usage: python -m lit_mlm COMMAND [options]\n\nHelp for {args[0]}=lit_mlm.{args[1]}\n")
    assert option in found
