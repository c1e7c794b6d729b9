"""The fleet: one immutable snapshot of the registry, in segments, with its indexes."""

import hashlib
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import orjson

from app.domain.registry.models import Experiment, Inventory, ModelReading, ModelVersion, RegisteredModel, TrackedModel
from app.domain.registry.stages import STAGES, StageRules, aliases_by_version, owner_in, track

# A change of one model replaces one segment; the others are kept, in memory and on disk.
SEGMENTS = 64


def segment_of(name: str) -> int:
    """The number of the segment that holds a registered model."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % SEGMENTS


@dataclass(frozen=True, slots=True)
class Edition:
    """Identifies a publication of the snapshot. `number` grows by one with each.

    A process that has no snapshot, or only a stored one, begins a new series when it publishes. So workers notice when
    the store was lost, or restored from a copy.
    """

    series: str = ""
    number: int = 0

    def replaces(self, other: "Edition") -> bool:
        """Whether it is newer than another edition, or of another series."""
        return self.series != other.series or self.number > other.number


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A refresh: the new edition, and why the registrations could not be read; None where they were.

    `denied` is True where MLflow's user may not read them, so that the next refresh will not read them either.
    """

    edition: Edition
    registrations_error: str | None = None
    denied: bool = False


@dataclass(frozen=True, slots=True)
class FleetSegment:
    """Some of the registered models with all their versions, highest first.

    `digest` is that of MLflow's rows; two segments with the same digest are equal.
    """

    digest: str
    registered: Mapping[str, RegisteredModel] = field(default_factory=dict)
    by_name: Mapping[str, tuple[TrackedModel, ...]] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[ModelVersion, ...]:
        return tuple(model.row for model in chain.from_iterable(self.by_name.values()))


@dataclass(frozen=True)
class Fleet:
    """Every model version, sorted by name, then by version, highest first.

    `as_of` is when the last full reading began, in milliseconds, for people; None if the clock was wrong.
    `unreadable` counts the rows that this reading left out. Tickets, numbers that readings take when they begin, decide
    what is newer: `ticket` is that of the last full reading. `touched` has those of models that were read singly since
    then, which a sweep that began earlier must not undo.
    """

    as_of: int | None
    segments: tuple[FleetSegment, ...]
    experiments: tuple[Experiment, ...] = ()
    unreadable: int = 0
    touched: Mapping[str, int] = field(default_factory=dict)
    mock: bool = False
    ticket: int = 0
    edition: Edition = Edition()

    @cached_property
    def by_name(self) -> dict[str, tuple[TrackedModel, ...]]:
        versions: dict[str, tuple[TrackedModel, ...]] = {}
        for segment in self.segments:
            versions.update(segment.by_name)
        return {name: versions[name] for name in sorted(versions)}

    @cached_property
    def models(self) -> tuple[TrackedModel, ...]:
        return tuple(chain.from_iterable(self.by_name.values()))

    @cached_property
    def by_stage(self) -> dict[str, tuple[TrackedModel, ...]]:
        by_stage: dict[str, list[TrackedModel]] = {stage: [] for stage in STAGES}
        for model in self.models:
            by_stage[model.stage].append(model)
        return {stage: tuple(models) for stage, models in by_stage.items()}

    @cached_property
    def registered(self) -> dict[str, RegisteredModel]:
        registered: dict[str, RegisteredModel] = {}
        for segment in self.segments:
            registered.update(segment.registered)
        return registered

    def find(self, name: str, version: int) -> TrackedModel | None:
        """One version, without the index of all."""
        rows = self.model(name)[1]
        at = bisect_left(rows, -version, key=lambda model: -model.row.version)
        return rows[at] if at < len(rows) and rows[at].row.version == version else None

    def model(self, name: str) -> tuple[RegisteredModel | None, tuple[TrackedModel, ...]]:
        """A registered model and its versions, without the index of all."""
        held = self.segments[segment_of(name)]
        return held.registered.get(name), held.by_name.get(name, ())

    def changes_since(self, before: "Fleet | None") -> int:
        """How many registered models changed."""
        changed = 0
        for number, held in enumerate(self.segments):
            old = before.segments[number] if before else FleetSegment("")
            if old.digest != held.digest:
                names = {*held.registered, *held.by_name, *old.registered, *old.by_name}
                changed += sum(before is None or self.model(name) != before.model(name) for name in names)
        return changed

    @cached_property
    def last_ticket(self) -> int:
        """The ticket of the newest reading in this fleet."""
        return max(self.ticket, *self.touched.values()) if self.touched else self.ticket

    @property
    def experiment_ids(self) -> list[str]:
        return [experiment.experiment_id for experiment in self.experiments]

    def count(self, stage: str) -> int:
        return len(self.by_stage[stage])


