"""Credentials in addresses are taken out of every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.redact import redact, without_userinfo

_secret = st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="/ \"'<>"), min_size=1)


@given(_secret, _secret, st.sampled_from(["http", "https", "postgresql", "mysql+pymysql"]), st.text(max_size=9))
def test_no_user_name_and_no_password_is_left_in_a_text(user: str, password: str, scheme: str, around: str) -> None:
    user, password = f"u-{user}-u", f"p-{password}-p"
    text = f"{around} cannot reach {scheme}://{user}:{password}@host.example:5000/path?x=1 {around}"
    assert user not in redact(text).replace(around, "")
    assert password not in redact(text).replace(around, "")
    assert f"{scheme}://***@host.example:5000/path?x=1" in redact(text)
    assert without_userinfo(f"{scheme}://{user}:{password}@host/db") == f"{scheme}://host/db"


@given(st.text(st.characters(exclude_characters="@")))
def test_a_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert redact(text) == without_userinfo(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a:b@h and https://c@h2", "http://***@h and https://***@h2"),
        ("mail ada@example.com", "mail ada@example.com"),
        ("http://host/path@x", "http://host/path@x"),
        ("(url: 'http://a:b@h/')", "(url: 'http://***@h/')"),
    ],
)
def test_only_credentials_are_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected
