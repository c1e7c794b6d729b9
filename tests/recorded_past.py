"""A past of the registry that a service has recorded in MLflow, so that tests and screenshots need not wait for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.registry.stages import STAGES_IN_USE
from app.domain.registry_history.change import TOWER, Change, of_alias, of_version
from app.domain.registry_history.lineage import FirstLook
from app.domain.registry_history.looking import Looked
from app.domain.registry_history.record import Additions
from app.domain.registry_history.tags import batches_of
from app.domain.times import DAY_MS
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.wiring.world import now_ms
from tests.servers import HANGS_AFTER_SECONDS

_MINUTE_MS = 60_000


@dataclass(frozen=True)
class Move:
    """A version came to a place, an alias or a stage, so many days ago, which was seen `minutes` later.

    If `actor` moved it, that was through the service. Which version was in the stage before is archived if `archives`.
    """

    days: float
    place: str
    version: int
    actor: str | None = None
    minutes: int = 1
    archives: bool = True


def record_past(
    uri: str, days: float, moves: Mapping[str, Sequence[Move]], not_looked: Sequence[tuple[float, float]] = ()
) -> None:
    """Write that a service first looked so many days ago, what it saw move by model, and when it did not look.

    In MLflow each alias and stage must be where the last moves put it.
    """
    now = now_ms()
    gateway = MlflowGateway.connect(
        uri, monitoring_experiment="control-tower", clock=now_ms, timeout=HANGS_AFTER_SECONDS
    )
    began = now - int(days * DAY_MS)
    first: list[FirstLook] = []
    changes: list[Change] = []
    for name, reading in gateway.read_models(list(moves), []).items():
        assert reading.model
        staged = {move.version for move in moves[name] if move.place in STAGES_IN_USE}
        versions = tuple(
            (row.version, row.created, "None" if row.version in staged else row.stage) for row in reading.versions or ()
        )
        look = FirstLook(name, reading.model.created, tuple(sorted(versions)), (), began, began + 1000)
        first.append(look)
        changes += _changes(look, moves[name], now)
    gaps = tuple((now - int(start * DAY_MS), now - int(end * DAY_MS)) for start, end in not_looked)
    run = gateway.open_registry_run()
    more = Additions(tuple(first), tuple(changes), gaps, Looked(now, now), began + 1000)
    for batch in batches_of(more):
        gateway.write_registry_tags(run, batch.tags)


def _changes(look: FirstLook, moves: Sequence[Move], now: int) -> list[Change]:
    present: dict[str, tuple[str, Any]] = {}
    for number, created, stage in look.versions:
        present[of_version(number)] = look.lineage, [created, stage]
    changes: list[Change] = []

    def change(move: Move, subject: str, new: Any) -> None:
        previous, old = present.get(subject, (look.lineage, None))
        at = now - int(move.days * DAY_MS)
        through = TOWER if move.actor else "poll"
        seen = at + move.minutes * _MINUTE_MS
        made = Change(look.lineage, previous, look.name, subject, old, new, at, seen, move.actor, through)
        present[subject] = made.key, new
        changes.append(made)

    for move in moves:
        if move.place not in STAGES_IN_USE:
            change(move, of_alias(move.place), move.version)
            continue
        for number, created, _ in look.versions:
            if number == move.version:
                change(move, of_version(number), [created, move.place])
            elif move.archives and present[of_version(number)][1] == [created, move.place]:
                change(move, of_version(number), [created, "Archived"])
    return changes
