import numpy as np

from lit_mlm.text.masking.units import fill, find_units, spread


def test_filling_takes_what_fits_from_the_left() -> None:
    sizes = np.array([[5, 3, 0, 4, 2, 1, 1], [9, 9, 9, 9, 9, 9, 9]])
    assert fill(sizes, np.array([9, 8])).tolist() == [[True, True, False, False, False, True, False], [False] * 7]
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 12, (500, 30))
    budgets = rng.integers(0, 40, 500)
    taken = fill(sizes, budgets)
    for row in range(500):
        left = budgets[row]
        for size, is_taken in zip(sizes[row], taken[row], strict=True):
            assert is_taken == (0 < size <= left)
            left -= size * is_taken


def test_units_spread_to_their_tokens() -> None:
    rng = np.random.default_rng(3)
    starts = rng.random((50, 33)) < 0.6
    starts[:, 0] = True
    is_chosen = rng.random(starts.sum()) < 0.3
    first = np.cumsum(starts.sum(axis=1)) - starts.sum(axis=1)
    np.testing.assert_array_equal(spread(is_chosen, starts), is_chosen[find_units(starts) + first[:, None]])
