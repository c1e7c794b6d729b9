"""The words and figures in which a verdict gives its reasons."""

from collections.abc import Sequence

from app.domain.monitoring.baselines import LEAST_LATER, BaselineFigures
from app.domain.monitoring.check_settings import LEAST_BASELINE, CheckSettings, Limits
from app.domain.monitoring.evidence import MetricSeries, is_system_metric

NO_METRIC = "No metric has been logged for this version. Send observations, or tag a run that evaluates it."
RUN_GONE = (
    "The source run no longer exists in MLflow, and its metrics are gone with it. "
    "Send observations, or tag a run that evaluates this version."
)
# Hundreds of metrics may give the same reason.
_MOST_REASONS = 20
_MOST_NAMES = 5


def short(value: float) -> str:
    """A value with three decimals, or with three significant digits if it is very small or large."""
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"  # noqa: PLR2004 - see above


def distinct(value: float, other: float | None) -> str:
    """A value as `short` has it, with as many digits more as tell it from another that is not equal."""
    text = short(value)
    if other is None or value == other or text != short(other):
        return text
    return next(
        (longer for digits in range(4, 17) if (longer := f"{value:.{digits}g}") != f"{other:.{digits}g}"), repr(value)
    )


def limits_in_words(limits: Limits, value: float | None = None) -> str:
    """The limits, told apart from a value that is beyond one of them."""
    bounds = [f"at least {distinct(limits.min, value)}"] if limits.min is not None else []
    bounds += [f"at most {distinct(limits.max, value)}"] if limits.max is not None else []
    return " and ".join(bounds)


def baseline_in_words(base: BaselineFigures) -> str:
    return f"baseline {short(base.mean)} ± {short(base.std)}{_set_aside(base)}"


def expected_in_words(
    value: float, low: float | None, high: float | None, origin: str, base: BaselineFigures, n: int | None = None
) -> str:
    """What was expected of a value from a baseline whose `origin` says where its points are from.

    None stands for an open side. `n` is the number of cases behind the value, where the bounds follow it.
    """
    if low is not None and high is not None:
        bounds = f"{distinct(low, value)} to {distinct(high, value)}"
    elif low is not None:
        bounds = f"at least {distinct(low, value)}"
    elif high is not None:
        bounds = f"at most {distinct(high, value)}"
    else:
        bounds = f"about {distinct(base.mean, value)}"
    cases = "" if n is None else f" of {cases_in_words(n)},"
    return f"{bounds} was expected{cases} from {origin} ({figures_in_words(base)})"


def cases_in_words(n: int) -> str:
    return "1 case" if n == 1 else f"{n} cases"


def figures_in_words(base: BaselineFigures) -> str:
    return f"{short(base.mean)} ± {short(base.std)}{', ' if base.set_aside else ''}{_outliers(base)}"


def listed(names: Sequence[str]) -> str:
    """Names as a phrase, at most five of them: `a, b and c`."""
    more = len(names) - _MOST_NAMES
    shown = [*names[:_MOST_NAMES], f"{more} more"] if more > 0 else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _set_aside(base: BaselineFigures) -> str:
    return f" ({_outliers(base)})" if base.set_aside else ""


def _outliers(base: BaselineFigures) -> str:
    if not base.set_aside:
        return ""
    return f"{base.set_aside} {'outlier' if base.set_aside == 1 else 'outliers'} set aside"


def borrowed_baseline(metric: str, version: int) -> str:
    """Whose baseline a metric is compared with, until it has one of its own."""
    return f"{metric}: compared with the baseline of version {version} until this version has its own"


def without_number(series: MetricSeries) -> str:
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
