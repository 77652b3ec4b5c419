"""What weights were made from."""

import json
from pathlib import Path

import pytest

from lit_mlm.inference.card.origin import describe_origin


def describe(model: Path | str) -> tuple[str | None, str | None, bool]:
    found = describe_origin({"model": str(model), "revision": "main"})
    return found["name"], found["hub_id"], found["is_local"]


def test_hub_and_scratch() -> None:
    assert describe("org/model.v2") == ("org/model.v2", "org/model.v2", False)
    assert describe_origin({"model": "bert", "revision": "abc"})["revision"] == "abc"
    assert describe_origin({"model": None})["name"] is None


def test_no_path_of_the_machine_is_told(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "imdb" / "version_0" / "hf"
    assert describe(run) == ("imdb/version_0", None, True)  # since removed
    assert describe(tmp_path / "mine") == ("mine", None, True)


def test_local_model_names_what_it_was_trained_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own" / "hf").mkdir(parents=True)
    (tmp_path / "own" / "hf" / "README.md").write_text("---\nbase_model: org/first\n---\n# Card\n")
    assert describe(tmp_path / "own" / "hf") == ("own", "org/first", True)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "config.json").write_text(json.dumps({"_name_or_path": "org/first"}))
    monkeypatch.chdir(tmp_path)
    assert describe("copy") == ("org/first", None, True)


@pytest.mark.parametrize(
    "content", ["---\n- a\n---\n", "---\na: [\n---\n", "---\nbase_model: /home/ada\n---\n", "---\n---\n"]
)
def test_broken_card_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / "README.md").write_text(content)
    (tmp_path / "config.json").write_text("[1]")
    assert describe(tmp_path) == (tmp_path.name, None, True)
