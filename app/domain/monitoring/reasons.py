"""The words and figures in which a verdict gives its reasons."""

from collections.abc import Sequence

from app.domain.monitoring.baselines import LEAST_LATER, BaselineFigures
from app.domain.monitoring.check_settings import LEAST_BASELINE, CheckSettings, Limits
from app.domain.monitoring.evidence import Series, is_of_machine

NO_METRIC = "No metric has been logged for this version. Send observations, or tag a run that evaluates it."
RUN_GONE = (
    "The source run no longer exists in MLflow, and its metrics are gone with it. "
    "Send observations, or tag a run that evaluates this version."
)
# Of hundreds of metrics that say the same, these are enough.
_MOST_REASONS = 20


def short(value: float) -> str:
    """A value in three decimals where that says enough, else in three digits."""
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"  # noqa: PLR2004 - see above


def limits_in_words(limits: Limits) -> str:
    bounds = [f"at least {short(limits.min)}"] if limits.min is not None else []
    bounds += [f"at most {short(limits.max)}"] if limits.max is not None else []
    return f"limit {' and '.join(bounds)}"


def baseline_in_words(base: BaselineFigures) -> str:
    odd = f" ({base.set_aside} odd {'point' if base.set_aside == 1 else 'points'} set aside)" if base.set_aside else ""
    return f"baseline {short(base.mean)} ± {short(base.std)}{odd}"


def without_number(series: Series) -> str:
    """Why a metric is not judged that has no finite number, or is of the machine."""
    if series.points and not is_of_machine(series.metric):
        return f"{series.metric}: no value of it is a finite number"
    return f"{series.metric}: {'a figure of the machine, which is not judged' if series.points else 'no point yet'}"


def without_rule(metric: str, count: int, settings: CheckSettings, reference: Sequence[float] | None) -> str:
    """Why no rule applies to a metric with `count` values: it has no limit, and no baseline can be computed.

    `reference` are the baseline points of another version, where the settings name one.
    """
    is_default = settings.baseline.version is None and settings.baseline.since is None
    if is_default and count >= LEAST_BASELINE + LEAST_LATER:
        return f"{metric}: its values are too large for a deviation to be computed"
    return f"{metric}: {_too_few(count, settings, reference)}"


def _too_few(count: int, settings: CheckSettings, reference: Sequence[float] | None) -> str:
    if reference is not None:
        if len(reference) < LEAST_BASELINE:
            of = f"its baseline, version {settings.baseline.version}, has {_points(len(reference))} of it"
            return f"{of}; a baseline needs {LEAST_BASELINE}"
        return f"{_points(count)}; {LEAST_LATER} are needed to hold against the baseline"
    if settings.baseline.since is not None:
        few = f"fewer than {LEAST_BASELINE} points of it, or fewer than {LEAST_LATER} came after"
        return f"its baseline, the period, has {few}"
    return f"{_points(count)}; a baseline needs {LEAST_BASELINE}, and {LEAST_LATER} later ones"


def _points(count: int) -> str:
    return f"{count} {'point' if count == 1 else 'points'}"


def first_of(reasons: Sequence[str]) -> tuple[str, ...]:
    """The first reasons, and how many more there are."""
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], f"and {more} more") if more > 0 else tuple(reasons)
