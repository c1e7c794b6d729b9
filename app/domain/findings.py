"""Findings: what is out of order in the registry, each with the model and what to do about it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import RegisteredModel, Registration, TrackedModel
from app.domain.registry.query import ListQuery
from app.domain.registry.stages import StageRules
from app.domain.times import DAY_MS, day_of

WITHOUT_MONITOR, WITHOUT_RUN, STALE = "production_without_monitor", "production_without_run", "production_stale"
SEVERAL, CONFLICT, NO_OWNER = "several_in_production", "stage_alias_conflict", "no_owner"
FINDINGS = (WITHOUT_MONITOR, WITHOUT_RUN, STALE, SEVERAL, CONFLICT, NO_OWNER)
# Those that name a version; the others are of a model as a whole.
OF_VERSIONS = (WITHOUT_MONITOR, WITHOUT_RUN, STALE, CONFLICT)

_PRODUCTION, _STAGING = "Production", "Staging"
_ACTIONS = {
    WITHOUT_MONITOR: "Register it for monitoring: POST {address}.",
    WITHOUT_RUN: "Register a version from the run that trained it, and move that to Production.",
    STALE: "Train it anew, or check that it still holds and write so into its description.",
    SEVERAL: "Leave the one that serves in Production; archive the others, or take their aliases away.",
    CONFLICT: "Move the alias to the version that it is meant for, or set the stage to what the alias says.",
    NO_OWNER: "Set the tag owner of the registered model to a person or a team.",
}


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
    fleet: Fleet, registrations: Mapping[tuple[str, int], Registration], rules: StageRules, stale_days: int, now: int
) -> list[Finding]:
    """Every finding, by name, then version, then kind; those of a whole model come first.

    `stale_days` is how long a version in Production may stay as it is, 0 for ever; `now` in milliseconds.
    """
    found: list[Finding] = []
    by_name: dict[str, list[TrackedModel]] = {}
    for model in fleet.by_stage[_PRODUCTION]:
        by_name.setdefault(model.row.name, []).append(model)
        found.extend(_of_version(model, model.key in registrations, stale_days, now))
    found.extend(_several(name, models) for name, models in by_name.items() if len(models) > 1)
    for registered in fleet.registered.values():
        found.extend(_of_model(registered))
        found.extend(_conflicts(fleet, registered, rules))
    return sorted(found, key=lambda one: (one.name, one.version or 0, one.finding))


def matching(found: Sequence[Finding], query: FindingsQuery) -> Sequence[Finding]:
    """The findings that a query asks for."""
    if query.finding is not None:
        found = [one for one in found if one.finding == query.finding]
    if query.name is not None:
        needle = query.name.casefold()
        found = [one for one in found if needle in one.name.casefold()]
    return found


def kinds_by_version(found: Iterable[Finding]) -> dict[tuple[str, int], list[str]]:
    """The kinds of findings that name a version, sorted."""
    kinds: dict[tuple[str, int], list[str]] = {}
    for one in found:
        if one.version is not None:
            kinds.setdefault((one.name, one.version), []).append(one.finding)
    return {key: sorted(named) for key, named in kinds.items()}


def finding_info(one: Finding) -> dict[str, str | None]:
    """One entry of `/models/findings`."""
    version = None if one.version is None else str(one.version)
    return {"finding": one.finding, "name": one.name, "version": version, "detail": one.detail, "action": one.action}


def _finding(kind: str, name: str, version: int | None, detail: str) -> Finding:
    address = f"/models/{quote(name, safe='', errors='replace')}/{version}/monitor"
    return Finding(kind, name, version, detail, _ACTIONS[kind].format(address=address))


def _of_version(model: TrackedModel, monitored: bool, stale_days: int, now: int) -> Iterator[Finding]:
    row, told = model.row, f"Version {model.row.version} is in Production and"
    if not monitored:
        yield _finding(WITHOUT_MONITOR, *model.key, f"{told} not monitored.")
    if row.run_id is None:
        yield _finding(WITHOUT_RUN, *model.key, f"{told} names no run: nothing tells how it was trained.")
    changed = max(row.updated, row.created)
    if stale_days and now - changed > stale_days * DAY_MS:
        for_days = f"for {(now - changed) // DAY_MS} days; {stale_days} are allowed (STALE_AFTER_DAYS)."
        yield _finding(STALE, *model.key, f"{told} has not changed since {day_of(changed)}, {for_days}")


def _several(name: str, models: Iterable[TrackedModel]) -> Finding:
    *numbers, last = sorted(model.row.version for model in models)
    listed = f"{', '.join(map(str, numbers))} and {last}"
    return _finding(SEVERAL, name, None, f"{len(numbers) + 1} versions are in Production: {listed}.")


def _of_model(registered: RegisteredModel) -> Iterator[Finding]:
    if not any(key.lower() == "owner" and value.strip() for key, value in registered.tags.items()):
        told = "The registered model has no tag owner: nobody is known to answer for it."
        yield _finding(NO_OWNER, registered.name, None, told)


def _conflicts(fleet: Fleet, registered: RegisteredModel, rules: StageRules) -> Iterator[Finding]:
    for version in set(registered.aliases.values()):
        model = fleet.find(registered.name, version)
        if model is None or model.row.stage == "None":
            continue
        meant = {alias: _stages(alias, rules) for alias in model.aliases}
        told = [f"{alias} stands for {' or '.join(stages)}" for alias, stages in meant.items()
                if stages and model.row.stage not in stages]  # fmt: skip
        if told:
            conflict = f"Its stage in MLflow is {model.row.stage}, while its alias {' and its alias '.join(told)}."
            yield _finding(CONFLICT, *model.key, conflict)


def _stages(alias: str, rules: StageRules) -> tuple[str, ...]:
    """The stages that an alias stands for; MLflow's aliases ignore case."""
    lists = ((_PRODUCTION, rules.production), (_STAGING, rules.staging))
    return tuple(stage for stage, aliases in lists if alias.lower() in aliases)
