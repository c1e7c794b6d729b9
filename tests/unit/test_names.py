"""What counts as a version, as an experiment's id, and how a registration is found again."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.registry.models import VersionKey
from app.domain.registry.names import is_experiment_id, registration_key, similar_names, version_number


@given(st.integers(1, 999_999_999))
def test_every_version_up_to_nine_digits_is_its_number(number: int) -> None:
    assert version_number(str(number)) == number


@given(
    st.one_of(st.text(max_size=12), st.from_regex(r"[+\-0 ]?[0-9]{1,21}\n?"), st.from_regex(r"\d{1,9}", fullmatch=True))
)
def test_a_version_is_read_back_as_it_was_written_or_not_at_all(text: str) -> None:
    number = version_number(text)
    assert number is None or (str(number) == text and 1 <= number <= 999_999_999)


@given(st.one_of(st.text(max_size=20), st.from_regex(r"[0-9]{1,20}\n?"), st.from_regex(r"\d{1,18}", fullmatch=True)))
def test_an_experiment_id_is_one_to_eighteen_plain_digits(text: str) -> None:
    plain = text != "" and set(text) <= set("0123456789")
    assert is_experiment_id(text) is (plain and len(text) <= 18)


_keys = st.tuples(st.text(max_size=10), st.integers(1, 99))


@given(_keys, _keys)
def test_two_versions_share_a_key_only_where_they_are_the_same(one: VersionKey, other: VersionKey) -> None:
    assert (registration_key(*one) == registration_key(*other)) is (one == other)


@given(st.text(), st.integers(1, 999_999_999))
def test_a_key_can_be_written_into_a_filter_whatever_the_name_holds(name: str, version: int) -> None:
    key = registration_key(name, version)
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")


def test_names_that_share_runs_of_three_characters_are_similar_the_nearest_first() -> None:
    known = ["digits", "Digits-v2", "wine", "", "dig", "x" * 300]
    assert similar_names("digts", known) == ["digits", "dig"]
    assert similar_names("DIGITS", known)[:2] == ["digits", "Digits-v2"]
    assert similar_names("..", known) == similar_names("模型", known) == []
