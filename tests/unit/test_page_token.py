"""Page tokens: MLflow's are known, anything else is refused before MLflow is asked."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.registry.page_token import page_token_offset

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["offset", "x"]), inner, max_size=2),
)


@given(st.integers(1, 2**62 - 1))
def test_a_token_of_mlflows_is_its_offset(offset: int) -> None:
    assert page_token_offset(base64.b64encode(json.dumps({"offset": offset}).encode()).decode()) == offset


@given(st.text() | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_no_token_and_breaks_nothing(token: str) -> None:
    offset = page_token_offset(token)
    assert offset is None or 0 < offset < 2**62


@given(_json)
def test_only_a_positive_whole_offset_counts(value: Any) -> None:
    offset = value.get("offset") if isinstance(value, dict) else None
    good = type(offset) is int and 0 < offset < 2**62
    token = base64.b64encode(json.dumps(value).encode()).decode()
    assert page_token_offset(token) == (offset if good else None)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"offset": ' + b"9" * 5000 + b"}", b'{"offset": 1', b"\xff"])
def test_a_token_made_to_break_the_parser_is_none(raw: bytes) -> None:
    assert page_token_offset(base64.b64encode(raw).decode()) is None
