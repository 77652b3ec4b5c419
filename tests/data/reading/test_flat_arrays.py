"""Arrays on disk appear whole, and are read as plain ones."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lit_mlm.data.reading.flat_arrays import Arrays, map_arrays, write_arrays
from lit_mlm.errors import InputError
from tests.data.conftest import limit_files

DTYPES = {"ids": np.int32, "starts": np.bool_, "none": np.int64}
PARTS: list[Arrays] = [
    {"ids": np.arange(n, n + n % 3), "starts": np.arange(n) % 2 == 0, "none": np.empty(0)} for n in range(5)
]


def test_parts_are_joined(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a", PARTS, DTYPES)
    arrays = map_arrays(tmp_path / "a", DTYPES)
    assert arrays is not None
    for name, dtype in DTYPES.items():
        np.testing.assert_array_equal(arrays[name], np.concatenate([part[name] for part in PARTS]))
        assert arrays[name].dtype == dtype
        assert not isinstance(arrays[name], np.memmap)
    assert not arrays["ids"].flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_missing_or_cut_is_none(tmp_path: Path) -> None:
    assert map_arrays(tmp_path / "a", DTYPES) is None
    write_arrays(tmp_path / "a", PARTS, DTYPES)
    assert map_arrays(tmp_path / "a", DTYPES | {"other": np.bool_}) is None
    (tmp_path / "a" / "ids").write_bytes((tmp_path / "a" / "ids").read_bytes()[:-1])
    assert map_arrays(tmp_path / "a", DTYPES) is None


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop() -> Iterator[Arrays]:
        yield PARTS[4]
        assert (tmp_path / ".a.unfinished" / "ids").stat().st_size > 0
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        write_arrays(tmp_path / "a", stop(), DTYPES)
    assert list(tmp_path.iterdir()) == []


def test_what_was_abandoned_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    two_days_ago = time.time() - 2 * 24 * 60 * 60
    for name, written in (("dead", two_days_ago), ("alive", None)):
        folder = tmp_path / f".{name}.unfinished"
        folder.mkdir()
        (folder / "ids").write_bytes(b"1234")
        os.utime(folder, (two_days_ago, two_days_ago))
        if written is not None:
            os.utime(folder / "ids", (written, written))
    write_arrays(tmp_path / "a", PARTS, DTYPES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".alive.unfinished", "a"]


def test_full_disk_is_told(tmp_path: Path) -> None:
    message = f"can't write to the cache {tmp_path / 'a'}: File too large; free disk space, or choose another folder"
    with limit_files(1000), pytest.raises(InputError, match=message):
        write_arrays(tmp_path / "a", [{"ids": np.arange(999)}], {"ids": np.int32})
    assert list(tmp_path.iterdir()) == []
