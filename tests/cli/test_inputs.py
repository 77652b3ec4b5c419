"""Configs with their lines, and command lines part by part."""

from pathlib import Path
from typing import Any

import pytest

from lit_mlm.cli.inputs import list_texts, nest, parse_text, read_config, split_args
from lit_mlm.errors import InputError


def read(tmp_path: Path, text: str) -> Any:
    (tmp_path / "my.yaml").write_text(text)
    return read_config(str(tmp_path / "my.yaml"))


def test_lines_of_options_and_texts(tmp_path: Path) -> None:
    content = read(tmp_path, "model: a.B\ndata:\n  class_path: c.D\n  files:\n  - x\n  - {name: y}\n")
    assert content.lines == {"model": 1, "data": 2}
    assert content["data"].lines == {"class_path": 3, "files": 4}
    assert list(list_texts(content)) == [
        (("model",), 1, "a.B"),
        (("data", "class_path"), 3, "c.D"),
        (("data", "files"), 4, "x"),
        (("data", "files", "name"), 6, "y"),
    ]


def test_merged_mappings_and_scalars(tmp_path: Path) -> None:
    content = read(
        tmp_path, "a: &a {x: 1, y: 2}\nb: &b {z: 3}\nc:\n  <<: *a\n  <<: *b\n  y: 4\nd: [2024-01-31, 1e-3]\n"
    )
    assert content["c"] == {"x": 1, "y": 4, "z": 3}
    assert content["d"] == ["2024-01-31", 0.001]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {x: 1,\n  y: 2, x: 3}", "line 2, column 9: invalid YAML: duplicate key x"),
        ("a: {x: 1, [1]: 3}", "line 1, column 11: invalid YAML: found unhashable key"),
        ("a: !!python/name:os.system", "line 1, column 4: invalid YAML: could not determine a constructor"),
        ("a: &a [*a]", "line 1, column 4: invalid YAML: found unconstructable recursive node"),
        ("a: *b", "line 1, column 4: invalid YAML: found undefined alias"),
    ],
)
def test_what_is_no_plain_data(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert f"my.yaml, {message}" in str(caught.value)


def test_command_lines() -> None:
    args = ["x", "--a", "1", "-2", "-.5", "- a text", "--b.c+=d=e", "--flag", "-h", "y"]
    assert split_args(args) == [
        ("", ["x"]),
        ("a", ["1", "-2", "-.5", "- a text"]),
        ("b.c+", ["d=e"]),
        ("flag", []),
        ("-h", ["y"]),
    ]
    assert nest("a.b.c+", 3) == {"a": {"b": {"c+": 3}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("{a:1}", "{a:1}"),
        ("{a, b}", "{a, b}"),
        ('{"a":null}', {"a": None}),
        ("{}", {}),
        ("{a,b}.txt", "{a,b}.txt"),
        ("3", "3"),
        ("null", "null"),
        ("", ""),
        ("!!python/name:os.system", "!!python/name:os.system"),
    ],
)
def test_typed_values(text: str, value: Any) -> None:
    assert parse_text(text) == value
