"""The settings of a registration: how its version is checked. Merged as JSON merge patches are (RFC 7396)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.domain.errors import InvalidInput
from app.domain.monitoring.data_settings import EFFECTS, OFF, DataSettings
from app.domain.monitoring.directions import DIRECTIONS, direction_of
from app.domain.registry.names import LONGEST_TAG, is_metric_name, version_number
from app.domain.times import parse_rfc3339

# The size of a baseline in points. Why at least ten and by default twenty: docs/decisions/0016.
LEAST_BASELINE, DEFAULT_BASELINE, MOST_BASELINE = 10, 20, 1000
DEFAULT_M, DEFAULT_N = 3, 5
_MOST_N = 100
_MOST_SILENCE_HOURS = 87_600
# How deep settings nest: `limits` holds metrics, which hold bounds.
_DEEPEST = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Absolute limits of a metric, both inclusive."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a metric is compared with: its first points, those of a period, or another version's series.

    `since` and `until` in milliseconds, both inclusive.
    """

    points: int = DEFAULT_BASELINE
    since: int | None = None
    until: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """The settings in force. `m` of the last `n` points raise an alarm; silence does not if `silence_hours` is None."""

    limits: Mapping[str, Limits] = field(default_factory=dict)
    baseline: Baseline = field(default_factory=Baseline)
    silence_hours: float | None = None
    m: int = DEFAULT_M
    n: int = DEFAULT_N
    direction: Mapping[str, str] = field(default_factory=dict)
    data: DataSettings = field(default_factory=DataSettings)

    def direction_of(self, metric: str) -> str | None:
        return self.direction.get(metric) or direction_of(metric)


