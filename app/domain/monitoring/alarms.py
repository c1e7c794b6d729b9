"""Alarms: what a rule found wrong with a metric, in words, alone or together with other metrics."""

from collections.abc import Sequence
from typing import Any

from app.domain.monitoring.baselines import BELOW
from app.domain.monitoring.key_metric import fame
from app.domain.monitoring.reasons import distinct, listed, short
from app.domain.monitoring.verdicts import Alarm, severity
from app.domain.times import day_in_words, rfc3339

_LARGEST_EXCESS = 1e6


def excess_of(distance: float, allowed: float) -> float:
    """How many times the allowed distance a distance is; bounded, so that it can be written as JSON."""
    return min(distance / allowed, _LARGEST_EXCESS) if allowed else _LARGEST_EXCESS


def badness(alarm: Alarm) -> tuple[Any, ...]:
    """Sorts alarms, the worst first: by verdict, then by how far the value is out, then the best known metric."""
    return -severity(alarm.verdict), -alarm.excess, *fame(alarm.metric)


def alarm_in_words(alarm: Alarm, now: int) -> str:
    """The reason that an alarm about one metric gives. `now` in milliseconds; a day of another year has its year."""
    if alarm.sentence is not None:
        return f"{alarm.metric}{alarm.sentence}"
    verb, lasting = _verb(alarm), ", a small deviation that lasts (cumulative sum)" if alarm.accumulates else ""
    since = "" if alarm.began == alarm.at else f" since {day_in_words(alarm.began, now)}"
    return (
        f"{alarm.metric} {verb} to {_worst_value(alarm, now)}{lasting}; {alarm.expectation}."
        f"{_count(alarm, since)} {_present(alarm)}"
    )


def reasons_of(alarms: Sequence[Alarm], now: int) -> list[str]:
    """The reasons that the alarms of a version give, the worst first: metrics that changed together are one reason."""
    return [_group_in_words(group, now) for group in _groups(sorted(alarms, key=badness))]


def alarm_info(alarm: Alarm) -> dict[str, Any]:
    """An alarm as JSON."""
    return {
        "rule": alarm.rule,
        "verdict": alarm.verdict,
        "value": alarm.value,
        "at": rfc3339(alarm.at),
        "expected_min": alarm.low,
        "expected_max": alarm.high,
        "began_at": rfc3339(alarm.began),
        "fired": alarm.out,
        "of": alarm.among,
        "excess": alarm.excess,
        "accumulates": alarm.accumulates,
    }


def _groups(worst_first: Sequence[Alarm]) -> list[list[Alarm]]:
    groups: list[list[Alarm]] = []
    for alarm in worst_first:
        together = (group for group in groups if _is_together(alarm, group[0]))
        group = next(together, None)
        if group is None:
            groups.append([alarm])
        else:
            group.append(alarm)
    return groups


def _is_together(alarm: Alarm, worst: Alarm) -> bool:
    if alarm.rule != worst.rule or alarm.metric == worst.metric:
        return False
    if worst.sentence is not None:
        # What is said without figures of the metric holds for several metrics alike.
        return worst.value is None and (alarm.sentence, alarm.began) == (worst.sentence, worst.began)
    return abs(alarm.began - worst.began) <= worst.span


def _group_in_words(group: Sequence[Alarm], now: int) -> str:
    worst = group[0]
    if len(group) == 1:
        return alarm_in_words(worst, now)
    if worst.sentence is not None:
        return f"{listed([alarm.metric for alarm in group])}{worst.sentence}"
    since = day_in_words(min(alarm.began for alarm in group), now)
    verbs = dict.fromkeys(_verb(alarm) for alarm in group)
    moved = " and ".join(
        f"{listed([alarm.metric for alarm in group if _verb(alarm) == verb])} {verb}" for verb in verbs
    )
    return (
        f"{moved} together since {since}. Worst is {worst.metric}, at {_worst_value(worst, now)}; {worst.expectation}."
        f"{_count(worst, '')} {_present(worst)}"
    )


def _verb(alarm: Alarm) -> str:
    return "fell" if alarm.side == BELOW else "rose"


def _worst_value(alarm: Alarm, now: int) -> str:
    bound = alarm.low if alarm.side == BELOW else alarm.high
    return f"{distinct(alarm.value or 0, bound)} on {day_in_words(alarm.at or 0, now)}"


def _count(alarm: Alarm, since: str) -> str:
    if alarm.among < 2:  # noqa: PLR2004 - "1 of the last 1 points" says nothing
        return ""
    return f" {alarm.where.capitalize()} at {alarm.out} of the last {alarm.among} points{since}."


def _present(alarm: Alarm) -> str:
    return f"Now {short(alarm.last or 0)}."
