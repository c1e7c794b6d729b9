"""Reading long lists in pages, and making our rows of MLflow's."""

import base64
import json
import math
from collections.abc import Callable, Iterable
from types import SimpleNamespace as Row
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.domain.registry.models import Registration
from app.domain.registry.page_token import page_token_offset
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.pages import Pages, read_all


class Page(list[int]):
    """A page as MLflow's client gives it."""

    token: str | bytes | None = None


def token(offset: int) -> str:
    return base64.b64encode(json.dumps({"offset": offset, "filter_string": "x"}).encode()).decode()


class Server:
    """Pages of a sorted list, as MLflow makes them: tokens are offsets.

    Slow for pages above `fast`, never gives more than `most` rows, ends with `end`. Before every page but the first,
    `meanwhile` may change the list.
    """

    def __init__(
        self,
        rows: Iterable[int],
        fast: int = 10**9,
        most: int = 10**9,
        end: str | None = None,
        meanwhile: Callable[[list[int]], None] = lambda rows: None,
    ) -> None:
        self.list = list(rows)
        self._fast, self._most, self._end, self._meanwhile = fast, most, end, meanwhile
        self.asked: list[tuple[int, int]] = []

    def search(self, max_results: int, page_token: str | None, **_: Any) -> Page:
        start = (page_token_offset(page_token) or 0) if page_token else 0
        if self.asked:
            self._meanwhile(self.list)
        self.asked.append((max_results, start))
        if max_results > self._fast:
            raise RuntimeError("Read timed out.")
        end = start + min(max_results, self._most)
        page = Page(self.list[start:end])
        page.token = token(end) if end < len(self.list) else self._end
        return page


def same(row: int) -> int:
    return row


def read(server: Server, size: int, **more: Any) -> list[int]:
    return list(read_all(Calls(5).call, server.search, size, same, **more))


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 20), st.sampled_from(["", None]))
def test_every_row_is_read_once_in_few_pages(total: int, size: int, most: int, end: str | None) -> None:
    server = Server(range(total), most=most, end=end)
    assert read(server, size) == list(range(total))
    got = min(size, most)
    # A tenth of each page, a row at least, is read again to see that nothing lies between two pages.
    assert len(server.asked) <= 1 + max(0, -(-(total - got) // max(1, got - max(1, got // 10))))


@given(
    rows=st.sets(st.integers(0, 200), max_size=60),
    changes=st.lists(st.lists(st.integers(0, 200), max_size=25), max_size=30),
    size=st.integers(2, 20),
    most=st.none() | st.integers(1, 50),
)
def test_while_rows_come_and_go_those_that_stay_are_each_read_once(
    rows: set[int], changes: list[list[int]], size: int, most: int | None
) -> None:
    """Between two pages any rows come and go; a row that was there all the time is neither missed nor doubled."""
    stayed, there, pending = set(rows), set(rows), iter(changes)

    def meanwhile(listed: list[int]) -> None:
        for row in next(pending, []):
            there.symmetric_difference_update({row})
            stayed.discard(row)
        listed[:] = sorted(there)

    server = Server(sorted(rows), meanwhile=meanwhile)
    found = list(Pages(Calls(5).call, server.search, size, same).rows(most))
    assert len(found) == len(set(found))
    if most is None or len(found) < most:
        assert stayed <= set(found)
    else:
        assert len(found) == most
        assert {row for row in stayed if row <= max(found)} <= set(found)


@pytest.mark.parametrize("added", [1, 3, 5, 6])
def test_a_list_to_which_rows_are_added_all_the_time_is_read_to_its_end_in_few_pages(added: int) -> None:
    """The newest first, as runs are listed: pages of five, and up to six rows more before each of them."""
    newest = iter(range(-1, -(10**6), -1))

    def meanwhile(listed: list[int]) -> None:
        listed[:0] = reversed([next(newest) for _ in range(added)])

    server = Server(range(100), most=5, meanwhile=meanwhile)
    found = read(server, 1000)
    assert len(found) == len(set(found))
    assert set(range(100)) <= set(found)
    assert len(server.asked) <= 40


def test_a_list_that_grows_faster_than_it_can_be_read_ends_with_the_rows_that_were_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    newest = iter(range(-1, -(10**6), -1))

    def meanwhile(listed: list[int]) -> None:
        listed[:0] = reversed([next(newest) for _ in range(20)])

    found = read(Server(range(100), most=5, meanwhile=meanwhile), 1000)
    assert {0, 1, 2, 3, 4} <= set(found)
    assert len(found) == len(set(found))
    assert "changes faster than it can be read" in caplog.text


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 25))
def test_what_comes_after_the_most_that_was_asked_for_is_where_the_next_token_leads(
    total: int, size: int, most: int
) -> None:
    server, found, next_token = Server(range(total)), [], None
    while True:
        pages = Pages(Calls(5).call, server.search, size, same, token=next_token)
        some = list(pages.rows(most))
        found += some
        next_token = pages.next_token
        if next_token is None:
            break
        assert len(some) == most
    assert found == list(range(total))


