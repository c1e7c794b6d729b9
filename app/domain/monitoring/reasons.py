"""The words and figures in which a verdict gives its reasons."""

from collections.abc import Sequence

from app.domain.monitoring.baselines import LEAST_LATER, BaselineFigures
from app.domain.monitoring.check_settings import LEAST_BASELINE, CheckSettings, Limits
from app.domain.monitoring.evidence import Series, is_system_metric

NO_METRIC = "No metric has been logged for this version. Send observations, or tag a run that evaluates it."
RUN_GONE = (
    "The source run no longer exists in MLflow, and its metrics are gone with it. "
    "Send observations, or tag a run that evaluates this version."
)
# Hundreds of metrics may give the same reason.
_MOST_REASONS = 20


def short(value: float) -> str:
    """A value with three decimals, or with three significant digits if it is very small or large."""
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"  # noqa: PLR2004 - see above


def limits_in_words(limits: Limits) -> str:
    bounds = [f"at least {short(limits.min)}"] if limits.min is not None else []
    bounds += [f"at most {short(limits.max)}"] if limits.max is not None else []
    return f"limit {' and '.join(bounds)}"


def baseline_in_words(base: BaselineFigures) -> str:
    outliers = "1 outlier" if base.set_aside == 1 else f"{base.set_aside} outliers"
    set_aside = f" ({outliers} set aside)" if base.set_aside else ""
    return f"baseline {short(base.mean)} ± {short(base.std)}{set_aside}"


def without_number(series: Series) -> str:
    """Why a metric without a finite number, or a system metric, is not judged."""
    if not series.points:
        return f"{series.metric}: no point yet"
    if is_system_metric(series.metric):
        return f"{series.metric}: system metrics are not judged"
    return f"{series.metric}: none of its values is a finite number"


def without_rule(metric: str, count: int, settings: CheckSettings, reference: Sequence[float] | None) -> str:
    """Why no rule applies to a metric with `count` values: it has no limit, and no baseline can be computed.

    `reference` are the baseline values of another version if the settings name one, else None.
    """
    is_default = settings.baseline.version is None and settings.baseline.since is None
    if is_default and count >= LEAST_BASELINE + LEAST_LATER:
        return f"{metric}: its values are too large to compute a standard deviation"
    return f"{metric}: {_too_few(count, settings, reference)}"


def _too_few(count: int, settings: CheckSettings, reference: Sequence[float] | None) -> str:
    if reference is not None:
        if len(reference) < LEAST_BASELINE:
            has = f"version {settings.baseline.version}, the baseline, has {_points(len(reference))} of this metric"
            return f"{has}; a baseline needs {LEAST_BASELINE}"
        return f"{_points(count)}; a comparison with the baseline needs {LEAST_LATER}"
    if settings.baseline.since is not None:
        return (
            f"too few points for a baseline of this period; it needs {LEAST_BASELINE}, "
            f"and {LEAST_LATER} points after the period"
        )
    return f"{_points(count)}; a baseline needs {LEAST_BASELINE}, and {LEAST_LATER} later points"


def _points(count: int) -> str:
    return f"{count} {'point' if count == 1 else 'points'}"


def first_of(reasons: Sequence[str]) -> tuple[str, ...]:
    """The first reasons, and how many more there are."""
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], f"and {more} more") if more > 0 else tuple(reasons)
