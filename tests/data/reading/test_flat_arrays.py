"""Arrays on disk are read as plain ones."""

from pathlib import Path

import numpy as np

from lit_mlm.data.reading.flat_arrays import Arrays, map_arrays, write_arrays

DTYPES = {"ids": np.int32, "starts": np.bool_, "none": np.int64}
PARTS: list[Arrays] = [
    {"ids": np.arange(n, n + n % 3), "starts": np.arange(n) % 2 == 0, "none": np.empty(0)} for n in range(5)
]


def test_parts_are_joined(tmp_path: Path) -> None:
    write_arrays(tmp_path, PARTS, DTYPES)
    arrays = map_arrays(tmp_path, DTYPES)
    for name, dtype in DTYPES.items():
        np.testing.assert_array_equal(arrays[name], np.concatenate([part[name] for part in PARTS]))
        assert arrays[name].dtype == dtype
        assert not isinstance(arrays[name], np.memmap)
    assert not arrays["ids"].flags.writeable
    assert {path.name for path in tmp_path.iterdir()} == set(DTYPES)
