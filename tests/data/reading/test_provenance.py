"""What data modules tell of their text."""

from pathlib import Path
from typing import Any

import pytest

from lit_mlm import CoNLLDataModule, ELI5DataModule, IMDBDataModule, PythonDocsDataModule, TextFilesDataModule
from lit_mlm.data.reading.sources import Source
from lit_mlm.data.sets.imdb import HUB_REVISION
from tests.conftest import FIXTURES


@pytest.mark.parametrize(
    ("data", "hub_id"),
    [
        (IMDBDataModule, "stanfordnlp/imdb"),
        (ELI5DataModule, "dany0407/eli5_category"),
        (CoNLLDataModule, "lhoestq/conll2003"),
    ],
)
def test_default_data_sets(data: Any, hub_id: str) -> None:
    (found,) = data().provenance
    assert (found.hub_id, found.languages) == (hub_id, ("en",))
    assert found.citation
    assert found.probes
    (other,) = data(dataset="org/other", dataset_revision="abc").provenance
    assert (other.name, other.hub_id, other.revision) == ("org/other", "org/other", "abc")
    assert other.languages == other.probes == ()


def test_default_revision_can_be_changed() -> None:
    assert IMDBDataModule().provenance[0].revision == HUB_REVISION
    assert IMDBDataModule(dataset_revision="abc").provenance[0].revision == "abc"


@pytest.mark.parametrize("data", [IMDBDataModule, ELI5DataModule, CoNLLDataModule])
def test_local_files_are_not_said_to_be_the_data_set(data: Any) -> None:
    """Files in its layout may have any text."""
    (found,) = data(data_dir=str(FIXTURES / "conll")).provenance
    assert found.name.startswith("local files")
    assert (found.hub_id, found.languages, found.citation) == (None, (), None)


def test_copy_of_a_data_set_is_told_without_its_path() -> None:
    (found,) = TextFilesDataModule(dataset=str(FIXTURES / "imdb_hub")).provenance
    assert (found.name, found.hub_id) == ("a local copy of the data set imdb_hub", None)


def test_sources_and_numbers_of_files(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("text")
    files = {"train": f"{tmp_path}/[ab].txt", "val": f"{tmp_path}/c.txt"}
    (found,) = TextFilesDataModule(files["train"], files["val"]).provenance
    assert (found.name, found.num_files) == ("local files", 2)
    sources = {"own": Source(files=files["train"]), "web": Source(dataset="org/web", subset="en", dataset_revision="a")}
    own, web = TextFilesDataModule(sources=sources).provenance
    assert (own.name, own.num_files) == ("own", 2)
    assert (web.hub_id, web.subset, web.revision) == ("org/web", "en", "a")


def test_python_docs_have_a_licence() -> None:
    (found,) = PythonDocsDataModule().provenance
    assert (found.licence, found.languages) == ("Python Software Foundation License", ("en",))
