"""Amounts of many kernels added up: as one number after the other is, to the last digit."""

from __future__ import annotations

from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from analysis.words.ops import Amounts, added

amounts = st.one_of(
    st.floats(min_value=0, max_value=1e18),
    st.integers(min_value=0, max_value=10**18),
)


@given(st.lists(amounts, min_size=1, max_size=6), st.data())
def test_a_sum_is_that_of_one_number_after_the_other(numbers: list[float], data: st.DataObject) -> None:
    kernels = [Amounts(number, 2.0 * number, 0.0, {"t_compute": number / 3}) for number in numbers]
    kernels.append(Amounts(0.1, 0.2, 0.3, {"t_memory": 0.4}))
    order = data.draw(st.lists(st.sampled_from(range(len(kernels))), min_size=1, max_size=60))
    parts = [kernels[at] for at in order]
    total = added(parts)
    assert total.flops == reduce(add, [part.flops for part in parts])
    assert type(total.flops) is type(reduce(add, [part.flops for part in parts]))
    assert total.hbm_bytes == reduce(add, [part.hbm_bytes for part in parts])
    assert total.network_bytes == reduce(add, [part.network_bytes for part in parts])
    for word in ("t_compute", "t_memory"):
        wanted = reduce(add, [part.times_s.get(word, 0.0) for part in parts])
        assert total.times_s.get(word, 0.0) == wanted
