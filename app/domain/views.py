"""The JSON-shaped dictionaries in which clients see the domain's objects."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.domain.data_drift.sentence import Summary, columns_of
from app.domain.monitoring.acts import acknowledgement_info, mutes_info
from app.domain.monitoring.check_settings import Limits, settings_or_default
from app.domain.monitoring.checks import Check, metric_figures
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.evidence import MetricSeries
from app.domain.monitoring.key_metric import KeyMetric, key_metric
from app.domain.monitoring.model_groups import ModelGroup
from app.domain.monitoring.monitoring_rules import MonitoringRule, matcher_info
from app.domain.monitoring.possible import possible_range
from app.domain.monitoring.preview import PreviewDay
from app.domain.monitoring.verdicts import INSUFFICIENT, VERDICTS, VersionVerdict
from app.domain.monitoring.watches import ALIAS, STAGE, Watch
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Experiment, MetricPoint, Registration, Run, TrackedModel, VersionKey
from app.domain.registry.query import effective_type
from app.domain.times import day_start, rfc3339

Json = dict[str, Any]
# The series of a version by metric, the verdict on it, and the registration whose settings were applied.
Judged = tuple[Mapping[str, MetricSeries], VersionVerdict, Registration]


def version_info(model: TrackedModel, registration: Registration | None) -> Json:
    """One entry of `/model/{name}/versions`."""
    row = model.row
    return {
        "version": str(row.version),
        "stage": model.stage,
        "stage_source": model.stage_source,
        "aliases": list(model.aliases),
        "creation_timestamp": rfc3339(row.created),
        "last_updated_timestamp": rfc3339(row.updated),
        "description": row.description,
        "tags": dict(row.tags),
        "metrics": dict(row.metrics),
        "model_type": effective_type(model, registration),
        "owner": model.owner,
        "run_id": row.run_id,
        "monitored": registration is not None,
    }


def model_info(model: TrackedModel, registration: Registration | None) -> Json:
    """ModelInfo: one entry of the model lists."""
    return {"name": model.row.name, **version_info(model, registration)}


def experiment_info(experiment: Experiment) -> Json:
    """One entry of `/experiments`."""
    return {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "lifecycle_stage": experiment.lifecycle_stage,
        "creation_time": rfc3339(experiment.created),
        "last_update_time": rfc3339(experiment.updated),
        "tags": dict(experiment.tags),
    }


def run_info(run: Run) -> Json:
    """One entry of `/runs/{experiment_id}`."""
    return {
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "status": run.status,
        "start_time": rfc3339(run.start_time),
        "end_time": rfc3339(run.end_time),
        "metrics": dict(run.metrics),
        "params": dict(run.params),
        "tags": dict(run.tags),
    }


def drift_info(model: TrackedModel, judged: Judged, since: int, until: int) -> Json | None:
    """One entry of `/model/{name}/drift`: per UTC day the last value of each metric's series, and its verdict.

    Points before `since` or after `until` (milliseconds) are left out; None if no point is left.
    """
    series, verdict, _ = judged
    days: dict[int, dict[str, float | None]] = {}
    for metric, metric_series in series.items():
        for point in metric_series.points:
            if since <= point.time <= until:
                days.setdefault(day_start(point.time), {})[metric] = point.value
    if not days:
        return None
    return {
        "version": str(model.row.version),
        "stage": model.stage,
        "metrics_over_time": [_day(day, values) for day, values in sorted(days.items())],
        "verdict": verdict.verdict,
        "verdicts": {name: metric.verdict for name, metric in verdict.metrics.items()},
        "populations": {name: metric.population for name, metric in verdict.metrics.items()},
    }


def series_info(model: TrackedModel, judged: Judged, since: int) -> Json:
    """The answer of `/models/{name}/{version}/series`: points since a time in milliseconds."""
    series, verdict, registration = judged
    settings = settings_or_default(registration.settings)
    return {
        "model_name": model.row.name,
        "model_version": str(model.row.version),
        "metrics": {
            name: {
                **metric_figures(verdict.metrics[name]),
                "direction": settings.direction_of(name),
                "limits": _limits(settings.limits.get(name)),
                "reach": base.reach if (base := verdict.metrics[name].baseline) else None,
                "possible": _possible(metric),
                "points": _points(metric.points, since, verdict.metrics[name].fired),
                "reference": _points(metric.reference, since, {}),
            }
            for name, metric in series.items()
        },
    }


def preview_info(registration: Registration, days: Sequence[PreviewDay]) -> Json:
    """The answer of `POST …/monitor/preview`; `registration` has the settings that were tried."""
    return {
        "model_name": registration.name,
        "model_version": str(registration.version),
        "settings": dict(registration.settings),
        "days": [
            {"day": rfc3339(day.day), "before": _verdict_info(day.before), "after": _verdict_info(day.after)}
            for day in days
        ],
    }


def _verdict_info(verdict: VersionVerdict) -> Json:
    return {"verdict": verdict.verdict, "reasons": list(verdict.reasons)}


def registration_info(registration: Registration, check: Check, model: TrackedModel | None) -> Json:
    """One entry of `/monitoring`, and the answer of `GET …/monitor`. `model` is None if the snapshot lacks it."""
    settings = settings_or_default(registration.settings)
    key = key_metric(check.metrics, {}, settings.direction_of)
    return {
        "model_name": registration.name,
        "model_version": str(registration.version),
        "model_type": registration.model_type,
        "stage": model.stage if model else None,
        "owner": model.owner if model else None,
        "registered_by": registration.registered_by,
        "registered_at": rfc3339(registration.registered_at),
        "monitor_run_id": registration.monitor_run_id,
        "settings": dict(registration.settings),
        "own_settings": None if registration.own is None else dict(registration.own),
        "watched_by": list(registration.watched_by),
        "verdict": check.verdict,
        "since": rfc3339(check.since),
        "began_at": rfc3339(check.began),
        "reasons": list(check.reasons),
        "checked_at": rfc3339(check.checked_at) if check.checked_at else None,
        **_acts_info(registration, check),
        "metric": _key_metric_info(key) if key else None,
        # The direction is not stored with the check: the settings may have changed since.
        "metrics": {
            name: {**figures, "direction": settings.direction_of(name)} for name, figures in check.metrics.items()
        },
    }


def watch_info(
    watch: Watch, version: TrackedModel | None, registration: Registration | None, check: Check | None, nothing: str
) -> Json:
    """The answer of `GET …/aliases/…/monitor` and `GET …/stages/…/monitor`.

    `version` is the one there, None if there is none. `nothing` is the reason where it has no record.
    """
    record = registration_info(registration, check, version) if registration and check else None
    return {
        "model_name": watch.model,
        "alias": watch.place if watch.kind == ALIAS else None,
        "stage": watch.place if watch.kind == STAGE else None,
        "model_version": str(version.row.version) if version else None,
        "model_type": watch.model_type,
        "registered_by": watch.registered_by,
        "registered_at": rfc3339(watch.registered_at),
        "watch_run_id": watch.run_id,
        "settings": dict(watch.settings),
        "verdict": record["verdict"] if record else INSUFFICIENT,
        "since": record["since"] if record else None,
        "reasons": record["reasons"] if record else [nothing],
        "monitor": record,
    }


def withdrawal_info(registration: Registration, withdrawal: Withdrawal) -> Json:
    """The answer of `DELETE …/observations`."""
    return {
        "message": f"Observations of model {registration.name} v{registration.version} withdrawn",
        "model_name": registration.name,
        "model_version": str(registration.version),
        "metric": withdrawal.metric,
        "from": rfc3339(withdrawal.since),
        "to": rfc3339(withdrawal.until),
        "withdrawn_at": rfc3339(withdrawal.at),
    }


def rule_info(rule: MonitoringRule, covers: int) -> Json:
    """One entry of `/monitoring/rules`; `covers` is how many versions the rule covers."""
    return {
        "name": rule.name,
        "match": matcher_info(rule.match),
        "model_type": rule.model_type,
        "settings": dict(rule.settings),
        "registered_by": rule.registered_by,
        "registered_at": rfc3339(rule.registered_at),
        "rule_run_id": rule.run_id,
        "covers": covers,
        "excludes": len(rule.excluded),
    }


def rule_versions(
    rule: MonitoringRule,
    covered: Sequence[TrackedModel],
    registrations: Mapping[VersionKey, Registration],
    fleet: Fleet,
) -> list[Json]:
    """The entries of `/monitoring/rules/{name}/versions`, by name, then by version, highest first."""
    exclusions = {exclusion.key: exclusion for exclusion in rule.excluded}
    versions = {version.key: version for version in covered}
    rows = []
    for key in sorted({*exclusions, *versions}, key=lambda key: (key[0], -key[1])):
        # A version that was excluded, deleted and made again is covered.
        exclusion = None if key in versions else exclusions[key]
        version = versions.get(key) or fleet.find(*key)
        rows.append(
            {
                "model_name": key[0],
                "model_version": str(key[1]),
                "stage": version.stage if version else None,
                "monitored": key in registrations,
                "excluded": exclusion is not None,
                "excluded_by": exclusion.excluded_by if exclusion else None,
                "excluded_at": rfc3339(exclusion.excluded_at) if exclusion else None,
            }
        )
    return rows


def standing_info(
    model: TrackedModel,
    registration: Registration | None,
    check: Check | None,
    findings: Sequence[str],
    data: Summary | None,
) -> Json:
    """The part of an entry of `/fleet` beside ModelInfo. `check` is None if the version is not monitored.

    `data` is None if nothing is known of its data.
    """
    settings = settings_or_default(registration.settings if registration else {})
    key = key_metric(check.metrics if check else {}, model.row.metrics, settings.direction_of)
    return {
        "verdict": check.verdict if check else None,
        "since": rfc3339(check.since) if check else None,
        "began_at": rfc3339(check.began) if check else None,
        "reasons": list(check.reasons) if check else [],
        "registered_by": registration.registered_by if registration else None,
        "metric": _key_metric_info(key) if key else None,
        "findings": list(findings),
        "data": _data_info(data) if data else None,
        **_acts_info(registration, check),
    }


def _data_info(summary: Summary) -> Json:
    return {
        "inputs": summary["inputs"],
        "moved_inputs": columns_of(summary["moved_inputs"]),
        "moved_outputs": columns_of(summary["moved_outputs"]),
        "moved_since": summary["moved_since"],
        "window_end": summary["window"],
        "has_reference": summary["is_sent"],
        "estimated": summary["estimated"],
    }


def _acts_info(registration: Registration | None, check: Check | None) -> Json:
    """Who has acknowledged the verdict, and what is muted as of the last check, which sends what a mute held back."""
    if registration is None or check is None:
        return {"acknowledged": None, "mutes": []}
    return {
        "acknowledged": acknowledgement_info(registration, check.since),
        "mutes": mutes_info(registration, check.checked_at),
    }


def group_info(group: ModelGroup, check_of: Callable[[TrackedModel], Check | None]) -> Json:
    """The part of an entry of `/fleet/models` beside its key version."""
    verdicts = Counter(check.verdict for version in group.versions if (check := check_of(version)))
    return {
        "name": group.name,
        "versions": len(group.versions),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS},
        "in_production": [str(version.row.version) for version in group.in_production],
        "last_updated_timestamp": rfc3339(group.updated),
    }


def _key_metric_info(key: KeyMetric) -> Json:
    return {
        "name": key.name,
        "last": key.last,
        "last_at": key.last_at,
        "verdict": key.verdict,
        "direction": key.direction,
        "baseline": dict(key.baseline) if key.baseline else None,
        "change": key.change,
        "worse": key.worse,
        "recent": list(key.recent),
    }


def _points(points: Sequence[MetricPoint], since: int, fired: Mapping[int, tuple[str, ...]]) -> list[Json]:
    rows: list[Json] = []
    judged = 0
    for point in points:
        # A value that is no number is judged by no rule.
        rules = () if point.value is None else fired.get(judged, ())
        judged += point.value is not None
        if point.time >= since:
            rows.append(
                {
                    "time": rfc3339(point.time),
                    "value": point.value,
                    "source": point.source,
                    "run_id": point.run_id,
                    "n": point.n,
                    "replaced": point.replaced,
                    "fired": list(rules),
                }
            )
    return rows


def _possible(series: MetricSeries) -> Json:
    points = (*series.points, *series.reference)
    low, high = possible_range(series.metric, (point.value for point in points))
    return {"min": low, "max": high}


def _limits(limits: Limits | None) -> Json | None:
    return {"min": limits.min, "max": limits.max} if limits else None


def _day(day: int, values: dict[str, float | None]) -> Json:
    # A metric may be named `date`; the day's own field wins.
    return {"date": rfc3339(day), **{metric: value for metric, value in values.items() if metric != "date"}}
