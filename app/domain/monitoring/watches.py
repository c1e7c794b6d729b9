"""Watches: an alias or a stage of a registered model whose version is monitored, whichever version that is.

A version is covered by the watches that it is the target of, and by the monitoring rules that it matches. What covers a
version decides whether it has a monitor run, and by which settings it is checked.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.errors import InvalidInput
from app.domain.monitoring.check_settings import check_settings, settings_text
from app.domain.monitoring.monitored import Registrations
from app.domain.monitoring.monitoring_rules import RULE, MonitoringRule, covered_by, rule_label
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Predecessor, Registration, TrackedModel, VersionKey
from app.domain.registry.names import LONGEST_TAG

ALIAS, STAGE = "alias", "stage"
KINDS = (ALIAS, STAGE)
"""The kinds of watches."""
# What covers a version. Where settings differ, those of an earlier kind count.
_COVERING = (*KINDS, RULE)

# What is merged name by name. Any other setting is taken as a whole from the first that has it.
_BY_METRIC = ("limits", "direction")
# The tag of a monitor run that names what covers its version must stay short.
_MOST_NAMED = 20
# How many versions back a baseline is looked for: an alias may move on before a version has one.
_MOST_PREDECESSORS = 3

WatchKey = tuple[str, str, str]
"""The kind of a watch, the name of the registered model, and the alias or stage."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch on an alias or a stage: an open run in MLflow. `registered_at` in milliseconds.

    `model_created` is the creation time of the registered model, so that a model that was deleted and created anew is
    not taken for it. `record` is the monitor run of the version that it covered last; empty before the first.
    """

    kind: str
    model: str
    place: str
    model_type: str
    registered_by: str
    registered_at: int
    run_id: str
    model_created: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    record: str = ""

    @property
    def key(self) -> WatchKey:
        return self.kind, self.model, self.place

    @property
    def label(self) -> str:
        """The watch as a monitor run and a reason name it."""
        return f"{self.kind} {self.place}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What covers a version: labels of watches and rules, their settings in one, and the type that the first names."""

    watched_by: tuple[str, ...]
    settings: Mapping[str, Any]
    model_type: str
    registered_by: str


def first_watches(watches: Iterable[Watch]) -> tuple[list[Watch], list[Watch]]:
    """The watch that counts for each alias or stage, and the duplicates: the watch made earlier, then the lower id."""
    kept: dict[tuple[WatchKey, int], Watch] = {}
    duplicates: list[Watch] = []
    for watch in sorted(watches, key=lambda watch: (watch.registered_at, watch.run_id)):
        # A watch on a model that was deleted and created anew is no duplicate of the new model's.
        identity = watch.key, watch.model_created
        if identity in kept:
            duplicates.append(watch)
        else:
            kept[identity] = watch
    return list(kept.values()), duplicates


def target(watch: Watch, fleet: Fleet) -> TrackedModel | None:
    """The version that a watch covers now; of several versions in a stage the highest, as for MLflow."""
    model, versions = fleet.model(watch.model)
    if model is None or model.created != watch.model_created:
        return None
    if watch.kind == ALIAS:
        # MLflow's aliases differ in case.
        number = model.aliases.get(watch.place)
        return None if number is None else fleet.find(watch.model, number)
    return next((version for version in versions if version.stage == watch.place), None)


def coverages(
    fleet: Fleet,
    watches: Iterable[Watch],
    rules: Iterable[MonitoringRule] = (),
    names: Collection[str] | None = None,
) -> dict[VersionKey, Coverage]:
    """What covers each version that a watch or a rule covers, of all registered models or of some."""
    covering: dict[VersionKey, tuple[TrackedModel, list[Watch | MonitoringRule]]] = {}
    for watch in watches:
        version = target(watch, fleet) if names is None or watch.model in names else None
        if version is not None:
            covering.setdefault(version.key, (version, []))[1].append(watch)
    for rule in rules:
        for version in covered_by(rule, fleet, names):
            covering.setdefault(version.key, (version, []))[1].append(rule)
    return {key: _coverage(version, by) for key, (version, by) in covering.items()}


def _coverage(version: TrackedModel, by: Sequence[Watch | MonitoringRule]) -> Coverage:
    ordered = sorted(by, key=lambda one: (_COVERING.index(one.kind), one.registered_at, one.run_id))
    first = ordered[0]
    labels = tuple(one.label for one in ordered[:_MOST_NAMED])
    model_type = first.matched_type(version) if isinstance(first, MonitoringRule) else first.model_type
    return Coverage(labels, layered([one.settings for one in ordered]), model_type, first.registered_by)


def watched(registration: Registration) -> list[str]:
    """The labels of the watches that cover a version, without those of rules."""
    return [label for label in registration.watched_by if not label.startswith(rule_label(""))]


