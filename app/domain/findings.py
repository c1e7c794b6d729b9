"""Findings: what is out of order in the registry, each with the model and what to do about it.

To add a kind of finding, add a function and an entry in `KINDS`. The list, its filters, the figures of the fleet, the
pages and the documentation of the API follow from it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from app.domain.monitoring.monitoring_rules import MonitoringRule, matched_by
from app.domain.monitoring.watches import Watch, nothing_there, target
from app.domain.promotion.guard import CHANGED_OUTSIDE, OutsideMove
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.query import ListQuery
from app.domain.registry.stages import StageRules, owner_in
from app.domain.times import DAY_MS, day_of

_PRODUCTION, _STAGING, _ARCHIVED = "Production", "Staging", "Archived"
# The name of the model, the version (None if the finding is about the model as a whole), and the detail in words. A
# finding about a monitoring rule has the name of the rule.
Detail = tuple[str, int | None, str]


@dataclass(frozen=True, slots=True)
class Examined:
    """What findings are computed from: see `findings`."""

    fleet: Fleet
    registrations: Mapping[VersionKey, Registration]
    monitoring_rules: Sequence[MonitoringRule]
    rules: StageRules
    stale_days: int
    now: int
    watches: Sequence[Watch]
    outside: Sequence[OutsideMove]
    unreferenced: Collection[tuple[VersionKey, int]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding: how to detect it, and what to do about it.

    `action` may hold `{address}`, the path of the version's registration, `{name}`, quoted, and `{version}`.
    `names_version` is False if the findings are about a model as a whole, or about a monitoring rule.
    """

    name: str
    find: Callable[[Examined], Iterator[Detail]]
    action: str
    names_version: bool = True
    is_of_rule: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `version` is None if it is about the model as a whole, or about the monitoring rule `name`.

    `owner` is that of the version or model, None for a rule.
    """

    finding: str
    name: str
    version: int | None
    detail: str
    action: str
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class FindingsQuery(ListQuery):
    """A query of the list of findings: by a part of the model's name, by kind, and by owner."""

    finding: str | None = None


def findings(
    fleet: Fleet,
    registrations: Mapping[VersionKey, Registration],
    monitoring_rules: Sequence[MonitoringRule],
    rules: StageRules,
    stale_days: int,
    now: int,
    watches: Sequence[Watch] = (),
    outside: Sequence[OutsideMove] = (),
    unreferenced: Collection[tuple[VersionKey, int]] = (),
) -> list[Finding]:
    """Every finding, by name, then version, then kind; findings about a whole model come first.

    `stale_days` is how many days a version in Production may stay unchanged, 0 for ever; `now` in milliseconds.
    `unreferenced` are versions, each with the time at which it was created, whose data is counted without a reference.
    """
    registry = Examined(fleet, registrations, monitoring_rules, rules, stale_days, now, watches, outside, unreferenced)
    rows = [_finding(fleet, kind, *detail) for kind in KINDS for detail in kind.find(registry)]
    return sorted(rows, key=lambda finding: (finding.name, finding.version or 0, finding.finding))


def matching(rows: Sequence[Finding], query: FindingsQuery) -> Sequence[Finding]:
    """The findings that a query asks for."""
    if query.finding is not None:
        rows = [finding for finding in rows if finding.finding == query.finding]
    if query.owners:
        rows = [finding for finding in rows if finding.owner in query.owners]
    if query.name is not None:
        needle = query.name.casefold()
        rows = [finding for finding in rows if needle in finding.name.casefold()]
    return rows


def kinds_by_version(rows: Iterable[Finding]) -> dict[VersionKey, list[str]]:
    """For each version that findings name, their kinds, sorted."""
    kinds: dict[VersionKey, list[str]] = {}
    for finding in rows:
        if finding.version is not None:
            kinds.setdefault((finding.name, finding.version), []).append(finding.finding)
    return {key: sorted(names) for key, names in kinds.items()}


