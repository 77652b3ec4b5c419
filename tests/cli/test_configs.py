"""The list of configs."""

import pytest

from lit_mlm.cli.configs import get_config_folder, list_configs
from lit_mlm.cli.main import main, run_command
from lit_mlm.errors import InputError


def test_a_line_for_each_config(capsys: pytest.CaptureFixture[str]) -> None:
    main(["configs"])
    lines = capsys.readouterr().out.splitlines()
    names = [path.relative_to(get_config_folder()).as_posix() for path in get_config_folder().rglob("*.yaml")]
    assert sorted(line.split()[0] for line in lines) == sorted(names)
    assert "ner.yaml                      BERT trained on entities of your own" in lines
    assert "overlays/cpu.yaml             On the CPU, in full precision" in lines
    assert all("  " in line and "schema" not in line and len(line) < 150 for line in lines)
    assert any(line.endswith("WNUT-17 (Derczynski et al. 2017) from its two-column files") for line in lines)


def test_one_config_as_a_start(capsys: pytest.CaptureFixture[str]) -> None:
    main(["configs", "imdb.yaml"])
    assert capsys.readouterr().out == (get_config_folder() / "imdb.yaml").read_text()
    main(["configs", "overlays/cpu.yaml"])
    assert capsys.readouterr().out.startswith("# yaml-language-server: $schema=lit_mlm.schema.json\n# On the CPU")
    with pytest.raises(InputError, match=r"there is no config imbd.yaml; did you mean imdb.yaml\?"):
        run_command(["configs", "imbd.yaml"])
    assert len(list_configs()) > 20
    with pytest.raises(InputError, match=r"adapt-imdb.yaml is a config of adapt: python -m lit_mlm adapt --config "):
        run_command(["fit", "--config", "adapt-imdb.yaml"])
