"""Reading by many ids or names: addresses stay short, and only what fails is not read."""

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.errors import MlflowAddressRefused, MlflowMissing, MlflowTooSlow, TowerError
from app.services.mlflow_gateway.batches import batches, read_each, room_for
from app.services.mlflow_gateway.calls import Calls

# Bytes of the first line of a request, by default of the gunicorn that serves MLflow.
_LONGEST_TAKEN = 4094
_NAMES = st.lists(st.text(min_size=1, max_size=400), unique=True, max_size=60)


def size(name: str) -> int:
    return len(f"id={quote_plus(name)}&")


@example([f"{n} {'ü' * 60}" for n in range(60)], 60, "https://h/a/long/prefix/before/mlflow")
@given(_NAMES, st.integers(1, 30), st.sampled_from(["http://h", "https://h/a/long/prefix/before/mlflow"]))
def test_no_address_is_longer_than_mlflow_takes_and_each_item_is_asked_for_once(
    names: list[str], most: int, uri: str
) -> None:
    names = [name.encode("utf-8", "replace").decode() for name in names]
    fixed = [("metric_key", "Größe"), ("max_results", "25000")]
    made = list(batches(names, most, room_for(uri, "/api/path", fixed), size))
    assert [name for batch in made for name in batch] == names
    for batch in made:
        query = "".join(f"id={quote_plus(name)}&" for name in batch) + "metric_key=Gr%C3%B6%C3%9Fe&max_results=25000"
        line = f"GET {uri.partition('//h')[2]}/api/path?{query} HTTP/1.1\r\n"
        assert len(line) <= _LONGEST_TAKEN or len(batch) == 1
        assert 0 < len(batch) <= most


@given(st.integers(1, 100), st.data())
def test_one_that_cannot_be_read_alone_is_not_read_and_the_others_are_once_each(
    count: int, data: st.DataObject
) -> None:
    bad = data.draw(st.integers(0, count - 1))
    answered: list[int] = []

    def read(some: Sequence[int]) -> int:
        if bad in some:
            raise MlflowMissing("gone")
        answered.extend(some)
        return len(some)

    calls = Calls(5)
    answers, failures = read_each(calls, [(read, list(range(count)))])
    assert failures.keys() == {bad}
    assert Counter(answered) == Counter(set(range(count)) - {bad})
    assert sum(answers) == count - 1


@given(st.integers(1, 100), st.integers(1, 100))
def test_what_is_too_long_for_a_proxy_is_asked_for_in_smaller_parts(count: int, longest: int) -> None:
    answered: list[int] = []

    def read(some: Sequence[int]) -> None:
        if len(some) > max(longest, count // 8):
            raise MlflowAddressRefused("too long")
        answered.extend(some)

    assert read_each(Calls(5), [(read, list(range(count)))])[1] == {}
    assert sorted(answered) == list(range(count))


def test_a_server_that_hangs_is_not_asked_for_each_item() -> None:
    asked: list[int] = []
    error: TowerError = MlflowTooSlow("hangs")

    def read(some: Sequence[int]) -> None:
        asked.append(len(some))
        raise error

    _, failures = read_each(Calls(5), [(read, list(range(100)))])
    assert failures == dict.fromkeys(range(100), error)
    assert asked == [100, 50, 25, 12]