def finding_info(finding: Finding) -> dict[str, str | None]:
    """One entry of `/models/findings`."""
    return {
        "finding": finding.finding,
        "name": finding.name,
        "version": None if finding.version is None else str(finding.version),
        "detail": finding.detail,
        "action": finding.action,
        "owner": finding.owner,
    }


def _finding(fleet: Fleet, kind: Kind, name: str, version: int | None, detail: str) -> Finding:
    quoted_name = quote(name, safe="", errors="replace")
    action = kind.action.format(address=f"/models/{quoted_name}/{version}/monitor", name=quoted_name, version=version)
    registered = None if kind.is_of_rule else fleet.model(name)[0]
    model = None if version is None else fleet.find(name, version)
    owner = model.owner if model else owner_in(registered.tags) if registered else None
    return Finding(kind.name, name, version, detail, action, owner)


def _without_monitor(registry: Examined) -> Iterator[Detail]:
    for model in registry.fleet.by_stage[_PRODUCTION]:
        if model.key not in registry.registrations:
            yield *model.key, f"{_in_production(model)} not monitored."


def _without_run(registry: Examined) -> Iterator[Detail]:
    for model in registry.fleet.by_stage[_PRODUCTION]:
        if model.row.run_id is None:
            yield *model.key, f"{_in_production(model)} has no source run, so it is not known how it was trained."


def _stale(registry: Examined) -> Iterator[Detail]:
    for model in registry.fleet.by_stage[_PRODUCTION] if registry.stale_days else ():
        changed = max(model.row.updated, model.row.created)
        unchanged = registry.now - changed
        if unchanged > registry.stale_days * DAY_MS:
            for_days = f"for {unchanged // DAY_MS} days; {registry.stale_days} are allowed (STALE_AFTER_DAYS)."
            yield *model.key, f"{_in_production(model)} has not changed since {day_of(changed)}, {for_days}"


def _in_production(model: TrackedModel) -> str:
    return f"Version {model.row.version} is in Production and"


def _several(registry: Examined) -> Iterator[Detail]:
    by_name: dict[str, list[int]] = {}
    for model in registry.fleet.by_stage[_PRODUCTION]:
        by_name.setdefault(model.row.name, []).append(model.row.version)
    for name, versions in by_name.items():
        *numbers, last = sorted(versions)
        if numbers:
            listed = f"{', '.join(map(str, numbers))} and {last}"
            yield name, None, f"{len(versions)} versions are in Production: {listed}."


def _conflict(registry: Examined) -> Iterator[Detail]:
    for registered in registry.fleet.registered.values():
        for version in set(registered.aliases.values()):
            model = registry.fleet.find(registered.name, version)
            if model is None or model.row.stage == "None":
                continue
            stages_of = {alias: _stages(alias, registry.rules) for alias in model.aliases}
            conflicts = [f"{alias} stands for {' or '.join(stages)}" for alias, stages in stages_of.items()
                         if stages and model.row.stage not in stages]  # fmt: skip
            if conflicts:
                aliases = " and its alias ".join(conflicts)
                yield *model.key, f"Its stage in MLflow is {model.row.stage}, while its alias {aliases}."


def _stages(alias: str, rules: StageRules) -> tuple[str, ...]:
    """The stages that an alias stands for; MLflow's aliases ignore case."""
    lists = ((_PRODUCTION, rules.production), (_STAGING, rules.staging))
    return tuple(stage for stage, aliases in lists if alias.lower() in aliases)


def _retired(registry: Examined) -> Iterator[Detail]:
    for key, registration in registry.registrations.items():
        model = registry.fleet.find(*key)
        # What is monitored since an alias or a stage is watched ends by itself. An alias says that somebody uses it.
        if model is None or model.aliases or registration.own is None:
            continue
        if model.stage == _ARCHIVED:
            yield *key, f"Version {key[1]} is archived and still monitored."
        elif model.stage == "None" and (newer := _newer_in_production(registry.fleet, key)):
            retired = f"Version {key[1]} has no stage and no alias, while version {newer} is in Production."
            yield *key, f"{retired} It is still monitored."