def segment(
    digest: str, models: Iterable[RegisteredModel], versions: Iterable[ModelVersion], rules: StageRules
) -> FleetSegment:
    """A segment made of MLflow's rows, with aliases, effective stages and owners, and the versions sorted."""
    registered = {model.name: model for model in models}
    aliases = {name: aliases_by_version(model.aliases) for name, model in registered.items() if model.aliases}
    owners = {name: owner_in(model.tags) for name, model in registered.items()}
    grouped: dict[str, list[TrackedModel]] = {}
    for row in versions:
        names = aliases[row.name].get(row.version, ()) if row.name in aliases else ()
        grouped.setdefault(row.name, []).append(track(row, names, rules, owners.get(row.name)))
    for tracked in grouped.values():
        tracked.sort(key=lambda model: -model.row.version)
    return FleetSegment(digest, registered, {name: tuple(tracked) for name, tracked in grouped.items()})


def digest_of(models: Iterable[RegisteredModel], versions: Iterable[ModelVersion]) -> str:
    """A digest of MLflow's rows, the same in any order of the rows."""
    content = [
        sorted(models, key=lambda model: model.name),
        sorted(versions, key=lambda row: (row.name, row.version)),
    ]
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


def split(inventory: Inventory) -> list[tuple[list[RegisteredModel], list[ModelVersion]]]:
    """The models and versions of a reading, by segment."""
    parts: list[tuple[list[RegisteredModel], list[ModelVersion]]] = [([], []) for _ in range(SEGMENTS)]
    place: dict[str, int] = {}
    for model in inventory.models:
        place[model.name] = number = segment_of(model.name)
        parts[number][0].append(model)
    for row in inventory.versions:
        number = place.get(row.name, -1)
        if number < 0:
            place[row.name] = number = segment_of(row.name)
        parts[number][1].append(row)
    return parts


def with_models(fleet: Fleet, readings: Mapping[str, ModelReading], rules: StageRules, ticket: int) -> Fleet:
    """The fleet in which newer `readings`, made under a ticket, replace some registered models with their versions."""
    return _replaced(fleet, readings, rules, dict.fromkeys(readings, ticket))


def _replaced(
    fleet: Fleet, readings: Mapping[str, ModelReading], rules: StageRules, tickets: Mapping[str, int]
) -> Fleet:
    segments = list(fleet.segments)
    for number in sorted({segment_of(name) for name in readings}):
        old = segments[number]
        models = [model for name, model in old.registered.items() if name not in readings]
        versions = [row for row in old.rows if row.name not in readings]
        for name, reading in readings.items():
            if reading.model is not None and segment_of(name) == number:
                models.append(reading.model)
                held = [version.row for version in old.by_name.get(name, ())]
                versions.extend(held if reading.versions is None else reading.versions)
        digest = digest_of(models, versions)
        if digest != old.digest:
            segments[number] = segment(digest, models, versions, rules)
    return replace(fleet, segments=tuple(segments), touched={**fleet.touched, **tickets})


def swept(current: Fleet | None, inventory: Inventory, rules: StageRules, ticket: int = 0) -> Fleet:
    """The fleet after a sweep made under a ticket. Models that were read singly after the sweep began are kept."""
    if current is not None and current.mock:
        current = None
    segments = []
    for number, (models, versions) in enumerate(split(inventory)):
        digest = digest_of(models, versions)
        if current is not None and current.segments[number].digest == digest:
            segments.append(current.segments[number])
        else:
            segments.append(segment(digest, models, versions, rules))
    fleet = Fleet(inventory.read_at, tuple(segments), inventory.experiments, inventory.unreadable, ticket=ticket)
    if current is None:
        return fleet
    newer = {name: number for name, number in current.touched.items() if number > ticket}
    readings = {name: reading_of(current, name) for name in newer}
    return _replaced(fleet, readings, rules, newer) if newer else fleet


def reading_of(fleet: Fleet, name: str) -> ModelReading:
    """One registered model of a fleet, as if it had just been read."""
    model, versions = fleet.model(name)
    return ModelReading(model, tuple(version.row for version in versions))