def merged(known: Mapping[str, Any], patch: Any) -> dict[str, Any]:
    """Settings, as JSON, after a merge patch: null restores a default (RFC 7396). Raises `InvalidInput`.

    A new baseline replaces the old baseline as a whole, since its kinds exclude each other.
    """
    _object(patch, "settings", _PARTS)
    settings = dict(known)
    for name, value in patch.items():
        old = settings.pop(name, None)
        new = _merge(old if name != "baseline" else None, value, _DEEPEST)
        if new is not None and not (new == {} and name in _COLLECTIONS):
            settings[name] = new
    check_settings(settings)
    if len(settings_text(settings)) > LONGEST_TAG:
        raise InvalidInput(f"settings: longer than {LONGEST_TAG} characters as JSON. Leave out what is not needed.")
    return settings


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings as the text that MLflow keeps."""
    return orjson.dumps(settings, option=orjson.OPT_SORT_KEYS).decode()


def check_settings(given: Mapping[str, Any]) -> CheckSettings:
    """The settings in force, from JSON. Raises `InvalidInput`, which names the field."""
    _object(given, "settings", _PARTS)
    return CheckSettings(**{key: value for name, part in given.items() for key, value in _PARTS[name](part).items()})


def settings_or_default(given: Mapping[str, Any]) -> CheckSettings:
    """As `check_settings`, but the defaults where somebody made the settings in MLflow unusable by hand."""
    try:
        return check_settings(given)
    except InvalidInput:
        return CheckSettings()


def _merge(old: Any, new: Any, deeper: int) -> Any:
    if not isinstance(new, dict) or not deeper:
        return new
    merged_value = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        part = _merge(merged_value.pop(name, None), value, deeper - 1)
        # A metric whose last limit is removed has no limits any more.
        emptied = part == {} and isinstance(value, dict) and None in value.values()
        if part is not None and not emptied:
            merged_value[name] = part
    return merged_value


def _object(value: Any, place: str, allowed: Any = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{place}: Not an object.")
    for name in value:
        if allowed is not None and name not in allowed:
            raise InvalidInput(f"{place}: {name[:60]!r} is not known. Use {', '.join(allowed)}.")
    return value


def _number(value: Any, place: str, least: float = -math.inf, most: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise InvalidInput(f"{place}: Not a number.")
    if not least <= value <= most:
        raise InvalidInput(f"{place}: must be from {least:g} to {most:g}.")
    return value


def _whole(value: Any, place: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{place}: Not a whole number.")
    return int(_number(value, place, least, most))


def _metric(name: str, place: str) -> str:
    if not is_metric_name(name):
        raise InvalidInput(f"{place}: {name[:60]!r} cannot be the name of a metric.")
    return name


def _limits(value: Any) -> dict[str, Any]:
    limits = {}
    for metric, given in _object(value, "limits").items():
        place = f"limits.{_metric(metric, 'limits')}"
        bounds = {name: _number(bound, f"{place}.{name}") for name, bound in _object(given, place, _BOUNDS).items()}
        if not bounds:
            raise InvalidInput(f"{place}: needs min, max or both.")
        if bounds.get("min", -math.inf) > bounds.get("max", math.inf):
            raise InvalidInput(f"{place}: min is above max.")
        limits[metric] = Limits(**bounds)
    return {"limits": limits}


def _baseline(value: Any) -> dict[str, Any]:
    given = _object(value, "baseline", ("points", "from", "to", "version"))
    kind = set(given)
    if kind == {"points"}:
        return {"baseline": Baseline(_whole(given["points"], "baseline.points", LEAST_BASELINE, MOST_BASELINE))}
    if kind == {"version"}:
        version = given["version"]
        number = version_number(version) if isinstance(version, str) else None
        if number is None:
            raise InvalidInput('baseline.version: Not a version. Write it as text: "3".')
        return {"baseline": Baseline(version=number)}
    if kind == {"from", "to"}:
        since, until = (parse_rfc3339(given[name], f"baseline.{name}") for name in ("from", "to"))
        if since > until:
            raise InvalidInput("baseline: from is after to.")
        return {"baseline": Baseline(since=since, until=until)}
    raise InvalidInput("baseline: give points, or from and to, or version.")


def _silence(value: Any) -> dict[str, Any]:
    hours = _number(value, "silence_hours", 0, _MOST_SILENCE_HOURS)
    if not hours:
        raise InvalidInput("silence_hours: must be more than 0.")
    return {"silence_hours": hours}


def _alarm(value: Any) -> dict[str, Any]:
    given = _object(value, "alarm", ("m", "n"))
    n = _whole(
        given.get("n", max(DEFAULT_N, given["m"]) if _is_whole(given.get("m")) else DEFAULT_N), "alarm.n", 1, _MOST_N
    )
    m = _whole(given.get("m", min(DEFAULT_M, n)), "alarm.m", 1, _MOST_N)
    if m > n:
        raise InvalidInput("alarm: m is more than n.")
    return {"m": m, "n": n}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _direction(value: Any) -> dict[str, Any]:
    for metric, way in _object(value, "direction").items():
        _metric(metric, "direction")
        if way not in DIRECTIONS:
            raise InvalidInput(f"direction.{metric}: must be higher or lower.")
    return {"direction": dict(value)}


def _data_drift(value: Any) -> dict[str, Any]:
    given = _object(value, "data_drift", ("inputs", "predictions", "estimate", "observe", "floor"))
    for part in ("inputs", "predictions", "estimate"):
        if given.get(part, OFF) not in EFFECTS:
            raise InvalidInput(f"data_drift.{part}: must be {', '.join(EFFECTS[:-1])} or {EFFECTS[-1]}.")
    if not isinstance(given.get("observe", True), bool):
        raise InvalidInput("data_drift.observe: must be true or false.")
    if "floor" in given:
        _number(given["floor"], "data_drift.floor", _LEAST_FLOOR, _MOST_FLOOR)
    return {"data": DataSettings(**given)}


_LEAST_FLOOR, _MOST_FLOOR = 0.001, 1.0
_BOUNDS = ("min", "max")
# Parts that, left empty, mean the default.
_COLLECTIONS = ("limits", "alarm", "direction", "data_drift")
_PARTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "limits": _limits,
    "baseline": _baseline,
    "silence_hours": _silence,
    "alarm": _alarm,
    "direction": _direction,
    "data_drift": _data_drift,
}
