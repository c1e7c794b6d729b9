"""The fleet: one immutable snapshot of the registry, with its indexes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from app.domain.models import Experiment, Inventory, ModelReading, RegisteredModel, TrackedModel
from app.domain.stages import STAGES, StageRules, aliases_by_version, track


@dataclass(frozen=True)
class Fleet:
    """Every model version, sorted by name, then by version, highest first.

    `as_of` is when the last full reading began, in milliseconds. `touched` says which models were
    read by themselves since, and when: a sweep that began earlier must not undo them.
    """

    inventory: Inventory
    models: tuple[TrackedModel, ...]
    touched: Mapping[str, int] = field(default_factory=dict)
    mock: bool = False

    @property
    def as_of(self) -> int:
        return self.inventory.read_at

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        return self.inventory.experiments

    @cached_property
    def by_key(self) -> dict[tuple[str, int], TrackedModel]:
        return {model.key: model for model in self.models}

    @cached_property
    def by_name(self) -> dict[str, tuple[TrackedModel, ...]]:
        grouped: dict[str, list[TrackedModel]] = {}
        for model in self.models:
            grouped.setdefault(model.row.name, []).append(model)
        return {name: tuple(rows) for name, rows in grouped.items()}

    @cached_property
    def by_stage(self) -> dict[str, tuple[TrackedModel, ...]]:
        return {stage: tuple(m for m in self.models if m.stage == stage) for stage in STAGES}

    @cached_property
    def registered(self) -> dict[str, RegisteredModel]:
        return {model.name: model for model in self.inventory.models}

    def count(self, stage: str) -> int:
        return len(self.by_stage[stage])


def assemble(inventory: Inventory, rules: StageRules, touched: Mapping[str, int] | None = None) -> Fleet:
    """The fleet of one reading: aliases joined, stages made effective, rows sorted."""
    aliases = {model.name: aliases_by_version(model.aliases) for model in inventory.models}
    tracked = [track(row, aliases.get(row.name, {}).get(row.version, ()), rules) for row in inventory.versions]
    tracked.sort(key=lambda model: (model.row.name, -model.row.version))
    return Fleet(inventory, tuple(tracked), dict(touched or {}))


def with_model(fleet: Fleet, reading: ModelReading, name: str, rules: StageRules) -> Fleet:
    """The fleet with everything about one registered model replaced by a newer reading of it."""
    before = fleet.inventory
    models = [model for model in before.models if model.name != name]
    versions = [row for row in before.versions if row.name != name]
    if reading.model is not None:
        models.append(reading.model)
        versions.extend(reading.versions)
    inventory = replace(before, models=tuple(models), versions=tuple(versions))
    return assemble(inventory, rules, {**fleet.touched, name: reading.read_at})


def swept(current: Fleet | None, inventory: Inventory, rules: StageRules) -> Fleet:
    """The fleet after a sweep, keeping what was read of single models after the sweep began."""
    fleet = assemble(inventory, rules)
    if current is None or current.mock:
        return fleet
    for name, read_at in current.touched.items():
        if read_at > inventory.read_at:
            fleet = with_model(fleet, _reading_of(current, name, read_at), name, rules)
    return fleet


def _reading_of(fleet: Fleet, name: str, read_at: int) -> ModelReading:
    rows: Iterable[TrackedModel] = fleet.by_name.get(name, ())
    return ModelReading(read_at, fleet.registered.get(name), tuple(model.row for model in rows))
