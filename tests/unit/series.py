"""What tests of rules and verdicts share: points a day apart."""

from collections.abc import Iterable, Sequence

from app.domain.monitoring.check_settings import CheckSettings, check_settings
from app.domain.monitoring.evidence import MONITOR_RUN, MetricSeries, points_by_metric, series_by_metric
from app.domain.monitoring.judging import judge_metric
from app.domain.monitoring.verdicts import MetricVerdict
from app.domain.registry.models import MetricPoint
from app.domain.times import DAY_MS

START = 1_700_000_000_000 // DAY_MS * DAY_MS
LATER = START + 1000 * DAY_MS


def points(
    values: Iterable[float | None],
    metric: str = "accuracy",
    source: str = MONITOR_RUN,
    run: str = "run",
    start: int = START,
) -> list[MetricPoint]:
    return [MetricPoint(run, metric, start + n * DAY_MS, value, source) for n, value in enumerate(values)]


def by_metric(found: Iterable[MetricPoint], now: int = LATER) -> dict[str, MetricSeries]:
    return series_by_metric(points_by_metric(found), now)


def series(values: Iterable[float | None], metric: str = "accuracy") -> MetricSeries:
    return by_metric(points(values, metric))[metric]


def judged(values: Sequence[float | None], metric: str = "accuracy", **settings: object) -> MetricVerdict:
    """The verdict on a metric a moment after its last point."""
    found = check_settings(settings) if settings else CheckSettings()
    return judge_metric(series(values, metric), found, START + len(values) * DAY_MS)
