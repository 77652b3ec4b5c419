"""Files of units."""

from pathlib import Path

import numpy as np
import pytest

from lit_mlm.errors import InputError
from lit_mlm.runs.units import get_units_path, read_units, write_units


def test_units_are_read_as_written(tmp_path: Path) -> None:
    path = get_units_path(tmp_path / "metrics-last.json", "val")
    assert path.name == "units-val-last.npz"
    assert get_units_path(tmp_path / "metrics.json", "test").name == "units-test.npz"
    arrays = {"unit": np.arange(3), "nats": np.array([0.1, 1 / 3, 2.0])}
    write_units(path, {"kind": "document", "labels": ["Ö"]}, arrays)
    about, found = read_units(path)
    assert about == {"kind": "document", "labels": ["Ö"]}
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other", "pickle", "unequal"])
def test_damaged_files_are_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "units-val.npz"
    write_units(path, {}, {"unit": np.arange(100)})
    if damage == "other":
        np.savez(path, about=np.array("{}"))
    elif damage == "pickle":
        np.savez(path, about=np.array("{}"), unit=np.array([{}], dtype=object))
    elif damage == "unequal":
        write_units(path, {}, {"unit": np.arange(2), "nats": np.zeros(3)})
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:-40], "text": b"no units"}[damage])
    with pytest.raises(InputError, match=r"units-val\.npz is damaged: .+; remove it, and the run is evaluated again"):
        read_units(path)
