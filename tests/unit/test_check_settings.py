"""The settings of a registration: what is taken, what is refused, and how a change is laid over them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.monitoring.check_settings import (
    Baseline,
    CheckSettings,
    Limits,
    check_settings,
    merged,
    settings_or_default,
)

FULL: dict[str, Any] = {
    "limits": {"accuracy": {"min": 0.9, "max": 1}},
    "baseline": {"points": 30},
    "silence_hours": 48,
    "alarm": {"m": 2, "n": 4},
    "direction": {"my_score": "higher"},
}


def test_without_settings_the_defaults_hold() -> None:
    assert check_settings({}) == CheckSettings({}, Baseline(20), None, 3, 5, {})


def test_all_settings_are_taken() -> None:
    assert check_settings(FULL) == CheckSettings(
        {"accuracy": Limits(0.9, 1)}, Baseline(30), 48, 2, 4, {"my_score": "higher"}
    )
    period = {"baseline": {"from": "2023-12-01T00:00:00Z", "to": "2023-12-31T01:00:00+01:00"}}
    assert check_settings(period).baseline == Baseline(since=1_701_388_800_000, until=1_703_980_800_000)
    assert check_settings({"baseline": {"version": "3"}}).baseline == Baseline(version=3)


BAD: list[tuple[Any, str]] = [
    ([], "settings: Not an object."),
    ("x", "settings: Not an object."),
    ({"limit": {}}, "settings: 'limit' is not known."),
    ({"limits": 3}, "limits: Not an object."),
    ({"limits": {"accuracy": 3}}, "limits.accuracy: Not an object."),
    ({"limits": {"accuracy": {"least": 3}}}, "limits.accuracy: 'least' is not known."),
    ({"limits": {"accuracy": {"min": "0.9"}}}, "limits.accuracy.min: Not a number."),
    ({"limits": {"accuracy": {"min": True}}}, "limits.accuracy.min: Not a number."),
    ({"limits": {"accuracy": {"min": 2, "max": 1}}}, "limits.accuracy: min is above max."),
    ({"limits": {"a'b": {"min": 2}}}, 'limits: "a\'b" cannot be the name of a metric.'),
    ({"baseline": {"points": 9}}, "baseline.points: must be from 10 to 1000."),
    ({"baseline": {"points": 20.5}}, "baseline.points: Not a whole number."),
    ({"baseline": {"points": 20, "version": "1"}}, "baseline: give points, or from and to, or version."),
    ({"baseline": {"from": "2023-12-01T00:00:00Z"}}, "baseline: give points, or from and to, or version."),
    ({"baseline": {"from": "2023-12-01", "to": "2023-12-02"}}, "baseline.from: Not a time."),
    ({"baseline": {"from": "2023-12-02T00:00:00Z", "to": "2023-12-01T00:00:00Z"}}, "baseline: from is after to."),
    ({"baseline": {"version": 3}}, "baseline.version: Not a version."),
    ({"baseline": {"version": "03"}}, "baseline.version: Not a version."),
    ({"silence_hours": {}}, "silence_hours: Not a number."),
    ({"silence_hours": {"a": None}}, "silence_hours: Not a number."),
    ({"baseline": {}}, "baseline: give points, or from and to, or version."),
    ({"limits": {"accuracy": {}}}, "limits.accuracy: needs min, max or both."),
    ({"silence_hours": 0}, "silence_hours: must be more than 0."),
    ({"silence_hours": -1}, "silence_hours: must be from 0 to"),
    ({"silence_hours": "48"}, "silence_hours: Not a number."),
    ({"alarm": {"m": 6, "n": 5}}, "alarm: m is more than n."),
    ({"alarm": {"m": 0}}, "alarm.m: must be from 1 to 100."),
    ({"alarm": {"n": 101}}, "alarm.n: must be from 1 to 100."),
    ({"alarm": {"m": "3"}}, "alarm.m: Not a whole number."),
    ({"direction": {"x": "up"}}, "direction.x: must be higher or lower."),
    ({"direction": {"x": ["higher"]}}, "direction.x: must be higher or lower."),
]


@pytest.mark.parametrize(("given_settings", "detail"), BAD)
def test_what_cannot_be_used_is_refused_with_its_place(given_settings: Any, detail: str) -> None:
    with pytest.raises(InvalidInput) as error:
        merged({}, given_settings)
    assert detail in error.value.detail


def test_a_change_leaves_what_it_does_not_name_and_null_restores_a_default() -> None:
    assert merged(FULL, {"silence_hours": None}) == {k: v for k, v in FULL.items() if k != "silence_hours"}
    found = merged(FULL, {"limits": {"f1": {"max": 2}, "accuracy": {"max": None}}})
    assert found["limits"] == {"accuracy": {"min": 0.9}, "f1": {"max": 2}}
    assert merged(FULL, {"limits": {"accuracy": None}}) == {k: v for k, v in FULL.items() if k != "limits"}
    assert "limits" not in merged(FULL, {"limits": {"accuracy": {"min": None, "max": None}}})
    assert merged({"limits": {"a": {"min": 1}, "b": {"max": 1}}}, {"limits": {"a": {"min": None}}}) == {
        "limits": {"b": {"max": 1}}
    }
    assert merged(FULL, {"alarm": {"m": 3}})["alarm"] == {"m": 3, "n": 4}
    assert merged(FULL, dict.fromkeys(FULL)) == {}
    assert merged(FULL, {}) == FULL


def test_a_baseline_of_another_kind_replaces_the_one_before() -> None:
    assert merged(FULL, {"baseline": {"version": "3"}})["baseline"] == {"version": "3"}


def test_a_change_that_makes_the_whole_unusable_is_refused() -> None:
    with pytest.raises(InvalidInput, match="alarm: m is more than n"):
        merged(FULL, {"alarm": {"n": 1}})


def test_settings_that_mlflow_would_cut_are_refused() -> None:
    many = {"limits": {f"metric {n}": {"min": 0.5} for n in range(400)}}
    with pytest.raises(InvalidInput, match="longer than 8000 characters"):
        merged({}, many)


def test_what_nests_without_end_is_refused_and_not_followed() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    with pytest.raises(InvalidInput):
        merged(FULL, {"limits": deep})


def test_settings_that_somebody_made_unusable_by_hand_are_the_defaults() -> None:
    assert settings_or_default({"alarm": "often"}) == CheckSettings()


_names = st.sampled_from(["accuracy", "f1", "rmse"])
_settings = st.fixed_dictionaries(
    {},
    optional={
        "limits": st.dictionaries(_names, st.fixed_dictionaries({"min": st.floats(0, 1)}), min_size=1),
        "baseline": st.sampled_from([{"points": 10}, {"version": "2"}]),
        "silence_hours": st.integers(1, 100),
        "direction": st.dictionaries(_names, st.sampled_from(["higher", "lower"]), min_size=1),
    },
)


@given(_settings, _settings)
def test_laying_the_same_change_over_twice_is_laying_it_over_once(known: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merged(merged({}, known), patch)
    assert merged(once, patch) == once
    assert merged(once, dict.fromkeys(once)) == {}
