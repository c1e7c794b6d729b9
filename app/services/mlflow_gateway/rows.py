"""Converts MLflow's entities to the domain's. A row that cannot be converted is logged and left out."""

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import orjson

from app.domain.errors import MlflowUnavailable
from app.domain.monitoring.acts import (
    PLACES,
    Act,
    acknowledgement_from,
    acknowledgement_text,
    act_text,
    acts_from,
    mutes_from,
    mutes_text,
)
from app.domain.monitoring.check_settings import settings_text
from app.domain.monitoring.corrections import LastPoint, Ledger, Withdrawal, withdrawal_from, withdrawal_text
from app.domain.monitoring.evidence import CASES
from app.domain.monitoring.monitor_runs import (
    MonitorState,
    Pause,
    Verdict,
    began_text,
    causes_text,
    evidence_text,
    pauses_from,
    pauses_text,
    verdicts_from,
    verdicts_text,
)
from app.domain.monitoring.monitoring_rules import RULE, Exclusion, MonitoringRule, matcher_from, matcher_text
from app.domain.monitoring.sent_once import PAGES, SentOnce, page_from, page_text
from app.domain.monitoring.watches import KINDS, Watch
from app.domain.redact import redact
from app.domain.registry.models import (
    Experiment,
    MetricPoint,
    ModelVersion,
    Predecessor,
    RegisteredModel,
    Registration,
    Run,
    Subscription,
    VersionKey,
)
from app.domain.registry.names import registration_key
from app.domain.registry.stages import MODEL_TYPES, STAGES

log = logging.getLogger(__name__)
T = TypeVar("T")

# MLflow on SQLite stores infinity as the largest double, and returns that.
_INFINITE = 1.797e308
# The largest integer that a column of MLflow's databases holds.
_MOST = (1 << 63) - 1
# A version's run id is whatever a client wrote. Only ids of this form can be put into a filter.
RUN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z", re.ASCII)
IS_OPEN = "attributes.status = 'RUNNING'"
_TAG = "control_tower."
# The keys that identify MLflow's entities.
MODEL_KEY, VERSION_KEY, RUN_KEY = attrgetter("name"), attrgetter("name", "version"), attrgetter("info.run_id")
EXPERIMENT_KEY, LOGGED_MODEL_KEY, WEBHOOK_KEY = map(attrgetter, ("experiment_id", "model_id", "webhook_id"))
_SETTINGS, _VERDICTS, _EVIDENCE, _BEGAN, _NOTIFIED = (
    _TAG + "settings", _TAG + "verdicts", _TAG + "evidence", _TAG + "began", _TAG + "told.",
)  # fmt: skip
_CAUSES, _PAUSES = _TAG + "causes", _TAG + "pauses"
_SENT, _ORDER, _WITHDRAWN = _TAG + "sent.", _TAG + "order", _TAG + "withdrawn."
WATCH, _WATCHED_BY, _WATCHED = _TAG + "watch", _TAG + "watched_by", _TAG + "watched_settings"
_OWN, _BEFORE, _EXCLUDED = _TAG + "own_settings", _TAG + "predecessors", _TAG + "excluded."
_ACT, _ACKNOWLEDGED, _MUTES = _TAG + "act.", _TAG + "acknowledgement", _TAG + "mutes"


def readable(convert: Callable[[Any], T], rows: Iterable[Any], what: str) -> tuple[list[T], int]:
    """The rows that could be converted, and the number of rows that could not."""
    good: list[T] = []
    bad: list[str] = []
    for row in rows:
        try:
            good.append(convert(row))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            bad.append(f"{_which(row)}: {error!r}")
    if bad:
        # A reading logs one line, since polls read the same rows again and again.
        more = f" ({len(bad)} of them)" if len(bad) > 1 else ""
        log.warning("A %s of MLflow's cannot be read and is left out%s: %s", what, more, redact(bad[0]))
    return good, len(bad)


def _which(row: Any) -> str:
    """The ids and names by which to find an unreadable row in MLflow, as far as it has them."""
    parts = (getattr(getattr(row, "info", row), part, None) for part in ("run_id", "experiment_id", "name", "version"))
    # The text is cut after credentials were replaced, since half an address would not be recognized.
    return " ".join(redact(str(part))[:80] for part in parts if part) or "nameless"


def only(convert: Callable[[Any], T], row: Any, what: str) -> T:
    """The entity in MLflow's answer. Raises `MlflowUnavailable` where it cannot be converted."""
    good, _ = readable(convert, [row], what)
    if not good:
        raise MlflowUnavailable(
            f"MLflow's answer cannot be understood ({what}). Check what stands between this service and MLflow."
        )
    return good[0]


