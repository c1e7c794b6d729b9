"""The key metric: of all metrics the one to look at first, and whether it went to the worse side."""

from typing import Any

import pytest

from app.domain.monitoring.directions import direction_of
from app.domain.monitoring.key_metric import KeyMetric, key_metric


def checked(**verdicts: str) -> dict[str, dict[str, Any]]:
    """Metrics as a check holds them."""
    return {
        name: {
            "verdict": verdict,
            "last": 0.8,
            "last_at": "2023-12-07T00:00:00Z",
            "baseline": {"mean": 0.9, "std": 0.01, "n": 20},
            "recent": [0.9, 0.8],
        }
        for name, verdict in verdicts.items()
    }


def name_of(metrics: dict[str, dict[str, Any]], **logged: float) -> str | None:
    found = key_metric(metrics, logged, direction_of)
    return found.name if found else None


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"accuracy": "healthy", "zz": "drifting", "recall": "degraded"}, "zz"),
        ({"accuracy": "insufficient_data", "zz": "healthy"}, "zz"),
        ({"accuracy": "healthy", "recall": "degraded"}, "recall"),
        ({"zz": "drifting", "loss": "drifting", "f1": "drifting", "f1_score": "drifting"}, "f1_score"),
        ({"zz": "healthy", "aa": "healthy"}, "aa"),
        ({"system/cpu": "insufficient_data", "wer": "insufficient_data"}, "wer"),
    ],
)
def test_the_worst_metric_is_chosen_and_of_several_the_best_known(verdicts: dict[str, str], expected: str) -> None:
    assert name_of(checked(**verdicts), accuracy=1.0) == expected


def test_where_nothing_was_checked_it_is_the_best_known_of_those_logged() -> None:
    found = key_metric({}, {"zz": 1.0, "rmse": 0.5, "r2": 0.9}, direction_of)
    assert found == KeyMetric("rmse", 0.5, "lower")
    assert (found.change, found.worse, found.baseline, found.recent) == (None, None, None, ())
    assert key_metric({}, {"accuracy": None}, direction_of) == KeyMetric("accuracy", None, "higher")
    assert key_metric({}, {}, direction_of) is None


@pytest.mark.parametrize(
    ("last", "direction", "worse"),
    [
        (0.8, "higher", True),
        (1.0, "higher", False),
        (0.8, "lower", False),
        (1.0, "lower", True),
        (0.9, "lower", None),
        (0.8, None, None),
        (None, "higher", None),
    ],
)
def test_a_change_is_worse_to_the_side_that_the_direction_says(
    last: float | None, direction: str | None, worse: bool | None
) -> None:
    found = KeyMetric("m", last, direction, baseline={"mean": 0.9, "std": 0.01, "n": 20})
    assert found.worse is worse
    assert found.change == (None if last is None else last - 0.9)


def test_without_a_baseline_there_is_no_change() -> None:
    found = key_metric({"accuracy": {"verdict": "healthy", "last": 0.8, "baseline": None}}, {}, direction_of)
    assert found is not None
    assert (found.last, found.change, found.worse) == (0.8, None, None)
