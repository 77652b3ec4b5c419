"""The corrections of CleanCoNLL on a few lines in its published layout."""

from pathlib import Path

import pytest

from lit_mlm import CoNLLDataModule
from lit_mlm.errors import InputError

CONLL = """-DOCSTART- -X- O O

Ann NNP I-NP I-PER
works VBZ I-VP O
at IN I-PP O

Mo.-based JJ I-NP I-MISC
Acme NNP I-NP I-ORG
Corp NNP I-NP O

-DOCSTART- -X- O O

Reims NNP I-NP I-LOC
won VBD I-VP O

"""
PATCH = "6d5\n< \n7c6,8\n< Mo.-based\n---\n> Mo.\n> -\n> based\n15d15\n< \n"
ANNOTATIONS = """-X-\tO\tO\tO

NNP\tB-Ann\tB-PER\tB-PER
VBZ\tO\tO\tO
IN\tO\tO\tO
NNP\tB-Missouri\tB-LOC\tB-LOC
:\tO\tO\tO
JJ\tO\tO\tO
NNP\tB-Acme\tB-ORG\tB-ORG
NNP\tI-Acme\tI-ORG\tI-ORG

-X-\tO\tO\tO

NNP\tB-Stade_de_Reims\tB-ORG\tB-ORG
VBD\tO\tO\tO
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user's files in ``conll``, and a clone in ``clone``; the patches of train and test change nothing."""
    data = tmp_path / "clone" / "data"
    for name in ("patch_files", "cleanconll_annotations"):
        (data / name).mkdir(parents=True)
    (tmp_path / "conll").mkdir()
    masked = "".join(f"[TOKEN]\t{line}\n" if line else "\n" for line in ANNOTATIONS.splitlines())
    patches = {"train": "1a2\n> \n", "dev": PATCH, "test": PATCH}
    for (name, patch), own in zip(patches.items(), ("eng.train", "eng.testa", "eng.testb"), strict=True):
        (data / "patch_files" / f"{name}_tokens.patch").write_text(patch)
        (data / "cleanconll_annotations" / f"cleanconll_annotations.{name}").write_text(masked)
        (tmp_path / "conll" / own).write_text(CONLL)
    return tmp_path


def load(
    folder: Path, clone: str = "clone", split: str = "val", **options: object
) -> list[tuple[list[str], list[str]]]:
    options = {"data_dir": str(folder / "conll"), "corrections": str(folder / clone)} | options
    data = CoNLLDataModule(**options)  # type: ignore[arg-type]
    return [(list(s.words), list(s.tags)) for s in data.load_sentences({split})[split]]


@pytest.mark.parametrize("clone", ["clone", "clone/data"])
def test_words_are_patched_and_tags_are_those_of_the_annotations(folder: Path, clone: str) -> None:
    first = ["Ann", "works", "at", "Mo.", "-", "based", "Acme", "Corp"]
    expected = [(first, ["B-PER", "O", "O", "B-LOC", "O", "O", "B-ORG", "I-ORG"]), (["Reims", "won"], ["B-ORG", "O"])]
    assert load(folder, clone) == expected
    assert load(folder, clone, "test") == expected
    data = CoNLLDataModule(data_dir=str(folder / "conll"), corrections=str(folder / clone))
    sentences = data.load_sentences({"val"})["val"]
    assert [sentence.document for sentence in sentences] == [1, 2]
    assert sentences[1].locate(0).endswith("cleanconll_annotations.dev, line 14 ('Reims')")
    (folder / "conll" / "eng.testa").write_text(CONLL.rstrip() + "\n")  # without the empty line at the end
    assert load(folder, clone) == expected


def test_other_text_is_refused_with_its_place(folder: Path) -> None:
    path, clone = folder / "conll" / "eng.testa", folder / "clone" / "data"
    path.write_text(CONLL.replace("Mo.-based", "Ohio-based"))
    with pytest.raises(InputError, match=r"eng.testa, line 7: 'Ohio-based' where .*.patch expects 'Mo.-based'"):
        load(folder)
    path.write_text(CONLL.replace("works VBZ I-VP O\n", ""))
    with pytest.raises(InputError, match=r"eng.testa, line 6: 'Mo.-based' where .* expects ''"):
        load(folder)
    path.write_text(CONLL.replace("won VBD I-VP O\n", "won VBD I-VP O\nagain RB O O\n"))
    with pytest.raises(InputError, match=r"eng.testa, line 15: 'again' where .* expects ''"):
        load(folder)
    path.write_text(CONLL.replace("Ann", "-DOCSTART-"))
    with pytest.raises(InputError, match=r"annotations.dev, line 3: .* can't be of the word '-DOCSTART-'"):
        load(folder)
    path.write_text(CONLL)
    (clone / "patch_files" / "dev_tokens.patch").write_text("@@ -1 +1 @@\n")
    with pytest.raises(InputError, match=r"dev_tokens.patch, line 1: '@@ -1 \+1 @@' is no line of a patch"):
        load(folder)
    (clone / "patch_files" / "dev_tokens.patch").unlink()
    with pytest.raises(InputError, match=r"there is no .*dev_tokens.patch; give a clone of flairNLP/CleanCoNLL"):
        load(folder)


def test_options_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"data.corrections \(.*clone\) are of entities, but data.task is pos"):
        load(folder, task="pos")
    with pytest.raises(InputError, match=r"data.corrections .* without data.data_dir"):
        load(folder, data_dir=None)
