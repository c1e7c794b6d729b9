"""Findings: what is out of order in the registry, each with the model and what to do about it.

A further kind of finding is a function and an entry in `KINDS`. The list, its filters, the figures of the fleet, the
pages and the documentation of the API follow from it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.query import ListQuery
from app.domain.registry.stages import StageRules
from app.domain.times import DAY_MS, day_of

_PRODUCTION, _STAGING = "Production", "Staging"
# Name and version of a model, the version None where it is of the model as a whole, and what was found.
Detail = tuple[str, int | None, str]


@dataclass(frozen=True, slots=True)
class Registry:
    """What is looked at: see `findings`."""

    fleet: Fleet
    registrations: Mapping[VersionKey, Registration]
    rules: StageRules
    stale_days: int
    now: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding: how it is found, and what to do about it.

    `action` may hold `{address}`, where the version is registered for monitoring. `names_version` is whether the
    findings name a version; the others are of a model as a whole.
    """

    name: str
    find: Callable[[Registry], Iterator[Detail]]
    action: str
    names_version: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `version` is None where it is of the model as a whole."""

    finding: str
    name: str
    version: int | None
    detail: str
    action: str


@dataclass(frozen=True, slots=True)
class FindingsQuery(ListQuery):
    """A query of the list of findings: of a part of the name, and of one kind."""

    finding: str | None = None


def findings(
    fleet: Fleet, registrations: Mapping[VersionKey, Registration], rules: StageRules, stale_days: int, now: int
) -> list[Finding]:
    """Every finding, by name, then version, then kind; those of a whole model come first.

    `stale_days` is how long a version in Production may stay as it is, 0 for ever; `now` in milliseconds.
    """
    registry = Registry(fleet, registrations, rules, stale_days, now)
    found = [_finding(kind, *detail) for kind in KINDS for detail in kind.find(registry)]
    return sorted(found, key=lambda one: (one.name, one.version or 0, one.finding))


def matching(found: Sequence[Finding], query: FindingsQuery) -> Sequence[Finding]:
    """The findings that a query asks for."""
    if query.finding is not None:
        found = [one for one in found if one.finding == query.finding]
    if query.name is not None:
        needle = query.name.casefold()
        found = [one for one in found if needle in one.name.casefold()]
    return found


def kinds_by_version(found: Iterable[Finding]) -> dict[VersionKey, list[str]]:
    """The kinds of findings that name a version, sorted."""
    kinds: dict[VersionKey, list[str]] = {}
    for one in found:
        if one.version is not None:
            kinds.setdefault((one.name, one.version), []).append(one.finding)
    return {key: sorted(named) for key, named in kinds.items()}


def finding_info(one: Finding) -> dict[str, str | None]:
    """One entry of `/models/findings`."""
    version = None if one.version is None else str(one.version)
    return {"finding": one.finding, "name": one.name, "version": version, "detail": one.detail, "action": one.action}


def _finding(kind: Kind, name: str, version: int | None, detail: str) -> Finding:
    address = f"/models/{quote(name, safe='', errors='replace')}/{version}/monitor"
    return Finding(kind.name, name, version, detail, kind.action.format(address=address))


def _without_monitor(registry: Registry) -> Iterator[Detail]:
    for model in registry.fleet.by_stage[_PRODUCTION]:
        if model.key not in registry.registrations:
            yield *model.key, f"{_in_production(model)} not monitored."


def _without_run(registry: Registry) -> Iterator[Detail]:
    for model in registry.fleet.by_stage[_PRODUCTION]:
        if model.row.run_id is None:
            yield *model.key, f"{_in_production(model)} names no run: nothing tells how it was trained."


def _stale(registry: Registry) -> Iterator[Detail]:
    for model in registry.fleet.by_stage[_PRODUCTION] if registry.stale_days else ():
        changed = max(model.row.updated, model.row.created)
        unchanged = registry.now - changed
        if unchanged > registry.stale_days * DAY_MS:
            for_days = f"for {unchanged // DAY_MS} days; {registry.stale_days} are allowed (STALE_AFTER_DAYS)."
            yield *model.key, f"{_in_production(model)} has not changed since {day_of(changed)}, {for_days}"


def _in_production(model: TrackedModel) -> str:
    return f"Version {model.row.version} is in Production and"


def _several(registry: Registry) -> Iterator[Detail]:
    by_name: dict[str, list[int]] = {}
    for model in registry.fleet.by_stage[_PRODUCTION]:
        by_name.setdefault(model.row.name, []).append(model.row.version)
    for name, versions in by_name.items():
        *numbers, last = sorted(versions)
        if numbers:
            listed = f"{', '.join(map(str, numbers))} and {last}"
            yield name, None, f"{len(versions)} versions are in Production: {listed}."


def _conflict(registry: Registry) -> Iterator[Detail]:
    for registered in registry.fleet.registered.values():
        for version in set(registered.aliases.values()):
            model = registry.fleet.find(registered.name, version)
            if model is None or model.row.stage == "None":
                continue
            meant = {alias: _stages(alias, registry.rules) for alias in model.aliases}
            others = [f"{alias} stands for {' or '.join(stages)}" for alias, stages in meant.items()
                      if stages and model.row.stage not in stages]  # fmt: skip
            if others:
                aliases = " and its alias ".join(others)
                yield *model.key, f"Its stage in MLflow is {model.row.stage}, while its alias {aliases}."


def _stages(alias: str, rules: StageRules) -> tuple[str, ...]:
    """The stages that an alias stands for; MLflow's aliases ignore case."""
    lists = ((_PRODUCTION, rules.production), (_STAGING, rules.staging))
    return tuple(stage for stage, aliases in lists if alias.lower() in aliases)


def _no_owner(registry: Registry) -> Iterator[Detail]:
    for registered in registry.fleet.registered.values():
        if not any(key.lower() == "owner" and value.strip() for key, value in registered.tags.items()):
            yield registered.name, None, "The registered model has no tag owner: nobody is known to answer for it."


KINDS = (
    Kind(
        "production_without_monitor",
        _without_monitor,
        "Register it for monitoring: POST {address}.",
    ),
    Kind(
        "production_without_run",
        _without_run,
        "Register a version from the run that trained it, and move that to Production.",
    ),
    Kind(
        "production_stale",
        _stale,
        "Train it anew, or check that it still holds and write so into its description.",
    ),
    Kind(
        "several_in_production",
        _several,
        "Leave the one that serves in Production; archive the others, or take their aliases away.",
        names_version=False,
    ),
    Kind(
        "stage_alias_conflict",
        _conflict,
        "Move the alias to the version that it is meant for, or set the stage to what the alias says.",
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
"""The kinds of findings that name a version; the others are of a model as a whole."""
