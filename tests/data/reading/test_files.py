"""Finding files."""

from pathlib import Path

import pytest

from lit_mlm.data.reading.files import check_encoding, find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "c.jsonl.gz", "sub/d.txt", "sub/.hidden.txt", "notes.md", "odd[1].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "loop").symlink_to(tmp_path / "sub")
    (tmp_path / "sub" / "again").symlink_to(tmp_path / "sub")
    (tmp_path / "UPPER").mkdir()
    (tmp_path / "UPPER" / "E.TXT").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*.txt"], ["a.txt", "b.txt", "odd[1].txt"]),
        (["b.txt", "a.txt"], ["b.txt", "a.txt"]),
        (["**/*.txt"], ["a.txt", "b.txt", "sub/d.txt", "odd[1].txt"]),  # by way of loop/
        (["odd[1].txt"], ["odd[1].txt"]),
        (["sub"], ["sub/d.txt"]),
        (["b.txt", "*.txt", "sub/../b.txt"], ["b.txt", "a.txt", "odd[1].txt"]),
        (["loop"], ["sub/d.txt"]),
        (["UPPER"], ["UPPER/E.TXT"]),
    ],
)
def test_files_folders_and_patterns(folder: Path, patterns: list[str], found: list[str]) -> None:
    files = find_files([str(folder / pattern) for pattern in patterns], "data.train_files")
    assert [file.resolve() for file in files] == [folder / name for name in found]


def test_what_names_no_file_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"data.val_files: no file matches .*b.text; did you mean .*b.txt\?"):
        find_files([str(folder / "b.text")], "data.val_files")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the folder .*empty has no .txt, .jsonl, .json, .csv, .tsv, .parquet file"):
        find_files([str(folder / "empty")], "data.val_files")
    with pytest.raises(ValueError, match=r"no file matches .*nowhere/\*$"):
        find_files([str(folder / "nowhere" / "*")], "data.val_files")
    with pytest.raises(ValueError, match=r"notes.md has an unsupported file type; supported are .txt, .jsonl"):
        find_files([str(folder / "notes.md")], "data.val_files")


@pytest.mark.parametrize("encoding", ["latin-11", "hex"])
def test_encodings_of_no_text_are_refused(encoding: str) -> None:
    check_encoding("latin-1")
    with pytest.raises(ValueError, match=f"data.encoding {encoding} is not a text encoding"):
        check_encoding(encoding)
