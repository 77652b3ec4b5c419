"""The rules of the architecture."""

import ast
import importlib
import inspect
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

from lit_mlm.cli.configs import ADAPT

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "lit_mlm").rglob("*.py"))

LAYERS = (
    "errors",
    "batch options upstream",
    "text",
    "nets runs metrics",
    "data modules inference",
    "callbacks",
    "cli",
    "__main__",
)
"""What the package consists of: each part may import those of the layers below it, and itself."""

DATA_LAYERS = (
    *("reading", "tokens", "batches", "packed", "base", "masked tagged labelled", "streams", "audit show", "sets"),
)
"""The same of `lit_mlm.data`."""

FENCES = {
    "datasets": {"data"},
    "seqeval": {"callbacks"},  # confirms the F1 of an evaluation
    "jsonargparse": {"cli", "upstream"},
    "lightning": {"data", "modules", "callbacks", "runs", "cli", "upstream"},
}
"""Which parts may import a library."""


def name_module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_module(file): file for file in FILES}


def find_imports(file: Path) -> set[str]:
    """The dotted names of all that a file imports, at the top, later or for type checking alone."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def find_named(file: Path) -> set[str]:
    """The modules of ours whose names stand in strings, from which they are imported later."""
    strings = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
    return {text for text in strings if isinstance(text, str) and text.startswith("lit_mlm.") and text in MODULES}


def resolve(name: str) -> str:
    """The module of ours that a dotted name is, or is in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def find_arrows(file: Path) -> set[str]:
    """The modules of ours that a file imports."""
    names = {name for name in find_imports(file) if name.partition(".")[0] == "lit_mlm"} | find_named(file)
    return {resolve(name) for name in names} - {name_module(file)}


def find_layer(part: str, layers: tuple[str, ...]) -> int:
    return next(number for number, parts in enumerate(layers) if part in parts.split())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    _, *path = name_module(file).split(".")
    for name in find_imports(file):
        library = name.partition(".")[0]
        assert path[0] in FENCES.get(library, {path[0]}) if path else library not in FENCES, f"{file} imports {name}"
    for name in find_arrows(file) if path else ():
        _, *other = name.split(".")
        if not other:
            assert path[0] in ("cli", "__main__"), f"{file} imports the package's root"
        elif path[0] != other[0]:
            assert find_layer(path[0], LAYERS) > find_layer(other[0], LAYERS), f"{file} imports {name}"
        elif path[0] == "data" and len(path) > 1 and len(other) > 1 and path[1] != other[1]:
            assert find_layer(path[1], DATA_LAYERS) > find_layer(other[1], DATA_LAYERS), f"{file} imports {name}"


def test_no_circles() -> None:
    rest = {name: find_arrows(file) for name, file in MODULES.items()}
    while rest:
        ready = [name for name, below in rest.items() if not below & set(rest)]
        assert ready, f"circles among {sorted(rest)}"
        rest = {name: below for name, below in rest.items() if name not in ready}


def measure_depth(cls: type) -> int:
    """How many classes of ours are below each other, this one included."""
    is_ours = cls.__module__.partition(".")[0] == "lit_mlm"
    return is_ours + max(map(measure_depth, cls.__bases__), default=0)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_no_class_is_more_than_three_of_ours_deep(name: str) -> None:
    classes = [value for value in vars(importlib.import_module(name)).values() if inspect.isclass(value)]
    assert {cls.__qualname__ for cls in classes if measure_depth(cls) > 3} == set()


def test_folders_have_few_loose_files() -> None:
    package = ROOT / "lit_mlm"
    assert {path.stem for path in package.glob("*.py")} == {
        "__init__",
        "__main__",
        "errors",
        "batch",
        "options",
        "upstream",
    }
    assert {path.stem for path in (package / "data").glob("*.py")} == {"__init__", "base", "batches", "packed"}


def test_tests_mirror_the_package() -> None:
    """A file of tests below a folder is that of the file of its name."""
    for file in (ROOT / "tests").rglob("test_*.py"):
        folder = file.parent.relative_to(ROOT / "tests")
        if folder.parts and folder.parts[0] != "faults":
            tested = ROOT / "lit_mlm" / folder / f"{file.stem.removeprefix('test_')}.py"
            assert tested.is_file(), f"{file} tests no {tested}"


def test_all_output_passes_through_what_escapes_control_characters() -> None:
    """`lit_mlm.cli.plain` prints for the commands; others print fixed text, or the result of `escape_controls`."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "tqdm.write", "sys.stdout.write", "sys.stderr.write") and file.stem != "plain":
                text = ast.unparse(node.args[0])  # type: ignore[attr-defined]
                assert text.startswith("escape_controls("), f"{file}: {ast.unparse(node)}"


def test_files_are_small() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in FILES}
    assert max(lengths.values()) <= 350, max(lengths, key=lambda file: lengths[file])
    assert sorted(lengths.values())[len(lengths) // 2] <= 120
    assert not {"utils", "helpers", "common", "misc"} & {file.stem for file in FILES}


@pytest.mark.parametrize("config", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_configs_are_short_and_headed(config: Path) -> None:
    text = config.read_text()
    assert len(text.splitlines()) <= 40
    assert text.startswith("# ")
    command = "adapt" if config.name.startswith(ADAPT) else "fit"
    if config.parent.name != "overlays":
        assert f"python -m lit_mlm {command} --config {config.name}" in text
    if command == "fit":
        assert set(yaml.safe_load(text)) <= {"model", "data", "trainer", "seed_everything"}


def test_dependencies_have_floors_and_exact_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().lower().replace("_", "-").split())
    extras = chain.from_iterable(project["optional-dependencies"].values())
    for requirement in [*project["dependencies"], *extras]:
        if requirement.startswith("lit-mlm["):  # another extra
            continue
        match = re.match(r"([\w-]+)(\[\w+\])?>=", requirement)
        assert match, f"{requirement} has no floor"
        assert match[1].lower() in pins


def test_every_folder_is_a_package_that_git_and_the_wheel_keep() -> None:
    """The wheel leaves out what git is to ignore, and the linters do not look at it."""
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.count("/") < 2}
    for folder in {file.parent for top in ("lit_mlm", "tests") for file in (ROOT / top).rglob("*.py")}:
        assert (folder / "__init__.py").is_file() or folder.name == "fixtures", folder
        assert folder.name not in ignored, f".gitignore has {folder.name}"