def test_of_a_row_that_comes_again_with_the_next_page_the_later_reading_counts() -> None:
    class Changing(Server):
        def search(self, max_results: int, page_token: str | None, **more: Any) -> Page:
            page = super().search(max_results, page_token, **more)
            page[:] = [row + 1000 * len(self.asked) for row in page]
            return page

    server = Changing(range(8))
    found = list(read_all(Calls(5).call, server.search, 5, lambda row: row % 1000))
    assert found == [1000, 1001, 1002, 1003, 2004, 2005, 2006, 2007]


@pytest.mark.parametrize("given_token", [token(5), "of another kind"])
def test_a_token_that_leads_nowhere_is_an_error_and_not_an_endless_reading(given_token: str) -> None:
    asked = []

    def search(page_token: str | None, **_: Any) -> Page:
        asked.append(page_token)
        page = Page(range(5))
        page.token = given_token
        return page

    with pytest.raises(MlflowUnavailable, match="do not come to an end"):
        list(read_all(Calls(5).call, search, 5, same))
    assert len(asked) <= 3


def test_tokens_of_another_kind_are_given_back_as_they_came() -> None:
    def search(page_token: str | None, **_: Any) -> Page:
        page = Page({None: [1, 2], "b": [2, 3], "c": [4]}[page_token])
        page.token = {None: "b", "b": b"c", "c": ""}[page_token]
        return page

    assert list(read_all(Calls(5).call, search, 2, same)) == [1, 2, 3, 4]


def test_a_user_from_whom_rows_are_hidden_reads_the_others_in_as_many_pages_as_there_are() -> None:
    class Hiding(Server):
        def search(self, max_results: int, page_token: str | None, **more: Any) -> Page:
            page = super().search(max_results, page_token, **more)
            page[:] = [row for row in page if row % 7 == 0]
            return page

    server = Hiding(range(100))
    assert read(server, 10) == list(range(0, 100, 7))
    assert len(server.asked) == 10


def test_a_page_that_takes_too_long_is_asked_for_again_at_half_its_size() -> None:
    server = Server(range(1000), fast=250)
    assert read(server, 1000) == list(range(1000))
    assert server.asked[:3] == [(1000, 0), (500, 0), (250, 0)]
    assert {size for size, _ in server.asked[2:]} == {250}


def test_a_server_that_is_too_slow_for_an_eighth_counts_as_hanging() -> None:
    server = Server(range(1000), fast=1)
    with pytest.raises(MlflowTooSlow):
        read(server, 1000)
    assert [size for size, _ in server.asked] == [1000, 500, 250, 125]


def test_the_first_read_of_a_sweep_is_not_tried_again() -> None:
    server = Server(range(1000), fast=1)
    with pytest.raises(MlflowTooSlow):
        read(server, 1000, shrink=False)
    assert len(server.asked) == 1


def test_a_failure_other_than_slowness_is_not_tried_again() -> None:
    def fail(**_: Any) -> Page:
        raise ConnectionError("refused")

    with pytest.raises(MlflowUnavailable):
        list(read_all(Calls(5).call, fail, 1000, same))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), ("0.5", 0.5), (math.nan, None), ("NaN", None), (math.inf, None), (-math.inf, None),
     (1.7976931348623157e308, None), (-1.7976931348623157e308, None), (1.7e308, 1.7e308)],
)  # fmt: skip
def test_nan_and_infinity_are_null_also_as_sqlite_keeps_them(value: Any, expected: float | None) -> None:
    assert rows.number(value) == expected


def version(**more: Any) -> Row:
    told = {"name": "m", "version": "3", "current_stage": "Staging", "creation_timestamp": 5, "tags": {"a": "b"},
            "last_updated_timestamp": 6, "description": "", "run_id": "", "source": "s3://x"}  # fmt: skip
    return Row(**{**told, **more})