def _newer_in_production(fleet: Fleet, key: VersionKey) -> int | None:
    """The highest version of the same model that is in Production and newer than this version."""
    _, versions = fleet.model(key[0])
    return next((v.row.version for v in versions if v.stage == _PRODUCTION and v.row.version > key[1]), None)


def _matches_nothing(registry: Examined) -> Iterator[Detail]:
    for rule in registry.monitoring_rules:
        if next(matched_by(rule, registry.fleet), None) is None:
            yield rule.name, None, f"The monitoring {rule.label} matches no version, so it has nothing monitored."


def _covers_nothing(registry: Examined) -> Iterator[Detail]:
    for watch in registry.watches:
        if registry.fleet.model(watch.model)[0] is not None and target(watch, registry.fleet) is None:
            yield watch.model, None, f"The {watch.label} is watched. {nothing_there(watch, registry.fleet)}"


def _outside(registry: Examined) -> Iterator[Detail]:
    for move in registry.outside:
        if registry.fleet.model(move.model)[0] is not None:
            number = move.new or move.old or 0
            version = number if registry.fleet.find(move.model, number) else None
            yield move.model, version, move.detail


def _without_reference(registry: Examined) -> Iterator[Detail]:
    for key, created in registry.unreferenced:
        registration = registry.registrations.get(key)
        if registration is not None and registration.version_created == created:
            learnt = "so that it is compared with its own first windows"
            yield *key, f"The data of version {key[1]} is counted without a reference, {learnt}."


def _no_owner(registry: Examined) -> Iterator[Detail]:
    for registered in registry.fleet.registered.values():
        if owner_in(registered.tags) is None:
            yield registered.name, None, "The registered model has no tag owner, so nobody is known to be responsible."


KINDS = (
    Kind(
        "production_without_monitor",
        _without_monitor,
        "Register it for monitoring: POST {address}.",
    ),
    Kind(
        "production_without_run",
        _without_run,
        "Register a version from the run that trained it, and move that version to Production.",
    ),
    Kind(
        "production_stale",
        _stale,
        "Retrain it, or check that it is still good and note that in its description.",
    ),
    Kind(
        "several_in_production",
        _several,
        "Keep the version that serves in Production; archive the others, or remove their aliases.",
        names_version=False,
    ),
    Kind(
        "stage_alias_conflict",
        _conflict,
        "Move the alias to the version that it is meant for, or set the stage that the alias stands for.",
    ),
    Kind(
        "retired_with_monitor",
        _retired,
        "Remove it from monitoring: DELETE {address}.",
    ),
    Kind(
        "data_without_reference",
        _without_reference,
        "Send rows that the version was trained or tested on: PUT /models/{name}/{version}/reference.",
    ),
    Kind(
        "rule_matches_nothing",
        _matches_nothing,
        "Correct what the rule matches, or remove it: PUT or DELETE /monitoring/rules/{name}.",
        names_version=False,
        is_of_rule=True,
    ),
    Kind(
        "watch_covers_nothing",
        _covers_nothing,
        "Give a version that alias or stage, or remove the watch: DELETE /models/{name}/aliases/…/monitor or "
        "/models/{name}/stages/…/monitor.",
        names_version=False,
    ),
    Kind(
        CHANGED_OUTSIDE,
        _outside,
        "Ask who did it. Go back with POST /model/{name}/rollback, and propose it: POST /model/{name}/promotions.",
    ),
    Kind(
        "no_owner",
        _no_owner,
        "Set the tag owner of the registered model to a person or a team.",
        names_version=False,
    ),
)
FINDINGS = tuple(kind.name for kind in KINDS)
OF_VERSIONS = tuple(kind.name for kind in KINDS if kind.names_version)
"""The kinds of findings that name a version; the others are about a model as a whole."""
