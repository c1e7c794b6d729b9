"""Quantiles of Student's t, against scipy's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from app.domain.students_t import quantile


@given(st.floats(0.0001, 0.9999), st.integers(1, 5000))
def test_a_quantile_is_what_scipy_says(p: float, df: int) -> None:
    assert quantile(p, df) == pytest.approx(t.ppf(p, df), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("p", "df"), [(0, 5), (1, 5), (-1, 5), (0.5, 0)])
def test_there_is_no_quantile_without_a_probability_and_degrees_of_freedom(p: float, df: int) -> None:
    with pytest.raises(ValueError, match="probability"):
        quantile(p, df)