def number(value: Any) -> float | None:
    """A metric value; NaN and infinity are None."""
    value = float(value)
    return None if math.isnan(value) or abs(value) >= _INFINITE else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r:.80}")
    # JSON can name half a surrogate pair, which cannot be encoded. This raises UnicodeEncodeError for it.
    value.encode()
    return value


def identifier(value: Any) -> str:
    """A name or an id. Raises `ValueError` for the empty text that an empty answer has."""
    if not _text(value):
        raise ValueError("no name or id")
    return str(value)


def run_id(row: Any) -> str:
    return identifier(row.info.run_id)


def _time(value: Any) -> int:
    return int(value or 0)


def registered_model(row: Any) -> RegisteredModel:
    return RegisteredModel(
        identifier(row.name),
        _time(row.creation_timestamp),
        _time(row.last_updated_timestamp),
        row.description or None,
        dict(row.tags),
        {alias: int(version) for alias, version in dict(row.aliases).items()},
    )


def model_version(row: Any) -> ModelVersion:
    version = int(row.version)
    if version < 1:
        raise ValueError(f"version {version}")
    stage = row.current_stage or "None"
    return ModelVersion(
        identifier(row.name),
        version,
        stage if stage in STAGES else "None",
        _time(row.creation_timestamp),
        _time(row.last_updated_timestamp),
        row.description or None,
        dict(row.tags),
        row.run_id or None,
        row.source or None,
    )


def experiment(row: Any) -> Experiment:
    return Experiment(
        identifier(row.experiment_id),
        identifier(row.name),
        redact(row.artifact_location) if row.artifact_location else None,
        row.lifecycle_stage,
        row.creation_time,
        row.last_update_time,
        dict(row.tags),
    )


def run(row: Any) -> Run:
    return Run(
        run_id(row),
        row.info.experiment_id,
        row.info.status,
        row.info.start_time or None,
        row.info.end_time or None,
        {key: number(value) for key, value in row.data.metrics.items()},
        dict(row.data.params),
        dict(row.data.tags),
    )


def last_logged(row: Any) -> dict[str, tuple[int, float | None]]:
    """Time and value of the last point of each metric of a run."""
    return {last.key: (_time(last.timestamp), number(last.value)) for last in row.data._metric_objs}


def metric_point(run_id: str, row: Any, source: str) -> MetricPoint:
    return MetricPoint(run_id, _text(row.key), _time(row.timestamp), number(row.value), source, int(row.step or 0))


def step_of(time: int) -> int:
    """The step that the tower writes with a point: the seconds since 1970 of its time in milliseconds.

    MLflow draws its charts by step. Its last point is that of the highest step, then of the latest time.
    """
    return time // 1000


def own_step(step: int, time: int) -> int:
    """The order of a point of a monitor run, as in `corrections`: what its step has beyond the seconds of its time.

    Older versions of the tower wrote no step. A point sent before an upgrade and again after it stays one point.
    """
    return max(0, step - step_of(time))


def registration(row: Any) -> Registration:
    """The registration of a monitor run. A run without the tags is not the tower's, and raises `KeyError`."""
    tags = row.data.tags
    model_type = tags[_TAG + "model_type"]
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model type {model_type!r:.80}")
    version = int(tags[_TAG + "model_version"])
    if not 0 < version <= _MOST:
        raise ValueError(f"version {version!r:.80}")
    return Registration(
        _text(tags[_TAG + "model_name"]),
        version,
        model_type,
        _text(tags[_TAG + "registered_by"]),
        _time(row.info.start_time),
        run_id(row),
        int(tags[_TAG + "version_created"]),
        _settings(tags.get(_SETTINGS)),
        *_coverage(tags),
        acknowledgement_from(tags.get(_ACKNOWLEDGED)),
        mutes_from(tags.get(_MUTES)),
        pauses[-1].resumed_at if (pauses := pauses_from(tags.get(_PAUSES))) else None,
    )


