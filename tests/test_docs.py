"""The documentation is whole: pages, links, names, generated tables, and the files that point at the repository."""

import fnmatch
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import lit_mlm
from lit_mlm.cli.table import OTHER_COMMANDS, SHOW_COMMANDS, TRAINER_COMMANDS
from lit_mlm.text.masking.strategies import MaskingStrategy
from tests.conftest import FIXTURES, imdb_args

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
OF_REPOSITORY = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", ".github/CONTRIBUTING.md")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]


def name_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def strip_code(text: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [*OF_REPOSITORY, *PAGES], ids=name_page)
def test_links_lead_somewhere(page: Path) -> None:
    """Those of the repository's own files; `make docs` checks the anchors."""
    for link in re.findall(r"\]\(([^)\s]+)\)", strip_code(page.read_text())):
        address, _, _ = link.partition("#")
        if address.startswith(f"{REPOSITORY}/blob/main/"):
            assert (ROOT / address.removeprefix(f"{REPOSITORY}/blob/main/")).is_file(), link
        elif "colab.research.google.com/github/" in address:
            assert (ROOT / address.partition("/blob/main/")[2]).is_file(), link
            assert REPOSITORY.removeprefix("https://github.com/") in address
        elif address and not address.startswith("https://"):
            assert (page.parent / address).exists(), link


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=name_page)
def test_what_is_named_is_there(page: Path) -> None:
    """Dotted names of ours, and paths of folders that the repository has."""
    text = page.read_text()
    for name in re.findall(r"(?:`|^::: )(lit_mlm(?:\.\w+)+)", text, re.MULTILINE):
        assert name.endswith(".json") or pkgutil.resolve_name(name) is not None
    for path in re.findall(r"`((?:lit_mlm|tests|configs|benchmarks|notebooks)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`(overlays/\w+\.yaml)`", text):
        assert (ROOT / "configs" / path).is_file(), path


def load_site() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "mkdocs.yml").read_text()))