def test_a_version_is_the_same_whichever_way_mlflow_writes_it() -> None:
    over_rest, over_sqlite = rows.model_version(version()), rows.model_version(version(version=3, run_id=None))
    assert over_rest == over_sqlite
    assert (over_rest.version, over_rest.run_id, over_rest.description) == (3, None, None)
    assert rows.model_version(version(current_stage=None)).stage == "None"
    assert rows.model_version(version(current_stage="Odd")).stage == "None"


@pytest.mark.parametrize(
    "broken",
    [{"version": "x"}, {"version": 0}, {"version": None}, {"name": None}, {"tags": None}, {"tags": 5},
     {"creation_timestamp": "soon"}],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_left_out_counted_and_told(
    broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = [version(name="a"), version(**broken), Row(), version(name="b")]
    good, bad = rows.readable(rows.model_version, found, "model version")
    assert ([row.name for row in good], bad) == (["a", "b"], 2)
    assert caplog.text.count("A model version of MLflow's cannot be read") == 1
    assert "(2 of them)" in caplog.text


def test_what_is_told_of_a_broken_row_holds_no_credential(caplog: pytest.LogCaptureFixture) -> None:
    for field in ("name", "version"):
        row = version(**{"version": "x", field: "x" * 60 + " http://ada:hunter2-hunter2-hunter2@h"})
        rows.readable(rows.model_version, [row], "model version")
    assert caplog.text.count("cannot be read") == 2
    assert "hunter2" not in caplog.text


def test_the_log_names_the_row_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    rows.readable(rows.model_version, [version(name="churn", version="x")], "model version")
    assert "churn x: ValueError" in caplog.text


def test_the_place_of_artifacts_is_told_without_credentials() -> None:
    row = Row(experiment_id="1", name="x", artifact_location="ftp://ada:hunter2@h/a", lifecycle_stage="active",
              creation_time=1, last_update_time=2, tags={})  # fmt: skip
    assert rows.experiment(row).artifact_location == "ftp://***@h/a"


_registrations = st.builds(
    Registration, st.text(), st.integers(1, 99), st.sampled_from(["classifier", "regressor"]), st.text(),
    st.integers(1, 2**40), st.just("run"), st.integers(0, 2**40),
)  # fmt: skip


@given(_registrations)
def test_a_registration_comes_back_from_its_monitor_run_as_it_went_in(wanted: Registration) -> None:
    run = Row(data=Row(tags=rows.registration_tags(wanted)), info=Row(start_time=wanted.registered_at, run_id="run"))
    assert rows.registration(run) == wanted


@pytest.mark.parametrize("change", [{"control_tower.model_type": "ranker"}, {"control_tower.model_version": "x"}, None])
def test_a_run_of_somebody_elses_is_no_registration(change: dict[str, str] | None) -> None:
    tags = rows.registration_tags(Registration("m", 1, "classifier", "ada", 1, "run", 1))
    run = Row(data=Row(tags={**tags, **change} if change else {}), info=Row(start_time=1, run_id="run"))
    assert rows.readable(rows.registration, [run], "monitor run") == ([], 1)


@pytest.mark.parametrize("status", ["FINISHED", "RUNNING"])
def test_a_run_that_has_not_ended_has_no_end(status: str) -> None:
    info = Row(run_id="r", experiment_id="1", status=status, start_time=5, end_time=0)
    found = rows.run(Row(info=info, data=Row(metrics={"a": math.nan, "b": 1}, params={"p": "1"}, tags={})))
    assert (found.status, found.start_time, found.end_time) == (status, 5, None)
    assert (found.metrics, found.params) == ({"a": None, "b": 1.0}, {"p": "1"})


def test_a_point_keeps_its_time_and_loses_what_is_no_number() -> None:
    assert rows.metric_point("r", Row(key="a", timestamp="7", step=0, value="NaN"), "source run").value is None
    assert rows.metric_point("r", Row(key="a", timestamp="7", step=0, value="0.5"), "source run").time == 7


def test_aliases_name_version_numbers_whichever_way_mlflow_writes_them() -> None:
    row = Row(name="m", creation_timestamp=None, last_updated_timestamp=2, description="", tags={}, aliases={"a": "12"})
    found = rows.registered_model(row)
    assert (found.aliases, found.created, found.updated, found.description) == ({"a": 12}, 0, 2, None)
