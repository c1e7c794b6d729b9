"""Reading long lists in pages, and making our rows of MLflow's."""

import math
from types import SimpleNamespace as Row
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.domain.models import Registration
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.pages import read_all


class Page(list[int]):
    """A page as MLflow's client gives it."""

    token: str | None = None


class Server:
    """Pages of the numbers below `total`, slow for pages above `fast`; its last token is `end`."""

    def __init__(self, total: int, fast: int = 10**9, end: str | None = None) -> None:
        self._total, self._fast, self._end = total, fast, end
        self.asked: list[tuple[int, str | None]] = []

    def search(self, max_results: int, page_token: str | None, **_: Any) -> Page:
        self.asked.append((max_results, page_token))
        if max_results > self._fast:
            raise RuntimeError("Read timed out.")
        start = int(page_token or 0)
        page = Page(range(start, min(start + max_results, self._total)))
        page.token = str(start + max_results) if start + max_results < self._total else self._end
        return page


@given(st.integers(0, 60), st.integers(1, 20), st.sampled_from(["", None]))
def test_every_row_is_read_once_in_as_few_pages_as_there_are(total: int, size: int, end: str | None) -> None:
    server = Server(total, end=end)
    assert list(read_all(Calls(5), server.search, size)) == list(range(total))
    assert len(server.asked) == max(1, -(-total // size))


def test_a_page_that_takes_too_long_is_asked_for_again_at_half_its_size() -> None:
    server = Server(1000, fast=250)
    assert list(read_all(Calls(5), server.search, 1000)) == list(range(1000))
    assert server.asked[:3] == [(1000, None), (500, None), (250, None)]
    assert {size for size, _ in server.asked[2:]} == {250}


def test_a_server_that_is_too_slow_for_an_eighth_counts_as_hanging() -> None:
    server = Server(1000, fast=1)
    with pytest.raises(MlflowTooSlow):
        list(read_all(Calls(5), server.search, 1000))
    assert [size for size, _ in server.asked] == [1000, 500, 250, 125]


def test_the_first_read_of_a_sweep_is_not_tried_again() -> None:
    server = Server(1000, fast=1)
    with pytest.raises(MlflowTooSlow):
        list(read_all(Calls(5), server.search, 1000, shrink=False))
    assert len(server.asked) == 1


def test_a_failure_other_than_slowness_is_not_tried_again() -> None:
    def fail(**_: Any) -> Page:
        raise ConnectionError("refused")

    with pytest.raises(MlflowUnavailable):
        list(read_all(Calls(5), fail, 1000))


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
    assert caplog.text.count("A model version of MLflow's cannot be read") == 2


def test_what_is_told_of_a_broken_row_holds_no_credential(caplog: pytest.LogCaptureFixture) -> None:
    rows.readable(rows.model_version, [version(version="http://ada:hunter2@h")], "model version")
    assert "cannot be read" in caplog.text
    assert "hunter2" not in caplog.text


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