def iterate_nav(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for target in entry.values():
            yield from iterate_nav(target) if isinstance(target, list) else [target]


def test_nav_has_every_page() -> None:
    assert sorted(iterate_nav(load_site()["nav"])) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def test_every_guide_begins_with_a_command() -> None:
    for page in (DOCS / "guides").glob("*.md"):
        if page.stem not in ("notebooks", "trust"):
            assert re.match(r"# .+\n\n```bash\n", page.read_text()), page


def test_every_command_and_config_is_listed() -> None:
    text = (DOCS / "guides" / "commands.md").read_text()
    for command in (*TRAINER_COMMANDS, *SHOW_COMMANDS, *OTHER_COMMANDS):
        assert re.search(rf"^\|.*`{command}`.*\|", text, re.MULTILINE), command
    for config in (ROOT / "configs").rglob("*.yaml"):
        assert f"`{config.relative_to(ROOT / 'configs')}`" in text, config


@pytest.mark.parametrize("image", sorted((DOCS / "images").glob("*.svg")), ids=lambda image: image.stem)
def test_images_are_small_and_load_nothing(image: Path) -> None:
    text = image.read_text()
    assert len(text) < 40_000
    assert not re.search(r"(?:href|src)=\"http|url\(\"?http", text)
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert any(image.name in page.read_text() for page in PAGES)


# What is generated


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    (hook,) = load_site()["hooks"]
    spec = importlib.util.spec_from_file_location("generate", ROOT / hook)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_marks(kind: str) -> list[str]:
    return re.findall(rf"^<!-- {kind}: (\S+) -->$", "\n".join(page.read_text() for page in PAGES), re.MULTILINE)


@pytest.mark.parametrize("path", find_marks("options"))
def test_tables_have_every_option(path: str, generate: ModuleType) -> None:
    table = generate.make_table(path)
    for name in generate.list_options(generate.locate(path)):
        assert f"\n| `{name}` | " in table
    assert all(line.count("|") == 5 for line in table.splitlines())
    assert "| |" not in table


def test_every_option_has_a_table(generate: ModuleType) -> None:
    """Of the public classes, of what they are made of, and of the strategies."""
    classes = {generate.locate(path) for path in find_marks("options")}
    public = [getattr(lit_mlm, name) for name in lit_mlm.__all__]
    leaves = [cls for cls in public if inspect.isclass(cls)] + MaskingStrategy.__subclasses__()
    for leaf in leaves:
        if not leaf.__module__.startswith("lit_mlm."):
            continue
        for cls in leaf.__mro__:
            if cls.__module__.startswith("lit_mlm.") and "__init__" in vars(cls) and generate.list_options(cls):
                assert cls in classes, cls


def test_values_are_in_words(generate: ModuleType) -> None:
    blocks = generate.make_table("lit_mlm.data.masked.module.BlocksDataModule")
    assert "| `mask_prob` | number above 0 and at most 1 | `0.15` | " in blocks
    assert "| `drop_tail` | `true`, `false`, or `unless_alone` | `false` | " in blocks
    assert "| `num_mask_draws` | integer at least 1 | `1` | " in blocks
    net = generate.make_table("lit_mlm.modules.base.TransformerModule")
    assert "| `betas` | pair of numbers | `[0.9, 0.999]` | " in net


def test_help_of_a_command_of_the_trainer_ends_before_its_options(generate: ModuleType) -> None:
    text = generate.on_page_markdown("Before\n\n<!-- help: fit -->\n\nafter")
    assert text.startswith("Before\n\n```text\noptions:\n")
    assert text.endswith("\n```\n\nafter")
    assert "--run_dir" in text
    assert "--trust PACKAGE" in text
    assert "--trainer" not in text
    assert text.replace("\n", "").isprintable()


def test_included_files_lead_to_the_repository(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("# A\n\n[b](../b.md) [c](c.md#d) [e](https://e.org) [f](#g)\n")
    text = generate.include("sub/a.md")
    main = f"{REPOSITORY}/blob/main"
    assert text == f"\n[b]({main}/b.md) [c]({main}/sub/c.md#d) [e](https://e.org) [f](#g)\n"


def find_keys(folder: Path) -> set[str]:
    """The last parts of the keys of a run's metrics, of those with a type of entities in them the first."""
    names = {
        re.sub(r"^(start/|last/)?(val/|test/|train/)?", "", key)
        for key in json.loads((folder / "metrics.json").read_text())
    }
    return {f"{name.partition('/')[0]}/X" if "/" in name else name for name in names}


def test_every_metric_is_explained(
    run_cli: Callable[..., Path], tiny_bert: str, news_tagger: str, cache_dir: str
) -> None:
    """Those of runs with all that adds metrics."""
    text = (DOCS / "reference" / "metrics.md").read_text()
    more = ["--data.num_mask_draws", 2, "--data.new_words", "[wonderful]", "--data.skip_bad", "true"]
    more += ["--data.block_policy", "document", "--data.pack_length", 64, "--trainer.max_epochs", 1]
    run_cli("fit", *imdb_args(tiny_bert, cache_dir), *more, "--run_dir", "imdb")
    data = ["--data", "CoNLLDataModule", "--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir]
    trainer = ["--trainer.max_epochs", 1, "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    for task in ("ner", "pos"):
        model = ["--model", "TokenClassification", "--model.model", news_tagger]
        folder = run_cli("fit", *model, *data, "--data.task", task, *trainer, "--run_dir", task)
    texts = ["--data", "LabelledFilesDataModule", "--data.cache_dir", cache_dir, "--data.skip_bad", "true"]
    lines = (json.dumps({"text": text, "label": [label]}) for text in ("fine", "dull") for label in "ab" * 3)
    (folder / "texts.jsonl").write_text("\n".join(lines))
    texts += ["--data.train_files", str(folder / "texts.jsonl"), "--data.multi_label", "true"]
    run_cli(
        "fit", "--model", "TextClassification", "--model.model", tiny_bert, *texts, *trainer, "--run_dir", "several"
    )
    data = ["--data.data_dir", FIXTURES / "aclImdb", "--data.cache_dir", cache_dir, "--data.window", 32]
    model = ["--config", "imdb-sentiment.yaml", "--model.model", tiny_bert, "--trainer.precision", "32-true"]
    run_cli("fit", *model, *data, *trainer, "--run_dir", "texts")
    for name in ("imdb", "ner", "pos", "several", "texts"):
        for key in find_keys(folder / name):
            assert f"`{key}`" in text or key.endswith("_before"), key


# What points at the repository


def test_one_address_of_the_repository() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["repository-code"] == load_site()["repo_url"] == REPOSITORY
    assert citation["version"] == lit_mlm.__version__
    assert citation["license"] == PROJECT["license"]
    for page in [*OF_REPOSITORY, *PAGES]:
        for found in re.findall(r"https://github\.com/lit-mlm/[\w-]+", page.read_text()):
            assert found == REPOSITORY


def test_documentation_has_floors_and_exact_pins() -> None:
    pins = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    for requirement in PROJECT["optional-dependencies"]["docs"]:
        match = re.match(r"([\w-]+)(\[\w+\])?>=", requirement)
        assert match, f"{requirement} has no floor"
        assert f"\n{match[1]}==" in pins


def test_dockerfile_copies_and_runs_what_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [PROJECT["readme"], *PROJECT["license-files"], *build["packages"], *build["force-include"]]
    assert set(needed) <= set(copied)
    (install,) = (line for line in lines if line.startswith("RUN pip install "))
    assert "--constraint constraints.txt" in install
    assert fnmatch.fnmatch(install, '*--extra-index-url "$TORCH_INDEX" *')
    (entry,) = (json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT "))
    assert entry[:2] == ["python", "-m"]
    assert importlib.util.find_spec(f"{entry[2]}.__main__") is not None
    (image,) = (line for line in lines if line.startswith("FROM python:"))
    version = tuple(map(int, re.findall(r"\d+", image)[:2]))
    assert version >= tuple(map(int, re.findall(r"\d+", PROJECT["requires-python"])))
