"""Observations that a client sends: all or none are taken, and each bad one is named."""

from typing import Any

import pytest

from app.domain.errors import InvalidInput
from app.domain.monitoring.observations import Observation, observations_of

NOW = 1_701_945_000_000  # 2023-12-07T10:30:00Z


def refused(body: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as error:
        observations_of(body, NOW)
    return error.value.detail


def test_metrics_without_a_time_are_of_now() -> None:
    assert observations_of({"metrics": {"accuracy": 0.93, "f1": 1}}, NOW) == [
        Observation("accuracy", NOW, 0.93),
        Observation("f1", NOW, 1.0),
    ]


def test_several_observations_have_times_of_their_own() -> None:
    rows = [
        {"metrics": {"a": 1}, "timestamp": "2023-12-07T10:30:00Z"},
        {"metrics": {"a": 2}, "timestamp": "2023-12-07T12:30:00.25+02:00"},
        {"metrics": {"a": 3}, "timestamp": "1970-01-01T00:00:00Z"},
        {"metrics": {"a": 4}, "timestamp": "2023-12-07 10:35:00z"},
    ]
    assert [one.time for one in observations_of({"observations": rows}, NOW)] == [NOW, NOW + 250, 0, NOW + 300_000]


def test_those_without_a_time_keep_the_order_they_were_sent_in() -> None:
    found = observations_of({"observations": [{"metrics": {"a": n}} for n in range(3)]}, NOW)
    assert [(one.value, one.time) for one in found] == [(0, NOW - 2), (1, NOW - 1), (2, NOW)]


BAD_TIMES = ["2023-12-07", "2023-12-07T10:30:00", "yesterday", "", 1_701_945_000, True, [], "2023-02-30T00:00:00Z",
             "2023-12-07T10:35:01Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59",
             "2023-12-07T10:30:00+99:00", "２０23-12-07T10:30:00Z"]  # fmt: skip


@pytest.mark.parametrize("time", BAD_TIMES)
def test_a_time_that_is_none_or_out_of_range_is_refused(time: Any) -> None:
    assert refused({"metrics": {"a": 1}, "timestamp": time}).startswith("timestamp: ")


@pytest.mark.parametrize("value", ["0.9", None, True, [1], {"value": 1}, 10**400, 1.797e308, -1.797e308])
def test_a_value_that_is_no_finite_number_is_refused(value: Any) -> None:
    assert refused({"metrics": {"accuracy": value}}).startswith("metrics.accuracy: Not a ")


@pytest.mark.parametrize("name", ["", "a'b", "🧬", "../a", "x" * 251, "control_tower.verdict", "a\nb"])
def test_a_name_that_mlflow_does_not_take_and_the_services_own_are_refused(name: str) -> None:
    assert refused({"metrics": {name: 1}}).startswith("metrics.")


def test_every_bad_one_is_named_by_its_index_and_the_good_are_not_taken() -> None:
    rows = [{"metrics": {"a": 1}}, {"metrics": {"a": "x"}}, 5, {"metrics": {}}, {"metrics": {"a": 1}, "time": 1}]
    assert refused({"observations": rows}) == (
        "observations[1].metrics.a: Not a number.; observations[2]: Not an object.; "
        'observations[3].metrics: Needed, as {"accuracy": 0.93}.; observations[4].time: Unknown field.'
    )


def test_a_thousand_bad_ones_do_not_make_a_thousand_lines() -> None:
    assert refused({"observations": [5] * 1000}).endswith("; and 980 more")


@pytest.mark.parametrize("body", [{}, {"observations": []}, {"observations": {}}, {"observations": None}])
def test_a_request_without_a_value_is_refused(body: dict[str, Any]) -> None:
    assert refused(body)


def test_a_thousand_values_are_taken_and_one_more_is_not() -> None:
    rows = [{"metrics": {f"m{n}": n for n in range(10)}}] * 100
    assert len(observations_of({"observations": rows}, NOW)) == 1000
    assert "At most 1000" in refused({"observations": [*rows, {"metrics": {"a": 1}}]})


def test_both_forms_at_once_are_refused() -> None:
    assert refused({"observations": [{"metrics": {"a": 1}}], "metrics": {"a": 1}})
