"""What is recorded of the registry, together with what is still to be written."""

from collections.abc import Iterable, Sequence, Set

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelVersion, RegisteredModel
from app.domain.registry_history.change import MODEL, Change, Value, change_from, version_of
from app.domain.registry_history.lineage import FirstLook, first_look, lineage_id
from app.domain.registry_history.looking import REGISTRY, Confirmed, Gap, Look, Looked
from app.domain.registry_history.record import Additions, RegistryRecord
from app.domain.registry_history.standing import Standing, differences, is_other, standing_of

_Reading = tuple[RegisteredModel, Sequence[ModelVersion]]


class Draft:
    """Compares what looks at the registry find with what is recorded. Not shared between threads.

    `record` is what is recorded so far. Readings whose ticket is not higher than `ticket` began before the record was
    read, so that they may be older than what it has. They are compared where it has nothing newer: with the lineages
    `unchanged`, which were recorded so before the first reading, and with those of which all was seen before the
    reading began. Clocks of hosts may be `apart_ms` apart. A time between two looks at all of the registry that is
    longer than `late_ms` counts as a gap, in which nobody looked. Both are in milliseconds.
    """

    def __init__(
        self, record: RegistryRecord, ticket: int, late_ms: int, apart_ms: int, unchanged: Iterable[str] = ()
    ) -> None:
        self.record = record
        self._ticket = ticket
        # The lineages that older readings may be compared with as well, with the tickets that must be exceeded.
        self._tickets = dict.fromkeys(unchanged, 0)
        # What was seen until then is recorded, by whoever saw it. Only the first readings of a process may be older.
        self._recorded_until = record.looked.aliases if record.looked else 0
        self._late_ms = late_ms
        self._apart_ms = apart_ms
        self._fleet: Fleet | None = None
        self._standings = {lineage.id: standing_of(lineage) for lineage in record.lineages()}
        # The lineages that have a name. Two can: the end of the first may not be recorded yet.
        self._alive: dict[str, list[str]] = {}
        for key, standing in self._standings.items():
            if standing.exists:
                self._alive.setdefault(standing.name, []).append(key)
        by_age = sorted(self._standings.values(), key=lambda one: (one.created, one.lineage))
        self._ended = {standing.name: standing for standing in by_age if not standing.exists}
        self._confirmed = Confirmed(record.looked) if record.looked else None
        # What another host recorded, and no look of this host has confirmed since: (lineage, subject).
        self._unsettled = {
            (lineage.id, change.subject)
            for lineage in record.lineages()
            for change in map(change_from, lineage.hidden)
            if (head := self._standings[lineage.id].heads.get(change.subject)) and change.not_after > head.not_before
        }
        # The names of models that may differ from the record, and are not compared yet.
        self._open = set(self._alive)
        # The lineages that are in the present look, unchanged or with changes.
        self._found: set[str] = set()
        self._first: list[FirstLook] = []
        self._changes: list[Change] = []
        self._gaps: list[Gap] = []
        self._begun = record.begun

    def pending(self) -> Additions:
        """What is to be written."""
        looked = self._confirmed.but_for(self._having(self._open), self._open) if self._confirmed else None
        begun = self._begun if self.record.begun is None else None
        return Additions(tuple(self._first), tuple(self._changes), tuple(self._gaps), looked, begun)

    def written(self, more: Additions) -> None:
        """Note that this was written, all or the beginning of what is pending."""
        del self._first[: len(more.first)], self._changes[: len(more.changes)], self._gaps[: len(more.gaps)]

    def has_pending(self, lineage: str) -> bool:
        """Whether changes of a model are still to be written. Any thread may ask."""
        return any(change.lineage == lineage for change in tuple(self._changes))

    def confirmed(self, lineage: str, subject: str) -> int:
        """When a look began that saw what is known of a subject, in milliseconds; 0 without one. Any thread may ask."""
        confirmed = self._confirmed
        if confirmed is None or (lineage, subject) in self._unsettled:
            return 0
        looked = confirmed.of(lineage)
        return looked.stages if version_of(subject) is not None else looked.aliases

    def resume(self, before: "Draft", others: Set[str]) -> None:
        """Take over what another draft has still to write, where other towers did not record the same subject.

        `others` are the lineages that they changed. A model that is new to that draft may be one of those, which had
        another name before: the next look shows it.
        """
        self._tickets = {key: before._tickets.get(key, before._ticket) for key in self._standings.keys() - others}
        self._recorded_until = 0
        if before._confirmed is not None:
            # This host's own looks count: what others looked at was compared without what this host has still to write.
            self._confirmed = before._confirmed
        recorded = {self._standings[key].created for key in others if before.record.find(key) is None}
        doubtful = {key for key in before._news() if before._standings[key].created in recorded}
        for change in before._changes:
            if change.lineage in doubtful:
                if change.subject == MODEL and self._confirmed is not None:
                    self._confirmed.names[change.model] = change.not_before
                continue
            nothing = Standing(change.lineage, change.model, 0, exists=False)
            standing = self._standings.setdefault(change.lineage, nothing)
            if standing.previous(change.subject) == change.previous:
                self._put(standing, change)
        self._gaps = before._gaps
        self._unsettled |= before._unsettled
        for key in others:
            if self._confirmed is not None and before.record.find(key) is None:
                # The looks of the other draft were not compared with what is recorded of this model.
                since = self._standings[key].known_since
                self._confirmed.lineages[key] = Looked(since, since)
            known = before._standings.get(key)
            for subject, head in self._standings[key].heads.items():
                if known is None or known.previous(subject) != head.key:
                    self._unsettled.add((key, subject))
        self.shared(self.record.looked)

    def shared(self, looked: Looked | None) -> None:
        """A process that shares the record has looked at the registry up to then."""
        if self._confirmed is not None and looked is not None and looked.aliases > self._confirmed.of_all.aliases:
            own = {change.lineage for change in self._changes} | {key for key, _ in self._unsettled}
            self._confirmed.shared(looked, own)

    def _news(self) -> set[str]:
        """The lineages that are not recorded yet."""
        return {change.lineage for change in self._changes if self.record.find(change.lineage) is None}

    def _having(self, names: Iterable[str]) -> set[str]:
        """The lineages that have these names."""
        return {key for name in names for key in self._alive.get(name, ())}

    def not_alone(self, looked: Looked | None) -> None:
        """Another tower has looked at the registry: while it did, there is no gap."""
        if looked is not None:
            gaps = [(max(start, looked.aliases), end) for start, end in self._gaps]
            self._gaps = [(start, end) for start, end in gaps if end - start > self._late_ms]

    def adopt(self, fleet: Fleet) -> None:
        """Take a newer fleet, of which no look is known. The next look shows whether it is what MLflow has."""
        if self._fleet is None or fleet.edition.replaces(self._fleet.edition):
            self._open |= _changed_names(fleet, self._fleet)
            self._fleet = fleet

    def take(self, look: Look) -> None:
        """Compare what a look found, and note what it confirmed."""
        if look.published or self._fleet is None:
            self.adopt(look.fleet)
        fleet = self._fleet
        if fleet is None or fleet.mock or self._is_older(look):
            return
        older = self._older_than_recorded(look, fleet)
        self._open |= older
        # Models that were read later than the fleet that MLflow was compared with speak for themselves.
        later = {name for name, ticket in fleet.touched.items() if ticket > look.fleet.last_ticket} | older
        self._found = set()
        if look.covers is None:
            names = {name for name in look.names if max(fleet.touched.get(name, 0), fleet.ticket) <= look.ticket}
            names -= older
            self._compare(self._open & names, fleet, look)
            self._confirm_some(names, look)
        elif fleet.ticket <= look.fleet.ticket:
            if look.covers == REGISTRY:
                self._note_gap(look)
                self._compare(self._open - look.unread - later, fleet, look)
                if self._begun is None:
                    self._begun = look.ended
            self._confirm_all(later | look.unread | self._open, look)

    def _is_older(self, look: Look) -> bool:
        """Whether nothing that a look found can be newer than what is recorded."""
        return look.ticket <= self._ticket and (self._begun is None or look.began <= self._recorded_until)

    def _older_than_recorded(self, look: Look, fleet: Fleet) -> set[str]:
        """The names, then and now, of models of which something may be recorded that is newer than a look."""
        if look.ticket > self._ticket:
            return set()
        seen_by = look.began - self._apart_ms
        newer = [
            self._standings[lineage.id]
            for lineage in self.record.lineages()
            if look.ticket <= self._tickets.get(lineage.id, self._ticket) and lineage.seen_until >= seen_by
        ]
        if not newer:
            return set()
        made = {standing.created for standing in newer}
        alike = {name for name, model in fleet.registered.items() if model.created in made}
        return alike | {standing.name for standing in newer}

    def _note_gap(self, look: Look) -> None:
        if self._confirmed is not None and look.began - self._confirmed.of_all.aliases > self._late_ms:
            self._gaps.append((self._confirmed.of_all.aliases, look.began))

    def _confirm_some(self, names: Set[str], look: Look) -> None:
        if self._confirmed is not None:
            lineages = self._found | self._having(names - self._open)
            self._confirmed.one_by_one(lineages, names - self._open, look.began)
            self._unsettled = {(key, subject) for key, subject in self._unsettled if key not in lineages}

    def _confirm_all(self, but: Set[str], look: Look) -> None:
        lineages = self._having(but) - self._found
        if look.covers == REGISTRY:
            if self._confirmed is None:
                self._confirmed = Confirmed(Looked(look.began, look.began))
            self._confirmed.registry(look.began, lineages, but)
            self._unsettled = {(key, subject) for key, subject in self._unsettled if key in lineages}
        elif self._confirmed is not None:
            self._confirmed.versions(look.began, lineages)

    def _compare(self, names: Set[str], fleet: Fleet, look: Look) -> None:
        self._open -= names
        gone: list[str] = []
        new: list[_Reading] = []
        for name in sorted(names):
            model, tracked = fleet.model(name)
            rows = [version.row for version in tracked]
            same = self._same(name, model)
            gone += [key for key in self._alive.get(name, ()) if key != same]
            if model is not None and same is not None:
                self._follow(self._standings[same], model, rows, look)
            elif model is not None:
                new.append((model, rows))
        self._settle(gone, new, fleet, look)

    def _same(self, name: str, model: RegisteredModel | None) -> str | None:
        """The lineage with a name that a reading of the name shows; None if it shows none, or another model."""
        if model is None:
            return None
        known = [self._standings[key] for key in self._alive.get(name, ())]
        alike = [one for one in known if not is_other(one.created, model.created)]
        best = max(alike, key=lambda one: (one.created == model.created, -one.known_since, one.lineage), default=None)
        return best.lineage if best else None

    def _settle(self, gone: list[str], new: Sequence[_Reading], fleet: Fleet, look: Look) -> None:
        """Tell models that were renamed from those that are gone, and from those that are new."""
        left: list[_Reading] = []
        for model, rows in new:
            old = self._renamed_from(model, rows, gone)
            if old is not None:
                gone.remove(old)
                self._follow(self._standings[old], model, rows, look)
            elif self._may_be_renamed(model, look):
                self._open.add(model.name)
            else:
                left.append((model, rows))
        elsewhere = {one.created for name in self._open - look.unread if (one := fleet.model(name)[0])} if gone else {}
        for key in gone:
            standing = self._standings[key]
            is_all_read = look.covers == REGISTRY or (look.lost is not None and standing.name in look.lost)
            if is_all_read and standing.created not in elsewhere:
                self._add(standing, MODEL, [standing.name, standing.created], None, look)
            else:
                # It may have another name by now, which this look did not read.
                self._open.add(standing.name)
        for model, rows in left:
            if model.name not in self._open:
                self._begin(model, rows, look)

    def _renamed_from(self, model: RegisteredModel, rows: Sequence[ModelVersion], gone: Iterable[str]) -> str | None:
        """The missing model that a new model was, under another name: one with the same creation times."""
        versions = {(row.version, row.created) for row in rows}
        alike: list[tuple[int, str]] = []
        for key in gone:
            standing = self._standings[key]
            if standing.name != model.name and 0 < standing.created == model.created:
                known = {(number, made) for number, (made, _) in standing.versions.items()}
                alike.append((len(versions ^ known), key))
        return min(alike)[1] if alike else None

    def _may_be_renamed(self, model: RegisteredModel, look: Look) -> bool:
        """Whether a known model with the same creation time is not compared, so that it may have this name now."""
        is_all_read = look.covers == REGISTRY or look.lost is not None
        unread = self._open - look.unread if is_all_read else self._alive.keys() - look.names
        return any(0 < self._standings[key].created == model.created for key in self._having(unread))

    def _begin(self, model: RegisteredModel, rows: Sequence[ModelVersion], look: Look) -> None:
        """Record a model that was not known: as the first look found it, or as a new model."""
        if self._begun is None:
            first = first_look(model, rows, look.began, look.ended)
            self._first.append(first)
            standing = Standing(first.lineage, model.name, model.created, look.began)
            standing.add(first)
            self._standings[first.lineage] = standing
            self._alive.setdefault(model.name, []).append(first.lineage)
            self._found.add(first.lineage)
            return
        key = lineage_id(model.name, model.created)
        standing = self._standings.setdefault(key, Standing(key, model.name, model.created, exists=False))
        earlier = self._ended.get(model.name)
        old: Value = [earlier.name, earlier.created] if earlier and is_other(earlier.created, model.created) else None
        self._add(standing, MODEL, old, [model.name, model.created], look)
        if self._confirmed is not None:
            since = self._confirmed.of_name(model.name)
            self._confirmed.lineages[key] = Looked(since, since)
        self._follow(standing, model, rows, look)

    def _follow(self, standing: Standing, model: RegisteredModel, rows: Sequence[ModelVersion], look: Look) -> None:
        self._found.add(standing.lineage)
        for subject, old, new in differences(standing, model, rows):
            self._add(standing, subject, old, new, look)

    def _add(self, standing: Standing, subject: str, old: Value, new: Value, look: Look) -> None:
        name = new[0] if subject == MODEL and new else standing.name
        interval = self._interval(standing, subject, new, look)
        previous = standing.previous(subject)
        self._put(standing, Change(standing.lineage, previous, name, subject, old, new, *interval, None, look.through))

    def _put(self, standing: Standing, change: Change) -> None:
        before, was_there = standing.name, standing.exists
        self._changes.append(change)
        standing.apply(change)
        if change.subject != MODEL:
            return
        if was_there:
            self._alive[before].remove(standing.lineage)
            if not self._alive[before]:
                del self._alive[before]
        if standing.exists:
            self._alive.setdefault(standing.name, []).append(standing.lineage)
            self._ended.pop(standing.name, None)
        else:
            self._ended[standing.name] = standing

    def _interval(self, standing: Standing, subject: str, new: Value, look: Look) -> tuple[int, int]:
        """After when and until when a change happened, as narrow as is known, in milliseconds."""
        is_birth = subject == MODEL and not standing.exists
        head = standing.heads.get(subject)
        earliest, latest = standing.known_since, look.ended
        if head is not None:
            earliest, latest = max(earliest, head.not_before), max(latest, head.not_after)
        if subject == MODEL and not is_birth:
            latest = min([latest, *self._taken_over(standing)])
        not_before = max(earliest, self._last_found(standing, subject, new, is_birth=is_birth))
        if not_before > latest:
            # What was recorded contradicts itself, so that only the change before is certain.
            not_before = min(earliest, latest)
        # MLflow says when something was made, and nothing happens to it before that. An alias may have had another
        # version before the version that it has now was made.
        version = version_of(subject)
        made = int(new[1 if is_birth else 0]) if new is not None and (is_birth or version is not None) else -1
        if not not_before <= made <= latest:
            return not_before, latest
        if is_birth or version is None or standing.versions.get(version, (0, ""))[0] == made:
            # Under which name a model was made is not known: it may have been renamed since.
            return made, latest
        # A version that replaces another: that was deleted before.
        return (not_before if version in standing.versions else made), max(made, standing.born_by)

    def _last_found(self, standing: Standing, subject: str, new: Value, *, is_birth: bool) -> int:
        """When a look began that saw what was before a change, in milliseconds; 0 without one."""
        if is_birth and self._confirmed is not None and (standing.lineage, subject) not in self._unsettled:
            return self._confirmed.of_name(new[0])
        is_doubtful = new is None and subject == MODEL and any(key == standing.lineage for key, _ in self._unsettled)
        if is_birth or is_doubtful:
            # What another host recorded of the model is gone with it, or was gone before.
            return 0
        return self.confirmed(standing.lineage, subject)

    def _taken_over(self, standing: Standing) -> Iterable[int]:
        """Until when other models got the name of a model, so that it had lost the name by then."""
        others = (self._standings[key] for key in self._alive[standing.name] if key != standing.lineage)
        return [other.heads[MODEL].not_after for other in others if MODEL in other.heads]


def _changed_names(fleet: Fleet, before: Fleet | None) -> set[str]:
    """The models of the segments that differ."""
    names: set[str] = set()
    for number, segment in enumerate(fleet.segments):
        if before is None:
            names |= segment.registered.keys()
        elif before.segments[number] is not segment:
            names |= segment.registered.keys() | before.segments[number].registered.keys()
    return names
