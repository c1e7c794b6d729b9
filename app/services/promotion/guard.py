"""The guard notices when what is to be moved through this service alone is moved outside of it."""

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.domain.errors import MISFITS, TowerError
from app.domain.monitoring.alert_filters import AlertFilter
from app.domain.monitoring.alerts import page_url
from app.domain.own_runs import OwnRun
from app.domain.ports import SharedCache, WritableCache, WritingGateway
from app.domain.promotion.guard import OutsideMove, move_from, move_value, outside_moves
from app.domain.promotion.notices import Notice, outside_notice
from app.domain.promotion.promotions import DONE, MOVING
from app.domain.promotion.renames import Renames
from app.domain.promotion.tags import GUARD, is_notified, promotion_from
from app.domain.registry.stages import owner_in
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.record import RegistryRecord
from app.services.host.kept_in_parts import KeptInParts
from app.services.mirror.model_tracker import ModelTracker
from app.services.promotion.teller import Teller

log = logging.getLogger(__name__)

_KEY = "outside-moves"


class OutsideMoves:
    """What was moved outside, as the agent shares it. Where promotion is off, that is nothing."""

    def __init__(self, cache: SharedCache, source: str, *, is_enabled: bool) -> None:
        self._cache = cache
        self._source = source
        self._is_enabled = is_enabled
        self._known: Sequence[OutsideMove] = ()
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def known(self) -> Sequence[OutsideMove]:
        """The moves by model. The object stays the same until they change."""
        if not self._is_enabled:
            return ()
        mark = self._cache.mark(_KEY)
        if mark != self._mark:
            with self._adopting:
                self._known = _read(self._cache.get(_KEY), self._source)
                self._mark = mark
        return self._known


class Guard:
    """Compares the history of the registry with what this service moved. The scheduler calls `tick`.

    `protected` are aliases in lower case. `filters` say, by the ids of receivers, which owners and tags each is
    notified of; a receiver without a filter is notified of all.
    """

    def __init__(
        self,
        gateway: WritingGateway,
        records: KeptInParts[RegistryRecord],
        cache: WritableCache,
        source: str,
        teller: Teller,
        protected: Collection[str],
        public_url: str | None,
        mirror: ModelTracker,
        filters: Mapping[str, AlertFilter],
    ) -> None:
        self._gateway = gateway
        self._records = records
        self._cache = cache
        self._source = source
        self._teller = teller
        self._protected = protected
        self._public_url = public_url
        self._mirror = mirror
        self._filters = filters
        self._run: OwnRun | None = None
        self._seen: dict[str, tuple[Lineage, list[OutsideMove]]] = {}
        self._record: object | None = None
        self._known: frozenset[str] = frozenset()

    def tick(self) -> None:
        """Look at what was recorded since the last call. Failures are logged, and tried again."""
        record = self._records.newest()
        if record is None or record is self._record:
            return
        try:
            self._run = self._run or self._guards_run()
            moves = self._moves(record.lineages(), self._run.started)
            fresh = {move.model for move in moves if move.key not in self._known}
            if fresh and fresh & self._moving(record):
                # A look may see a move before the record says who made it.
                return
            self._cache.set(_KEY, {"source": self._source, "moves": [move_value(move) for move in moves]})
            self._tell(moves)
        except TowerError as error:
            log.warning("Receivers are not notified of moves outside this service yet: %s", error.detail)
            return
        self._known = frozenset(move.key for move in moves)
        self._record = record

    def repeat(self) -> None:
        """Notify the receivers that were not, since they or MLflow failed, after a new look at MLflow."""
        if self._known:
            self._run = self._record = None

    def _moves(self, lineages: Any, since: int) -> list[OutsideMove]:
        seen: dict[str, tuple[Lineage, list[OutsideMove]]] = {}
        for lineage in lineages:
            known = self._seen.get(lineage.id)
            same = known is not None and known[0] is lineage
            seen[lineage.id] = known if same and known else (lineage, outside_moves(lineage, self._protected, since))
        self._seen = seen
        return sorted((move for _, moves in seen.values() for move in moves), key=lambda move: (move.model, move.key))

    def _moving(self, record: RegistryRecord) -> set[str]:
        """The models of which a promotion is being carried out, or is not in the history yet."""
        promotions = filter(None, map(promotion_from, self._gateway.promotion_runs(None, True)))
        moving = [promotion for promotion in promotions if promotion.state in (MOVING, DONE)]
        renames = Renames(record.lineages())
        return {renames.followed(promotion).proposal.model for promotion in moving}

    def _tell(self, moves: Sequence[OutsideMove]) -> None:
        run = self._run
        if run is not None:
            concerned = {move.key: self._owner_and_tags(move) for move in moves}
            notices = [
                outside_notice(move, run.run_id, concerned[move.key][0], page_url(self._public_url, move.model))
                for move in moves
            ]

            def is_sent(notice: Notice, receiver: str) -> bool:
                wanted = self._filters.get(receiver, AlertFilter())
                return is_notified(run, f"{notice.key}.{receiver}") or not wanted.concerns(*concerned[notice.key])

            self._teller.tell(notices, is_sent)

    def _owner_and_tags(self, move: OutsideMove) -> tuple[str | None, list[tuple[str, str]]]:
        """The owner and the tags by which receivers are chosen: of the version that came or left, and of its model."""
        fleet = self._mirror.fleet()
        registered, tracked = fleet.model(move.model)[0], fleet.find(move.model, move.new or move.old or 0)
        of_model = registered.tags if registered else {}
        owner = tracked.owner if tracked else owner_in(of_model)
        return owner, [*of_model.items(), *(tracked.row.tags.items() if tracked else ())]

    def _guards_run(self) -> OwnRun:
        """The run that says since when moves are guarded, and who was notified of which. Made where there is none."""
        for run in reversed(self._gateway.promotion_runs(None, True)):
            if GUARD in run.tags:
                return run
        run_id = self._gateway.open_promotion_run({GUARD: "1"}, "guard")
        made = self._gateway.find_promotion_run(run_id)
        return made or OwnRun(run_id, 0, True, {})


def _read(value: Any, source: str) -> Sequence[OutsideMove]:
    try:
        return tuple(map(move_from, value["moves"])) if value["source"] == source else ()
    except MISFITS:
        return ()
