"""A preview: the verdicts of a version's last days under other settings, beside those under its present settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain.monitoring.check_settings import merged, settings_or_default
from app.domain.monitoring.judging import judge_registration
from app.domain.monitoring.verdicts import VersionVerdict
from app.domain.monitoring.watches import with_own
from app.domain.registry.models import MetricPoint, Registration, VersionKey
from app.domain.times import day_start

PREVIEW_DAYS = 30
# Each day judges all points up to its end, which takes some ten seconds for a million of them. Where that would be more
# than so many in all, there are fewer days, and at least one.
MOST_POINTS_JUDGED = 200_000


@dataclass(frozen=True, slots=True)
class PreviewDay:
    """The verdicts at the end of a UTC day, or now for today; `day` is its midnight, in milliseconds."""

    day: int
    before: VersionVerdict
    after: VersionVerdict


def with_settings(registration: Registration, patch: Any) -> Registration:
    """A registration after a change of its settings; None restores all defaults. Raises `InvalidInput`."""
    own = {} if patch is None else merged(registration.own or {}, patch)
    return with_own(registration, own) if registration.watched_by else replace(registration, settings=own)


def preview(
    before: Registration,
    after: Registration,
    evidence: Mapping[VersionKey, Iterable[MetricPoint]],
    now: int,
    others: Mapping[VersionKey, Registration],
) -> list[PreviewDay]:
    """The last days of a version, today last, judged as the checks judge: from the points up to each day's end.

    `after` is the registration `before` with other settings; `evidence` and `others` as of `judge_registration`, for
    both of them. What was written late, corrected or withdrawn since then counts as it does now.
    """
    points = {key: list(rows) for key, rows in evidence.items()}
    is_timed = any(settings_or_default(tried.settings).silence_hours is not None for tried in (before, after))
    days: list[PreviewDay] = []
    end, judged, last = now, 0, -1
    while len(days) < PREVIEW_DAYS:
        day = day_start(end)
        count = sum(map(len, points.values()))
        if count == last and not is_timed:
            # Without a new point, and without a limit to silence, a day ends as the day after it.
            days.append(replace(days[-1], day=day))
        else:
            judged += 2 * count
            if days and judged > MOST_POINTS_JUDGED:
                break
            verdicts = [judge_registration(tried, points, end, others)[1] for tried in (before, after)]
            days.append(PreviewDay(day, *verdicts))
        end, last = day - 1, count
        points = {key: [point for point in rows if point.time <= end] for key, rows in points.items()}
    return days[::-1]