def _settings(text: str | None) -> dict[str, Any]:
    """The settings of a registration; none where somebody edited the tag so that it cannot be read."""
    try:
        settings = orjson.loads(text or "{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _coverage(tags: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, Any], Any, tuple[Predecessor, ...]]:
    """What covers the version of a monitor run, as `coverage_tags` wrote it; nothing where a tag is unreadable."""
    try:
        own = orjson.loads(tags.get(_OWN) or "null")
        return (
            tuple(map(str, orjson.loads(tags.get(_WATCHED_BY) or "[]"))),
            _settings(tags.get(_WATCHED)),
            None if own is None else dict(own),
            tuple(Predecessor(**earlier) for earlier in orjson.loads(tags.get(_BEFORE) or "[]")),
        )
    except (TypeError, ValueError):
        return (), {}, None, ()


def is_watch(row: Any) -> bool:
    """Whether a run is a watch or a rule, and no monitor run."""
    return WATCH in row.data.tags


def is_rule(row: Any) -> bool:
    """Whether a run is a monitoring rule."""
    return bool(row.data.tags.get(WATCH) == RULE)


def watch(row: Any) -> Watch:
    """The watch of a run. A run without the tags is no watch of the tower's, and raises `KeyError`."""
    tags = row.data.tags
    kind, model_type = tags[WATCH], tags[_TAG + "model_type"]
    if kind not in KINDS or model_type not in MODEL_TYPES:
        raise ValueError(f"watch {kind!r:.80} of {model_type!r:.80}")
    return Watch(
        kind,
        _text(tags[WATCH + ".model"]),
        _text(tags[WATCH + ".place"]),
        model_type,
        _text(tags[_TAG + "registered_by"]),
        _time(row.info.start_time),
        run_id(row),
        int(tags[WATCH + ".model_created"]),
        _settings(tags.get(_SETTINGS)),
        tags.get(WATCH + ".record", ""),
    )


def watch_tags(wanted: Watch) -> dict[str, str]:
    """The tags of a run for its watch; `watch` reads them back."""
    return {
        WATCH: wanted.kind,
        WATCH + ".model": wanted.model,
        WATCH + ".place": wanted.place,
        WATCH + ".model_created": str(wanted.model_created),
        WATCH + ".record": wanted.record,
        _TAG + "model_type": wanted.model_type,
        _TAG + "registered_by": wanted.registered_by,
        **settings_tags(wanted.settings),
    }


def rule(row: Any) -> MonitoringRule:
    """The monitoring rule of a run. A run without the tags is no rule of the tower's, and raises `KeyError`."""
    tags = row.data.tags
    model_type = tags[_TAG + "model_type"]
    if model_type not in MODEL_TYPES:
        raise ValueError(f"rule of {model_type!r:.80}")
    read = (_exclusion(text) for key, text in tags.items() if key.startswith(_EXCLUDED))
    excluded = sorted((exclusion for exclusion in read if exclusion), key=attrgetter("key"))
    return MonitoringRule(
        _text(tags[_TAG + "rule"]),
        matcher_from(tags[_TAG + "match"]),
        model_type,
        _text(tags[_TAG + "registered_by"]),
        _time(row.info.start_time),
        run_id(row),
        _settings(tags.get(_SETTINGS)),
        tuple(excluded),
    )


def _exclusion(text: str) -> Exclusion | None:
    """The exclusion of a tag; None where it was taken back, or somebody made it unreadable."""
    try:
        return Exclusion(*orjson.loads(text)) if text else None
    except (TypeError, ValueError):
        return None


def rule_tags(wanted: MonitoringRule) -> dict[str, str]:
    """The tags of a run for its rule, without its exclusions; `rule` reads them back."""
    return {
        WATCH: RULE,
        _TAG + "rule": wanted.name,
        _TAG + "match": matcher_text(wanted.match),
        _TAG + "model_type": wanted.model_type,
        _TAG + "registered_by": wanted.registered_by,
        **settings_tags(wanted.settings),
    }


def exclusion_tags(exclusion: Exclusion) -> dict[str, str]:
    """The tag of a rule's run for a version that is excluded: one for each, so that hosts do not undo each other's."""
    version = [exclusion.model, exclusion.version, exclusion.version_created]
    text = orjson.dumps([*version, exclusion.excluded_by, exclusion.excluded_at]).decode()
    return {_EXCLUDED + registration_key(*exclusion.key): text}


def inclusion_tags(key: VersionKey) -> dict[str, str]:
    """The tag of a rule's run for a version that is no longer excluded."""
    return {_EXCLUDED + registration_key(*key): ""}


def monitor_state(row: Any) -> MonitorState:
    """A monitor run: its registration, verdicts, notifications, and its end if it has ended."""
    tags = row.data.tags
    ended = row.info.status != "RUNNING"
    return MonitorState(
        registration(row),
        verdicts_from(*map(tags.get, (_VERDICTS, _EVIDENCE, _BEGAN, _CAUSES))),
        {key.removeprefix(_NOTIFIED): int(value) for key, value in tags.items() if key.startswith(_NOTIFIED)},
        _time(row.info.end_time) if ended else None,
        _text(tags.get(_TAG + "ended_by", "")) or None if ended else None,
        _text(tags.get(_TAG + "ended_reason", "")) or None if ended else None,
        acts_from(text for key, text in tags.items() if key.startswith(_ACT)),
        tuple(withdrawals(tags)),
        pauses_from(tags.get(_PAUSES)),
    )


def registration_tags(wanted: Registration) -> dict[str, str]:
    """The tags of a monitor run for its registration; `registration` reads them back."""
    return {
        **name_tags(wanted),
        _TAG + "model_version": str(wanted.version),
        _TAG + "model_type": wanted.model_type,
        _TAG + "registered_by": wanted.registered_by,
        _TAG + "version_created": str(wanted.version_created),
        **(coverage_tags(wanted) if wanted.watched_by else settings_tags(wanted.settings)),
    }


def name_tags(registration: Registration) -> dict[str, str]:
    """The tags of a monitor run for the name of its registered model, and by which its version is found."""
    key = registration_key(registration.name, registration.version)
    return {_TAG + "key": key, _TAG + "model_name": registration.name}


def coverage_tags(registration: Registration) -> dict[str, str]:
    """The tags of a monitor run for what covers its version, and for the settings in force."""
    return {
        _TAG + "model_type": registration.model_type,
        _WATCHED_BY: orjson.dumps(registration.watched_by).decode(),
        _WATCHED: settings_text(registration.watched_settings),
        _OWN: "null" if registration.own_settings is None else settings_text(registration.own_settings),
        _BEFORE: orjson.dumps(registration.predecessors).decode(),
        **settings_tags(registration.settings),
    }


def reopening_tags(registration: Registration, pauses: Sequence[Pause]) -> dict[str, str]:
    """The tags of a monitor run that is opened again: those of its registration, and its pauses."""
    return {**registration_tags(registration), **coverage_tags(registration), _PAUSES: pauses_text(pauses)}


def settings_tags(settings: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a monitor run for the settings of its registration."""
    return {_SETTINGS: settings_text(settings)}


def verdict_tags(verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> dict[str, str]:
    """The tags of a monitor run for its verdicts, and for up to when receivers were notified."""
    return {
        _TAG + "verdict": verdicts[-1].verdict,
        _VERDICTS: verdicts_text(verdicts),
        _EVIDENCE: evidence_text(verdicts),
        _BEGAN: began_text(verdicts),
        _CAUSES: causes_text(verdicts),
        **notified_tags(notified),
    }


def notified_tags(notified: Mapping[str, int]) -> dict[str, str]:
    """The tags of a monitor run for up to when receivers were notified, in milliseconds."""
    return {_NOTIFIED + receiver: str(at) for receiver, at in notified.items()}


def sent_tags(pages: Mapping[int, Sequence[SentOnce]], order: int) -> dict[str, str]:
    """The tags of a monitor run for the ids that observations were sent with, by page, and for the highest order."""
    return {_ORDER: str(order), **{f"{_SENT}{page}": page_text(sent) for page, sent in pages.items()}}


def ledger(row: Any) -> Ledger:
    """What a monitor run keeps of the writes to it."""
    tags = row.data.tags
    points = {point.key: (_time(point.timestamp), int(point.step or 0), point.value) for point in row.data._metric_objs}
    last = {
        key: LastPoint(
            time, step, number(value), own_step(step, time),
            int(cases[2]) if (cases := points.get(f"{CASES}{key}")) and cases[:2] == (time, step) else None,
        )
        for key, (time, step, value) in points.items()
    }  # fmt: skip
    order = tags.get(_ORDER, "0")
    return Ledger(
        {page: page_from(tags.get(f"{_SENT}{page}", "")) for page in range(PAGES)},
        last,
        int(order) if order.isdecimal() else 0,
        withdrawals(tags),
    )


def withdrawals(tags: Mapping[str, str]) -> list[Withdrawal]:
    """The withdrawals that the tags of a monitor run hold, the oldest first."""
    read = (
        withdrawal_from(key.removeprefix(_WITHDRAWN), text) for key, text in tags.items() if key.startswith(_WITHDRAWN)
    )
    return sorted((kept for kept in read if kept), key=lambda kept: kept.order)


def withdrawal_tags(withdrawal: Withdrawal) -> dict[str, str]:
    """The tag of a monitor run for a withdrawal."""
    return {f"{_WITHDRAWN}{withdrawal.order}": withdrawal_text(withdrawal)}


def act_tags(act: Act, registration: Registration) -> dict[str, str]:
    """The tags of a monitor run for what a person did, and for what the registration became by that."""
    return {
        f"{_ACT}{act.number % PLACES}": act_text(act),
        _ACKNOWLEDGED: acknowledgement_text(registration.acknowledgement),
        _MUTES: mutes_text(registration.mutes),
    }


def end_tags(by: str, reason: str) -> dict[str, str]:
    """The tags of a monitor run for its end."""
    return {_TAG + "ended_by": by, _TAG + "ended_reason": reason}


def subscription(row: Any) -> Subscription:
    """A webhook, without its secret, which a database returns with it."""
    events = tuple(sorted(str(event) for event in row.events))
    return Subscription(identifier(row.webhook_id), _text(row.name), redact(row.url), events, row.status.is_active())
