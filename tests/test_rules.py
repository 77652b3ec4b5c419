"""The rules of the architecture."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "lit_mlm").rglob("*.py"))

BELOW = {
    "errors": set(),
    "text": set(),
    "loading": set(),
    "remote_code": {"loading"},
    "atomic": set(),
    "changes": set(),
    "upstream": set(),
    **{part: {"text"} for part in ("metrics", "optim")},
    "checkpointing": {"atomic"},
    "entity_metrics": {"text", "metrics"},
    "word_metrics": {"text", "metrics", "entity_metrics"},
    "pretrained": {"text", "loading", "remote_code"},
    "embeddings": {"text", "loading", "pretrained"},
    **{
        part: {
            "text",
            "optim",
            "atomic",
            "changes",
            "checkpointing",
            "loading",
            "remote_code",
            "pretrained",
            "embeddings",
        }
        | {"metrics", "entity_metrics", "word_metrics"}
        for part in ("data", "modules", "inference")
    },
    "checkpoint_io": {"checkpointing"},
    "loggers": {"atomic", "upstream"},
    "resuming": set(),
    "run_folder": {"atomic", "changes", "checkpointing"},
    "save_config": {"atomic", "callbacks", "loggers"},
    "callbacks": {
        "inference",
        "atomic",
        "checkpointing",
        "checkpoint_io",
        "loggers",
        "pretrained",
        "resuming",
        "run_folder",
    },
    "commands": {"inference", "data", "atomic", "checkpointing", "option_checks"},
    "cli": {"commands", "trainer_cli", "show_cli", "ranks"},
    "class_paths": set(),
    "mistakes": set(),
    "option_checks": set(),
    "ranks": set(),
    "config_files": {"cli"},
    "trust": {"class_paths", "config_files"},
    "parser": {"cli", "class_paths", "config_files", "trust"},
    "show_cli": {"trainer_cli", "data"},
    "admitted": {"class_paths", "data", "modules", "trust"},
    "trainer_cli": {
        "admitted",
        "class_paths",
        "cli",
        "loggers",
        "upstream",
        "config_files",
        "mistakes",
        "option_checks",
        "parser",
        "ranks",
        "trust",
        "data",
        "modules",
        "callbacks",
        "checkpointing",
        "run_folder",
        "save_config",
    },
    "__main__": {"cli"},
    "__init__": {"data", "modules", "inference"},
}
"""What each part of the package may import of the others."""

FENCES = {
    "datasets": {"data"},
    "seqeval": set(),  # the reference of the tests
    "jsonargparse": {"save_config", "trainer_cli", "commands"},
    "lightning": {
        "admitted",
        "data",
        "modules",
        "callbacks",
        "checkpoint_io",
        "loggers",
        "mistakes",
        "parser",
        "ranks",
        "save_config",
    }
    | {"show_cli", "trainer_cli"},
}
"""Which parts may import a library."""


def get_part(file: Path) -> str:
    return file.relative_to(ROOT / "lit_mlm").parts[0].removesuffix(".py")


def find_imports(file: Path) -> set[str]:
    """The dotted names of all modules that a file imports, at the top or later."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    part = get_part(file)
    for name in find_imports(file):
        library, _, rest = name.partition(".")
        if library == "lit_mlm" and rest not in ("", "__version__", "ROUNDING"):
            assert rest.split(".")[0] in BELOW[part] | {part, "errors"}, f"{file} imports {name}"
        assert part in FENCES.get(library, {part}), f"{file} imports {name}"


def test_layers_have_no_cycle() -> None:
    """`cli` and the others of its kind are parts of one thing: these are imported when a command needs them."""
    order: list[str] = []
    rest = {part: below - {"trainer_cli", "show_cli"} if part == "cli" else below for part, below in BELOW.items()}
    while rest:
        ready = [part for part, below in rest.items() if below <= set(order)]
        assert ready, f"a cycle among {sorted(rest)}"
        order += ready
        rest = {part: below for part, below in rest.items() if part not in ready}


def test_files_are_small() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in FILES}
    assert max(lengths.values()) <= 300, max(lengths, key=lambda file: lengths[file])
    assert sorted(lengths.values())[len(lengths) // 2] <= 120
    assert not {"utils", "helpers", "common", "misc"} & {file.stem for file in FILES}


@pytest.mark.parametrize("config", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_configs_are_short_and_headed(config: Path) -> None:
    text = config.read_text()
    assert len(text.splitlines()) <= 40
    assert text.startswith("# ")
    if config.parent.name != "overlays":
        assert f"python -m lit_mlm fit --config {config.name}" in text
    assert set(yaml.safe_load(text)) <= {"model", "data", "trainer", "seed_everything"}


def test_dependencies_have_floors_and_exact_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().lower().replace("_", "-").split())
    for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
        match = re.match(r"([\w-]+)(\[\w+\])?>=", requirement)
        assert match, f"{requirement} has no floor"
        assert match[1].lower() in pins


def test_tests_mirror_the_package() -> None:
    for file in (ROOT / "tests").glob("*/test_*.py"):
        assert (ROOT / "lit_mlm" / file.parent.name / f"{file.stem.removeprefix('test_')}.py").exists(), file
