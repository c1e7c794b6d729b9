"""What is recorded of the registry, together with what is still to be written."""

from collections.abc import Iterable, Sequence, Set

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelVersion, RegisteredModel
from app.domain.registry_history.change import MODEL, Change, Value, alias_of, version_of
from app.domain.registry_history.lineage import FirstLook, first_look, lineage_id
from app.domain.registry_history.looking import REGISTRY, Confirmed, Gap, Look, Looked
from app.domain.registry_history.record import Additions, RegistryRecord
from app.domain.registry_history.standing import Standing, differences, is_other, standing_of

_Reading = tuple[RegisteredModel, Sequence[ModelVersion]]


class Draft:
    """Compares what looks at the registry find with what is recorded. Not shared between threads.

    `record` is what is recorded so far. Readings whose ticket is not higher than `ticket` began before the record was
    read, so that they may be older than what it has. A time between two looks at all of the registry that is longer
    than `late_ms` (milliseconds) counts as a gap, in which nobody looked.
    """

    def __init__(self, record: RegistryRecord, ticket: int, late_ms: int) -> None:
        self.record = record
        self._ticket = ticket
        self._late_ms = late_ms
        self._fleet: Fleet | None = None
        self._standings = {lineage.id: standing_of(lineage) for lineage in record.lineages()}
        self._alive = {standing.name: key for key, standing in self._standings.items() if standing.exists}
        by_age = sorted(self._standings.values(), key=lambda one: (one.created, one.lineage))
        self._ended = {standing.name: standing for standing in by_age if not standing.exists}
        self._confirmed = Confirmed(record.looked) if record.looked else None
        # The names of models that may differ from the record, and are not compared yet.
        self._open = set(self._alive)
        self._first: list[FirstLook] = []
        self._changes: list[Change] = []
        self._gaps: list[Gap] = []
        self._begun = record.begun

    def pending(self) -> Additions:
        """What is to be written."""
        looked = self._confirmed.but_for(self._open) if self._confirmed else None
        begun = self._begun if self.record.begun is None else None
        return Additions(tuple(self._first), tuple(self._changes), tuple(self._gaps), looked, begun)

    def written(self, more: Additions) -> None:
        """Note that this was written, all or the beginning of what is pending."""
        del self._first[: len(more.first)], self._changes[: len(more.changes)], self._gaps[: len(more.gaps)]

    def resume(self, before: "Draft", but: Set[str]) -> None:
        """Take over what another draft has still to write, except of lineages that others changed."""
        for change in before._changes:
            if change.lineage not in but:
                nothing = Standing(change.lineage, change.model, 0, exists=False)
                self._put(self._standings.setdefault(change.lineage, nothing), change)
        self._gaps = before._gaps

    def not_alone(self, looked: Looked | None) -> None:
        """Another tower has looked at the registry: while it did, there is no gap."""
        if looked is not None:
            gaps = [(max(start, looked.aliases), end) for start, end in self._gaps]
            self._gaps = [(start, end) for start, end in gaps if end - start > self._late_ms]

    def adopt(self, fleet: Fleet) -> None:
        """Take a newer fleet, of which no look is known. The next look tells whether it is what MLflow has."""
        if self._fleet is None or fleet.edition.replaces(self._fleet.edition):
            self._open |= _changed_names(fleet, self._fleet)
            self._fleet = fleet

    def take(self, look: Look) -> None:
        """Compare what a look found, and note what it confirmed."""
        if look.published or self._fleet is None:
            self.adopt(look.fleet)
        fleet = self._fleet
        if fleet is None or fleet.mock or look.ticket <= self._ticket:
            return
        # Models that were read later than the fleet that MLflow was compared with speak for themselves.
        later = {name for name, ticket in fleet.touched.items() if ticket > look.fleet.last_ticket}
        if look.covers is None:
            self._compare(self._open & look.names, fleet, look)
        elif look.covers == REGISTRY and (look.published or fleet.ticket <= look.fleet.ticket):
            self._note_gap(look)
            self._compare(self._open - look.unread - (frozenset() if look.published else later), fleet, look)
            if self._begun is None:
                self._begun = look.ended
        self._confirm(look, fleet, later)

    def _note_gap(self, look: Look) -> None:
        if self._confirmed is not None and look.began - self._confirmed.of_all.aliases > self._late_ms:
            self._gaps.append((self._confirmed.of_all.aliases, look.began))

    def _confirm(self, look: Look, fleet: Fleet, later: set[str]) -> None:
        if self._confirmed is None:
            if look.covers != REGISTRY:
                return
            self._confirmed = Confirmed(Looked(look.began, look.began))
        if look.covers is None:
            self._confirmed.one_by_one(look.names - self._open, look.began)
        elif look.published or fleet.ticket <= look.fleet.ticket:
            cover = self._confirmed.registry if look.covers == REGISTRY else self._confirmed.versions
            cover(look.began, later | look.unread | self._open)

    def _compare(self, names: Set[str], fleet: Fleet, look: Look) -> None:
        self._open -= names
        gone: list[str] = []
        new: list[_Reading] = []
        for name in sorted(names):
            model, tracked = fleet.model(name)
            rows = [version.row for version in tracked]
            known = self._alive.get(name)
            if model is None:
                gone += [name] if known else []
            elif known is None:
                new.append((model, rows))
            elif is_other(self._standings[known].created, model.created):
                gone.append(name)
                new.append((model, rows))
            else:
                self._follow(self._standings[known], model, rows, look)
        self._settle(gone, new, look)

    def _settle(self, gone: list[str], new: Sequence[_Reading], look: Look) -> None:
        """Tell models that were renamed from those that are gone, and from those that are new."""
        left: list[_Reading] = []
        for model, rows in new:
            old = self._renamed_from(model, rows, gone)
            if old is not None:
                gone.remove(old)
                self._follow(self._standings[self._alive[old]], model, rows, look)
            elif look.covers is None and self._may_be_renamed(model, look):
                self._open.add(model.name)
            else:
                left.append((model, rows))
        if look.covers is None:
            # A model that is gone may have another name by now, which this look did not read.
            self._open.update(gone)
            left = [(model, rows) for model, rows in left if model.name not in gone]
        else:
            for name in gone:
                standing = self._standings[self._alive[name]]
                self._add(standing, MODEL, [standing.name, standing.created], None, look)
        for model, rows in left:
            self._begin(model, rows, look)

    def _renamed_from(self, model: RegisteredModel, rows: Sequence[ModelVersion], gone: Iterable[str]) -> str | None:
        """The name that a new model had before: that of a missing model with the same creation times."""
        versions = {(row.version, row.created) for row in rows}
        alike: list[tuple[int, str]] = []
        for name in gone:
            standing = self._standings[self._alive[name]]
            if name != model.name and 0 < standing.created == model.created:
                known = {(number, made) for number, (made, _) in standing.versions.items()}
                alike.append((len(versions ^ known), name))
        return min(alike)[1] if alike else None

    def _may_be_renamed(self, model: RegisteredModel, look: Look) -> bool:
        """Whether a known model that this look did not read has the same creation time."""
        return any(
            0 < self._standings[key].created == model.created
            for name, key in self._alive.items()
            if name not in look.names
        )

    def _begin(self, model: RegisteredModel, rows: Sequence[ModelVersion], look: Look) -> None:
        """Record a model that was not known: as the first look found it, or as a new model."""
        if self._begun is None:
            found = first_look(model, rows, look.began, look.ended)
            self._first.append(found)
            standing = Standing(found.lineage, model.name, model.created, look.began)
            standing.add(found)
            self._standings[found.lineage] = standing
            self._alive[model.name] = found.lineage
            return
        key = lineage_id(model.name, model.created)
        standing = self._standings.setdefault(key, Standing(key, model.name, model.created, exists=False))
        earlier = self._ended.get(model.name)
        old: Value = [earlier.name, earlier.created] if earlier and is_other(earlier.created, model.created) else None
        self._add(standing, MODEL, old, [model.name, model.created], look)
        self._follow(standing, model, rows, look)

    def _follow(self, standing: Standing, model: RegisteredModel, rows: Sequence[ModelVersion], look: Look) -> None:
        for subject, old, new in differences(standing, model, rows):
            self._add(standing, subject, old, new, look)

    def _add(self, standing: Standing, subject: str, old: Value, new: Value, look: Look) -> None:
        name = new[0] if subject == MODEL and new else standing.name
        interval = self._interval(standing, subject, new, look)
        previous = standing.previous(subject)
        self._put(standing, Change(standing.lineage, previous, name, subject, old, new, *interval, None, look.through))

    def _put(self, standing: Standing, change: Change) -> None:
        before = standing.name
        self._changes.append(change)
        standing.apply(change)
        if change.subject == MODEL:
            if self._alive.get(before) == standing.lineage:
                del self._alive[before]
            if standing.exists:
                self._alive[standing.name] = standing.lineage
                self._ended.pop(standing.name, None)
            else:
                self._ended[standing.name] = standing

    def _interval(self, standing: Standing, subject: str, new: Value, look: Look) -> tuple[int, int]:
        """After when and until when a change happened, as narrow as is known, in milliseconds."""
        not_before, not_after = standing.known_since, look.ended
        if self._confirmed is not None:
            is_alias = subject == MODEL or alias_of(subject) is not None
            not_before = max(not_before, self._confirmed.of(standing.name, is_alias=is_alias))
        head = standing.heads.get(subject)
        if head is not None:
            not_before, not_after = max(not_before, head.not_before), max(not_after, head.not_after)
        not_after = max(not_before, not_after)
        made, is_birth = _made(standing, subject, new)
        if not not_before <= made <= not_after:
            return not_before, not_after
        # MLflow says when something was made, and nothing happens to it before that.
        return made, made if is_birth else not_after


def _made(standing: Standing, subject: str, new: Value) -> tuple[int, bool]:
    """When that was made which a subject is now (milliseconds, -1 if unknown), and whether the change is the making."""
    if new is None:
        return -1, False
    if subject == MODEL:
        return (int(new[1]), True) if not standing.exists else (-1, False)
    version = version_of(subject)
    if version is None:
        return standing.versions.get(new, (-1, ""))[0], False
    known = standing.versions.get(version)
    return int(new[0]), known is None or known[0] != new[0]


def _changed_names(fleet: Fleet, before: Fleet | None) -> set[str]:
    """The models of the segments that differ."""
    names: set[str] = set()
    for number, segment in enumerate(fleet.segments):
        if before is None:
            names |= segment.registered.keys()
        elif before.segments[number] is not segment:
            names |= segment.registered.keys() | before.segments[number].registered.keys()
    return names