def layered(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings in one: of settings that differ, those of the earlier layer count. Limits and directions by metric.

    A setting that does not fit beside the others, or makes them too long for MLflow, is left out.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in settings:
                more = {**settings, name: value}
            elif name in _BY_METRIC and isinstance(value, Mapping) and isinstance(settings[name], Mapping):
                more = {**settings, name: {**value, **settings[name]}}
            else:
                continue
            if _fits(more):
                settings = more
    return settings


def _fits(settings: Mapping[str, Any]) -> bool:
    try:
        check_settings(settings)
    except InvalidInput:
        return False
    return len(settings_text(settings)) <= LONGEST_TAG


def unsettled(
    fleet: Fleet,
    watches: Collection[Watch],
    rules: Collection[MonitoringRule],
    registrations: Registrations,
    only: Collection[str] | None = None,
) -> set[str]:
    """The registered models, of all or of some, whose records or watches are not yet as watches and rules want them."""
    wanted = coverages(fleet, watches, rules, only)
    names = {key[0] for key, coverage in wanted.items() if not is_settled(registrations.get(key), coverage)}
    for key, registration in registrations.items():
        # The reconciler ends the records of versions that are gone.
        if registration.watched_by and key not in wanted and (only is None or key[0] in only):
            model = fleet.find(*key)
            if model and registration.is_of(model.row):
                names.add(registration.name)
    for watch in watches:
        if only is not None and watch.model not in only:
            continue
        version = target(watch, fleet)
        record = registrations.get(version.key) if version else None
        if record is not None and watch.record != record.monitor_run_id:
            names.add(watch.model)
        if _is_gone(watch, fleet):
            names.add(watch.model)
    return names


def is_settled(registration: Registration | None, coverage: Coverage) -> bool:
    """Whether a version's record has what covers the version."""
    return (
        registration is not None
        and registration.watched_by == coverage.watched_by
        and dict(registration.watched_settings) == dict(coverage.settings)
    )


def covered(
    registration: Registration,
    coverage: Coverage,
    own: Mapping[str, Any] | None,
    earlier: tuple[Predecessor, ...],
) -> Registration:
    """The record of a version that is covered: the version's own settings count before those of the watches."""
    return replace(
        registration,
        settings=layered([own or {}, coverage.settings]),
        watched_by=coverage.watched_by,
        watched_settings=coverage.settings,
        own_settings=own,
        predecessors=earlier,
    )


def uncovered(registration: Registration) -> Registration:
    """The record of a version that was registered by itself and is no longer watched."""
    own = registration.own or {}
    return replace(registration, settings=own, watched_by=(), watched_settings={}, own_settings=None)


def with_own(registration: Registration, own: Mapping[str, Any] | None) -> Registration:
    """The record of a watched version with other settings of its own; None: it is not registered by itself."""
    return replace(registration, settings=layered([own or {}, registration.watched_settings]), own_settings=own)


def predecessors(key: VersionKey, before: Registration) -> tuple[Predecessor, ...]:
    """The versions whose baselines may stand in for that of a version, from the record of the version before."""
    baseline = before.settings.get("baseline")
    last = Predecessor(before.version, before.version_created, before.monitor_run_id, baseline)
    chain = (last, *before.predecessors)
    return tuple(earlier for earlier in chain if earlier.version != key[1])[:_MOST_PREDECESSORS]


def _is_gone(watch: Watch, fleet: Fleet) -> bool:
    """Whether the registered model that a watch was made for no longer exists."""
    model = fleet.model(watch.model)[0]
    return model is None or model.created != watch.model_created


def gone_watches(watches: Iterable[Watch], fleet: Fleet, names: Collection[str]) -> list[Watch]:
    """The watches on some registered models that were deleted, or deleted and created anew."""
    return [watch for watch in watches if watch.model in names and _is_gone(watch, fleet)]


def end_reason(
    registration: Registration, watches: Iterable[Watch], rules: Iterable[MonitoringRule], fleet: Fleet
) -> str:
    """Why the record of a version ends that no watch and no rule covers any more."""
    present = {watch.label: watch for watch in watches if watch.model == registration.name}
    rule_of = {rule.label: rule for rule in rules}
    reasons = []
    for label in registration.watched_by:
        watch = present.get(label)
        if label.startswith(rule_label("")):
            reasons.append(_left(registration, label, rule_of.get(label)))
        elif watch is None:
            reasons.append(f"the watch on the {label} was removed")
        elif version := target(watch, fleet):
            reasons.append(f"the {label} moved to version {version.row.version}")
        else:
            reasons.append(f"no version is at the {label} any more")
    return "; ".join(reasons)


def _left(registration: Registration, label: str, rule: MonitoringRule | None) -> str:
    """Why a rule does not cover a version any more."""
    if rule is None:
        return f"the {label} was removed"
    if any(exclusion.key == registration.key for exclusion in rule.excluded):
        return f"the version was excluded from the {label}"
    return f"the version no longer matches the {label}"


def nothing_there(watch: Watch, fleet: Fleet) -> str:
    """Why a watch covers no version, for people."""
    model = fleet.model(watch.model)[0]
    if model is None or model.created != watch.model_created:
        return "The registered model no longer exists in MLflow."
    if watch.kind == ALIAS:
        return f"No version has the alias {watch.place}. It is watched as soon as a version has it."
    return f"No version is in the stage {watch.place}. It is watched as soon as a version is in it."
