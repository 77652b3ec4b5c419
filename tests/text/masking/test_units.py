import numpy as np

from lit_mlm.text.masking.units import find_units, spread


def test_units_spread_to_their_tokens() -> None:
    rng = np.random.default_rng(3)
    starts = rng.random((50, 33)) < 0.6
    starts[:, 0] = True
    is_chosen = rng.random(starts.sum()) < 0.3
    first = np.cumsum(starts.sum(axis=1)) - starts.sum(axis=1)
    np.testing.assert_array_equal(spread(is_chosen, starts), is_chosen[find_units(starts) + first[:, None]])
